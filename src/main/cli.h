/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line: `pointsman COMMAND [ARGUMENT] [--option VALUE] [--json] [--socket PATH]`.
 *
 * Commands of the daemon (api/commands.h) are sent over its control socket, and what comes back is printed as text
 * or, with --json, as it is. Commands that run here (run, demo, check, docs, top ...) are cli_external: they get
 * their own argc and argv, argv[0] being the command, and return the exit code.
 *
 * Exit codes: enum cli_exit. Errors are one line on stderr, starting with "pointsman: ".
 */
#ifndef PM_MAIN_CLI_H
#define PM_MAIN_CLI_H

#include <jansson.h>
#include "main/cli_text.h"

enum cli_exit { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_UNREACHABLE = 3 };

#define CLI_SOCKET_DEFAULT "/run/pointsman/control.sock"
#define CLI_SOCKET_ENV     "POINTSMAN_SOCKET"

struct cli_external {
    const char *name;
    const char *usage; /* "-c FILE" */
    const char *doc;
    int (*fn)(int argc, char **argv);
};

/* Defined by main: what runs here, ended by a NULL name. `help` is known without being in it. */
extern const struct cli_external cli_externals[];

int cli_main(int argc, char **argv);
/* pointsman: message; returns code. */
int cli_error(int code, const char *fmt, ...) PM_PRINTF(2, 3);

/* ---- cli_client.c: one connection ---- */

struct cli_client {
    int fd;
    struct buf in;
};

/* CLI_OK; or CLI_UNREACHABLE / CLI_FAILED with the one-line reason in problem. path NULL: the environment's, or the
 * default. */
int cli_connect(struct cli_client *c, const char *path, struct buf *problem) PM_MUST_CHECK;
/* Sends a command and waits for its answer's data (a new reference). args is taken over, may be NULL. On failure the
 * code, and problem. */
int cli_request(struct cli_client *c, const char *cmd, json_t *args, json_t **data,
                struct buf *problem) PM_MUST_CHECK;
void cli_close(struct cli_client *c);

/* ---- rendering ---- */

/* Data of a command's answer as text; commands without a view of their own are printed as YAML. */
void cli_render(struct text *t, const char *command, const json_t *data);
void cli_render_explain(struct text *t, const json_t *data);
void cli_render_explain_relay(struct text *t, const json_t *relay);
/* What every stage of a policy did to whom, pass by pass. */
void cli_render_passes(struct text *t, const json_t *with_passes, const char *heading);
void cli_render_servers(struct text *t, const json_t *data);
void cli_render_peers(struct text *t, const json_t *data);
void cli_render_matrix(struct text *t, const json_t *data);
void cli_render_relay(struct text *t, const json_t *data);
void cli_render_agents(struct text *t, const json_t *data);
void cli_render_catalog(struct text *t, const json_t *data);
void cli_render_catalog_plan(struct text *t, const json_t *data);
void cli_render_catalog_apply(struct text *t, const json_t *data);
void cli_render_ready(struct text *t, const json_t *d);
void cli_render_sessions(struct text *t, const json_t *data);
void cli_render_handoff(struct text *t, const json_t *data);
void cli_help(struct text *t, const char *command); /* NULL = all; an unknown one prints nothing */

/* ---- commands that run here; main lists them in cli_externals ---- */

int top_main(int argc, char **argv);

#endif
