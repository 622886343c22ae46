/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands: everything an operator can ask the daemon, in one table. A line of it is the control socket's dispatcher,
 * the checks of arguments, the command line (`pointsman NAME ...`), its help, the man page and
 * docs/reference/commands.md.
 *
 *     {"cmd": "drain", "args": {"target": "paris", "for": "2h"}}
 *         -> {"ok": true, "data": {...}}
 *         -> {"ok": false, "error": "not-found", "message": "nothing is called \"pariss\"; did you mean \"paris\"?"}
 *
 * "error" is a name from base/err.h, plus "unknown-command" and "bad-argument".
 *
 * Arguments are JSON strings, integers or booleans; numbers may also come as strings, so that a command line needs to
 * know nothing. A handler only runs with arguments that have been checked.
 *
 * Thread: control. Memory: answers are new references of the caller's. Failure: always an answer; a request can not
 * do more harm than its command says.
 */
#ifndef PM_API_COMMANDS_H
#define PM_API_COMMANDS_H

#include "api/api.h"

enum api_arg_type {
    API_TEXT,
    API_COUNT,    /* integer, min..max */
    API_FLAG,     /* true or false */
    API_DURATION, /* "90s", "2h"; ms inside */
    API_TIME,     /* RFC 3339, or back from now: "-10m"; wall ms inside */
    API_CLIENT,   /* address or prefix */
};

enum { API_REQUIRED = 1, API_POSITIONAL = 2 };
enum { API_ARGS_MAX = 8 };

struct api_arg {
    const char *name;
    enum api_arg_type type;
    unsigned flags;
    int64_t min, max; /* API_COUNT */
    const char *def;  /* as a user would write it; NULL = not given */
    const char *doc;
};

/* What stands where in the data of an answer: "vips[].checks[].state". */
struct api_field {
    const char *path, *type, *doc;
};

union api_value {
    const char *text; /* API_TEXT; NULL = not given */
    int64_t count;
    bool flag;
    uint64_t ms; /* API_DURATION, API_TIME */
    struct prefix client;
};

/* One request on its way to its answer. */
struct api_call {
    const struct api_host *host;
    const struct api_command *command;
    union api_value value[API_ARGS_MAX]; /* [i] belongs to command->args[i] */
    bool given[API_ARGS_MAX];            /* or defaulted */
    json_t *request;                     /* owns the texts */
    const char *error;                   /* set by api_fail */
    struct buf message;
};

struct api_command {
    const char *name;
    const char *doc;    /* one line */
    const char *detail; /* more, for the manual; may be NULL */
    const struct api_arg *args;
    size_t arg_count;
    const struct api_field *fields;
    size_t field_count;
    bool changes; /* it changes something */
    /* The data of the answer (a new reference), or NULL after api_fail. */
    json_t *(*run)(struct api_call *c);
};

extern const struct api_command api_commands[]; /* ended by a NULL name */
const struct api_command *api_command_find(const char *name);
const char *api_arg_type_name(enum api_arg_type t); /* "ADDRESS", "DURATION": for usage lines */

/* Reads and checks one request; PM_OK, or a negative code with c->error and c->message set. Always api_call_fini. */
int api_call_init(struct api_call *c, const struct api_host *host, const char *line, size_t len) PM_MUST_CHECK;
void api_call_fini(struct api_call *c);
/* The whole way: one line of a request to the JSON of its answer. */
json_t *api_answer(const struct api_host *host, const char *line, size_t len);

/* ---- for handlers ---- */

/* Sets the error; returns NULL, so that a handler can `return api_fail(...)`. */
json_t *api_fail(struct api_call *c, const char *error, const char *fmt, ...) PM_PRINTF(3, 4);
/* Values by name; the name must be one of the command's. */
const union api_value *api_value(const struct api_call *c, const char *name);
bool api_given(const struct api_call *c, const char *name);
/* "2026-01-01T12:00:00Z" of a wall time; JSON null for 0. */
enum { API_TIME_TEXT = 32 };
const char *api_time_format(uint64_t wall_ms, char out[API_TIME_TEXT]);
json_t *api_time_json(uint64_t wall_ms);
/* RFC 3339, or "-10m" before now. PM_EPARSE. */
int api_time_parse(const char *text, uint64_t now_ms, uint64_t *out) PM_MUST_CHECK;
/* What a policy's NaN is in JSON: null. */
json_t *api_number(double v);

#define API_HANDLER(name) json_t *name(struct api_call *c)
API_HANDLER(api_status);
API_HANDLER(api_sites);
API_HANDLER(api_vips);
API_HANDLER(api_services);
API_HANDLER(api_explain);
API_HANDLER(api_peers);
API_HANDLER(api_servers);
API_HANDLER(api_relay);
API_HANDLER(api_agents);
API_HANDLER(api_ready);
API_HANDLER(api_sessions);
API_HANDLER(api_catalog);
API_HANDLER(api_catalog_plan);
API_HANDLER(api_catalog_apply);
API_HANDLER(api_matrix);
API_HANDLER(api_handoff);
API_HANDLER(api_drain);
API_HANDLER(api_disable);
API_HANDLER(api_enable);
API_HANDLER(api_overrides);
API_HANDLER(api_reload);
API_HANDLER(api_check_now);
API_HANDLER(api_history);
API_HANDLER(api_policies);
API_HANDLER(api_metric_names);

#endif
