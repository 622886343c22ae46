/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration of `pointsman agent`, typed; read once, checked whole. All mistakes are reported together, each with its
 * place (conf/diag.h).
 *
 * Memory: agent_config_free takes all of it. Thread: any.
 */
#ifndef PM_AGENT_CONFIG_H
#define PM_AGENT_CONFIG_H

#include "base/addr.h"
#include "base/buf.h"
#include "conf/diag.h"
#include "conf/schema.h"

struct agent_balancer {
    const char *name;
    struct conf_list addresses; /* struct endpoint */
};

struct agent_root {
    const char *dir;        /* absolute */
    struct conf_list hosts; /* const char * */
    const char *prefix;
    bool writable;
    struct conf_mark mark;
};

struct agent_config {
    struct arena *arena;
    const char *name;
    const char *ca, *certificate, *key; /* certificate NULL: NAME.pem beside the ca */
    struct conf_list balancers;         /* struct agent_balancer */
    struct conf_list interfaces;        /* const char * */
    struct conf_list roots;             /* struct agent_root */
    bool keep_sockets, addresses;
    uint64_t rate, reserve;
    uint32_t at_once;
    int log_level;
};

extern const struct conf_object agent_config_object;

int agent_config_load(const char *path, struct agent_config **out, struct conf_diag *diag) PM_MUST_CHECK;
void agent_config_free(struct agent_config *c); /* NULL is allowed */

#endif
