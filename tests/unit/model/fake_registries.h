/* SPDX-License-Identifier: Apache-2.0 */
/* Stages, checks and presets as the layers above would bring them, but small: for tests and fuzzing. */
#ifndef PM_TESTS_FAKE_REGISTRIES_H
#define PM_TESTS_FAKE_REGISTRIES_H
#include "model/config.h"

struct fake_http {
    const char *path;
    struct conf_list expect;
    const char *password;
};
static const struct conf_key fake_http_keys[] = {
    {"path", CONF_STRING, offsetof(struct fake_http, path), .def = "/", .doc = "Path."},
    {"expect", CONF_UINT, offsetof(struct fake_http, expect), .def = "[200]", .min = 100, .max = 599,
     .flags = CONF_LIST, .doc = "Status."},
    {"password", CONF_STRING, offsetof(struct fake_http, password), .flags = CONF_SECRET, .doc = "Secret."},
};
static const struct conf_object fake_http = {
    .name = "http", .doc = "A page.", .size = sizeof(struct fake_http), CONF_KEYS(fake_http_keys), .shorthand = "path"};
static const struct conf_object fake_tcp = {.name = "tcp", .doc = "A connection.", .size = 1};
static const struct conf_object fake_raw = {.name = "raw", .doc = "Needs a port.", .size = 1, .wants = "port"};
static const struct conf_object *const fake_check_kinds[] = {&fake_http, &fake_tcp, &fake_raw, NULL};
static const struct conf_registry fake_checks = {"check", fake_check_kinds};

struct fake_near {
    double within;
};
static const struct conf_key fake_near_keys[] = {
    {"within", CONF_DOUBLE, offsetof(struct fake_near, within), .def = "0.1", .min = 0, .max = 10, .doc = "Share."},
};
static const struct conf_object fake_near = {
    .name = "near", .doc = "Near.", .size = sizeof(struct fake_near), CONF_KEYS(fake_near_keys), .shorthand = "within"};
static const struct conf_object fake_up = {.name = "up", .doc = "Up.", .size = 1};
static const struct conf_object fake_pick = {.name = "pick", .doc = "Pick.", .size = 1};
static const struct conf_object *const fake_stage_kinds[] = {&fake_up, &fake_near, &fake_pick, NULL};
static const struct conf_registry fake_stages = {"stage", fake_stage_kinds};

static const struct config_preset fake_presets[] = {
    {"closest", "The nearest.", "[up, {near: 0.2}, pick]"}, {"any", "Any.", "[up, pick]"}, {NULL, NULL, NULL}};
static const struct config_registries fake_reg = {&fake_stages, &fake_checks, fake_presets, NULL};
#endif
