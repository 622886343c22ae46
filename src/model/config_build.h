/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What exists only while a struct config is being loaded: names and texts seen so far, so that references resolve as
 * they are read (the tables read sites, policies and checks before services) and equal things become one object.
 * Private to the config_*.c files. Thread: the loading one.
 */
#ifndef PM_MODEL_CONFIG_BUILD_H
#define PM_MODEL_CONFIG_BUILD_H

#include "conf/load.h"
#include "model/config.h"

struct config_build {
    struct config *config;
    struct conf_ctx *ctx;
    const struct config_registries *reg;
    struct map policy_names, check_names;             /* name -> struct cfg_policy, cfg_check */
    struct map policy_texts, check_texts, list_texts; /* canonical text -> the object made from it */
    uint32_t policy_cap, check_cap;
    bool sites_indexed, zones_indexed;
};

/* config_tables.c */
extern const struct conf_object config_object;
extern const struct conf_object config_check_object;
/* config_mesh.c */
extern const struct conf_object config_mesh_object;
/* config_relay.c */
extern const struct conf_object config_relay_object;
/* config_catalog.c */
extern const struct conf_object config_catalog_object;
/* config_front.c */
extern const struct conf_object config_front_object, config_server_object;
void config_fronts_check(struct conf_ctx *ctx, const struct cfg_service *s);
/* config_transfer.c: what a front end that transfers connections can do, and what its servers say for it. */
void config_transfer_check(struct conf_ctx *ctx, const struct conf_node *node, const struct cfg_front *f);
void config_transfer_servers_check(struct conf_ctx *ctx, const struct cfg_service *s, const struct cfg_service_site *at);

/* config_refs.c: conf_custom_fn and print functions of references */
conf_custom_fn config_policies_read, config_checks_read, config_policy_read, config_check_list_read;
struct json_t *config_policies_print(const void *field);
struct json_t *config_checks_print(const void *field);
struct json_t *config_policy_print(const void *field);
struct json_t *config_check_list_print(const void *field);
/* The policy a preset's name stands for; NULL when there is none. */
const struct cfg_policy *config_preset_policy(struct conf_ctx *ctx, const char *name);

/* config_values.c: small values of their own syntax */
conf_custom_fn config_ttl_read, config_seconds_read, config_location_read, config_addresses_read, config_mode_read;
struct json_t *config_ttl_print(const void *field);
struct json_t *config_seconds_print(const void *field);
struct json_t *config_location_print(const void *field);
struct json_t *config_addresses_print(const void *field);
struct json_t *config_mode_print(const void *field);

/* config_checks.c: objects' checks */
typedef void config_check_fn(struct conf_ctx *ctx, const struct conf_node *node, void *object);
config_check_fn config_node_check, config_zone_check, config_site_check, config_override_check, config_csv_check,
    config_template_check, config_service_site_check, config_service_check, config_defaults_check, config_peer_check,
    config_mesh_check, config_front_check;
/* The site of that name; NULL after an error at the map's key that named it. */
const struct cfg_site *config_site_named(struct conf_ctx *ctx, const struct conf_node *map, const char *key,
                                         const char *name);
/* After everything is read: indexes and names used twice. */
void config_finish(struct config_build *b, const struct conf_node *root);

#endif
