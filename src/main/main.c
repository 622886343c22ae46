/* SPDX-License-Identifier: Apache-2.0 */
/* The commands that run in this process; everything else is asked of the running daemon (main/cli.h). */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/buf.h"
#include "main/agent_command.h"
#include "main/cli.h"
#include "main/daemon.h"
#include "main/demo.h"
#include "main/docs.h"
#include "main/keys_command.h"
#include "main/upgrade.h"
#include "monitor/module.h"
#include "policy/policy.h"

#define CONFIG_DEFAULT "/etc/pointsman/pointsman.yaml"

struct file_options {
    const char *config;
    bool json;
};

/* -c FILE and, where it makes sense, --json. False after a usage error. */
static bool parse_file_options(int argc, char **argv, bool with_json, struct file_options *o)
{
    static const struct option longs[] = {{"config", required_argument, NULL, 'c'}, {"json", no_argument, NULL, 'j'}, {0}};
    *o = (struct file_options){CONFIG_DEFAULT, false};
    optind = 0;
    for (int c; (c = getopt_long(argc, argv, "c:", longs, NULL)) != -1;) {
        if (c == 'c')
            o->config = optarg;
        else if (c == 'j' && with_json)
            o->json = true;
        else
            return false;
    }
    if (optind < argc)
        fprintf(stderr, "pointsman: unexpected argument '%s'\n", argv[optind]);
    return optind >= argc;
}

static int run_main(int argc, char **argv)
{
    struct file_options o;
    if (!parse_file_options(argc, argv, false, &o))
        return CLI_USAGE;
    struct daemon_options d = {.config = {.path = o.config}, .inherit = getenv(UPGRADE_SOCKETS)};
    return daemon_run(&d) ? CLI_FAILED : CLI_OK;
}

/* Errors of all kinds, as at a start; or the effective configuration. */
static int check_main(int argc, char **argv)
{
    struct file_options o;
    struct buf report = BUF_INIT, out = BUF_INIT;
    struct config *config = NULL;
    struct geo_db *geo = NULL;
    struct dns_zones *zones = NULL;
    if (!parse_file_options(argc, argv, true, &o))
        return CLI_USAGE;
    struct config_source from = {.path = o.config};
    int err = generation_config(&from, &config, &report);
    if (!err) {
        int geo_err = generation_geo(config, &geo, &report);
        err = generation_zones(config, 1, &zones, &report);
        err = err ? err : geo_err;
    }
    fputs(buf_str(&report), stderr);
    if (err) {
        fprintf(stderr, "pointsman: %s has errors\n", o.config);
    } else if (o.json) {
        json_t *json = config_json(config);
        json_dumpf(json, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(json);
    } else {
        config_print(config, &out);
        fputs(buf_str(&out), stdout);
    }
    generation_zones_free(zones);
    geo_db_free(geo);
    config_free(config);
    buf_fini(&report);
    buf_fini(&out);
    return err ? CLI_FAILED : CLI_OK;
}

static int docs(int argc, char **argv)
{
    static const struct config_registries registries = {
        .stages = &policy_stage_registry, .checks = &monitor_check_registry, .presets = policy_presets};
    return docs_main(argc, argv, &(struct docs_input){&registries, daemon_metrics, NULL});
}

static int version_main(int argc, char **argv)
{
    puts("pointsman " PM_VERSION);
    return CLI_OK;
}

const struct cli_external cli_externals[] = {
    {"run", "[-c FILE]", "Run the daemon in the foreground; default configuration " CONFIG_DEFAULT ".", run_main},
    {"agent", AGENT_USAGE, "The process on a node: takes connections over, reports load and content; default configuration "
                          "/etc/pointsman/agent.yaml. --check looks at the host only, --clean takes away what agents leave.",
     agent_main},
    {"demo", "", "Three sites on loopback with a configuration of its own, to play with; needs no root.", demo_main},
    {"check", "[-c FILE] [--json]", "Check a configuration: print every error, or the effective configuration.", check_main},
    {"top", "[--socket PATH]", "Live view of sites and VIPs in a terminal.", top_main},
    {"keys", KEYS_USAGE, "Make and renew the certificates by which balancers know each other.", keys_main},
    {"docs", "DIR | --man", "Write the reference manual from the program's own tables.", docs},
    {"version", "", "Print the version.", version_main},
    {NULL, NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    return cli_main(argc, argv);
}
