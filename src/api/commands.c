/* SPDX-License-Identifier: Apache-2.0 */
/* From a line of text to a checked call, and from its handler to an answer. The table is in command_table.c. */
#include "api/commands.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "base/units.h"
#include "conf/load.h"

const struct api_command *api_command_find(const char *name)
{
    for (const struct api_command *c = api_commands; c->name; c++)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}

const char *api_arg_type_name(enum api_arg_type t)
{
    static const char *const names[] = {"TEXT", "N", "yes|no", "DURATION", "TIME", "ADDRESS"};
    return names[t];
}

json_t *api_fail(struct api_call *c, const char *error, const char *fmt, ...)
{
    va_list ap;
    c->error = error;
    buf_clear(&c->message);
    va_start(ap, fmt);
    buf_vprintf(&c->message, fmt, ap);
    va_end(ap);
    return NULL;
}

static size_t arg_index(const struct api_command *cmd, const char *name)
{
    size_t i = 0;
    while (i < cmd->arg_count && strcmp(cmd->args[i].name, name) != 0)
        i++;
    return i;
}

const union api_value *api_value(const struct api_call *c, const char *name)
{
    return &c->value[arg_index(c->command, name)];
}

bool api_given(const struct api_call *c, const char *name)
{
    return c->given[arg_index(c->command, name)];
}

/* ---- values ---- */

const char *api_time_format(uint64_t wall_ms, char out[API_TIME_TEXT])
{
    time_t t = (time_t)(wall_ms / 1000);
    struct tm tm;
    if (wall_ms / 1000 > 253402300799 /* the last second of the year 9999 */ || !gmtime_r(&t, &tm))
        return strcpy(out, "never");
    strftime(out, API_TIME_TEXT, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return out;
}

json_t *api_time_json(uint64_t wall_ms)
{
    char text[API_TIME_TEXT];
    return wall_ms ? json_string(api_time_format(wall_ms, text)) : json_null();
}

json_t *api_number(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

/* "Z" or "+02:00" to seconds east of Greenwich. */
static int zone_parse(const char *text, int *seconds)
{
    int h, m, n = 0;
    if (strcasecmp(text, "Z") == 0) {
        *seconds = 0;
        return PM_OK;
    }
    if ((*text != '+' && *text != '-') || sscanf(text + 1, "%2d:%2d%n", &h, &m, &n) != 2 || n != 5 || text[6] ||
        h > 23 || m > 59 || h < 0 || m < 0)
        return PM_EPARSE;
    *seconds = (h * 3600 + m * 60) * (*text == '-' ? -1 : 1);
    return PM_OK;
}

/* RFC 3339 section 5.6; a space may stand for the T. */
static int stamp_parse(const char *text, uint64_t *out)
{
    struct tm tm = {0};
    int n = 0, zone;
    unsigned ms = 0, scale = 100;
    if (sscanf(text, "%4d-%2d-%2d%*1[Tt ]%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
               &tm.tm_min, &tm.tm_sec, &n) != 6 ||
        n != 19)
        return PM_EPARSE;
    text += n;
    if (*text == '.')
        for (text++; *text >= '0' && *text <= '9'; text++, scale /= 10)
            ms += (unsigned)(*text - '0') * scale;
    if (zone_parse(text, &zone))
        return PM_EPARSE;
    struct tm was = tm;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    was.tm_sec -= tm.tm_sec == 60; /* a leap second is the one before it */
    tm.tm_sec -= tm.tm_sec == 60;
    time_t t = timegm(&tm);
    /* timegm moves 31 February to March: that is no date. */
    if (t < 0 || tm.tm_year + 1900 != was.tm_year || tm.tm_mon + 1 != was.tm_mon || tm.tm_mday != was.tm_mday ||
        tm.tm_hour != was.tm_hour || tm.tm_min != was.tm_min || tm.tm_sec != was.tm_sec || t < zone)
        return PM_EPARSE;
    *out = (uint64_t)(t - zone) * 1000 + ms;
    return PM_OK;
}

int api_time_parse(const char *text, uint64_t now_ms, uint64_t *out)
{
    uint64_t back;
    if (*text != '-')
        return stamp_parse(text, out);
    if (duration_parse(text + 1, &back) || back >= now_ms)
        return PM_EPARSE;
    *out = now_ms - back;
    return PM_OK;
}

static int bad_value(struct api_call *c, const struct api_arg *a, const char *text, const char *wanted)
{
    api_fail(c, "bad-argument", "%s \"%.80s\": %s", a->name, text, wanted);
    return PM_EINVAL;
}

static int count_read(struct api_call *c, const struct api_arg *a, const char *text, union api_value *v)
{
    char wanted[80];
    int n = 0;
    long long number;
    snprintf(wanted, sizeof wanted, "a number from %lld to %lld is wanted", (long long)a->min, (long long)a->max);
    /* Width-limited, so that no input overflows. */
    if (sscanf(text, "%18lld%n", &number, &n) != 1 || text[n] || number < a->min || number > a->max)
        return bad_value(c, a, text, wanted);
    v->count = number;
    return PM_OK;
}

static int flag_read(struct api_call *c, const struct api_arg *a, const char *text, union api_value *v)
{
    static const char *const yes[] = {"yes", "true", "on", "1"}, *const no[] = {"no", "false", "off", "0"};
    for (size_t i = 0; i < PM_ARRAY_LEN(yes); i++) {
        v->flag = strcasecmp(text, yes[i]) == 0;
        if (v->flag || strcasecmp(text, no[i]) == 0)
            return PM_OK;
    }
    return bad_value(c, a, text, "yes or no is wanted");
}

static int text_value_read(struct api_call *c, const struct api_arg *a, const char *text, union api_value *v)
{
    switch (a->type) {
    case API_TEXT:
        v->text = text;
        return *text ? PM_OK : bad_value(c, a, text, "it is empty");
    case API_COUNT:
        return count_read(c, a, text, v);
    case API_FLAG:
        return flag_read(c, a, text, v);
    case API_DURATION:
        if (duration_parse(text, &v->ms) || !v->ms)
            return bad_value(c, a, text, "a duration is wanted, as 90s or 2h");
        return PM_OK;
    case API_TIME:
        if (api_time_parse(text, clock_wall_ms(c->host->clock), &v->ms))
            return bad_value(c, a, text, "a time is wanted, as 2026-01-31T12:00:00Z, or -10m for ten minutes ago");
        return PM_OK;
    case API_CLIENT:
        if (prefix_parse(text, &v->client))
            return bad_value(c, a, text, "an address or a prefix without host bits is wanted");
        return PM_OK;
    }
    return PM_EINVAL;
}

static int value_read(struct api_call *c, const struct api_arg *a, const json_t *j, union api_value *v)
{
    char number[32];
    if (json_is_string(j)) {
        if (strlen(json_string_value(j)) != json_string_length(j)) {
            api_fail(c, "bad-argument", "%s contains a zero byte", a->name);
            return PM_EINVAL;
        }
        return text_value_read(c, a, json_string_value(j), v);
    }
    if (a->type == API_FLAG && json_is_boolean(j)) {
        v->flag = json_is_true(j);
        return PM_OK;
    }
    if (json_is_integer(j) && (a->type == API_COUNT || a->type == API_DURATION)) {
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(j));
        return text_value_read(c, a, number, v);
    }
    api_fail(c, "bad-argument", "%s: %s is wanted", a->name,
             a->type == API_FLAG    ? "true or false"
             : a->type == API_COUNT ? "a number"
                                    : "a string");
    return PM_EINVAL;
}

/* ---- the request ---- */

static void hint(struct api_call *c, const struct conf_nearest *n)
{
    if (n->best)
        buf_printf(&c->message, "; did you mean \"%s\"?", n->best);
}

static int find_command(struct api_call *c, const char *name)
{
    struct conf_nearest n;
    c->command = api_command_find(name);
    if (c->command)
        return PM_OK;
    conf_nearest_init(&n, name);
    for (const struct api_command *cmd = api_commands; cmd->name; cmd++)
        conf_nearest_try(&n, cmd->name);
    api_fail(c, "unknown-command", "there is no command \"%.80s\"", name);
    hint(c, &n);
    return PM_ENOTFOUND;
}

static int unknown_arg(struct api_call *c, const char *name)
{
    struct conf_nearest n;
    conf_nearest_init(&n, name);
    for (size_t i = 0; i < c->command->arg_count; i++)
        conf_nearest_try(&n, c->command->args[i].name);
    api_fail(c, "bad-argument", "%s has no argument \"%.80s\"", c->command->name, name);
    hint(c, &n);
    return PM_EINVAL;
}

static int read_args(struct api_call *c, json_t *args)
{
    const struct api_command *cmd = c->command;
    const char *key;
    json_t *j;
    json_object_foreach (args, key, j) {
        size_t i = arg_index(cmd, key);
        if (i == cmd->arg_count)
            return unknown_arg(c, key);
        if (json_is_null(j))
            continue;
        int err = value_read(c, &cmd->args[i], j, &c->value[i]);
        if (err)
            return err;
        c->given[i] = true;
    }
    for (size_t i = 0; i < cmd->arg_count; i++) {
        const struct api_arg *a = &cmd->args[i];
        if (!c->given[i] && (a->flags & API_REQUIRED)) {
            api_fail(c, "bad-argument", "%s needs the argument \"%s\"", cmd->name, a->name);
            return PM_EINVAL;
        }
        if (!c->given[i] && a->def) {
            int err = text_value_read(c, a, a->def, &c->value[i]);
            if (err)
                return err;
            c->given[i] = true;
        }
    }
    return PM_OK;
}

int api_call_init(struct api_call *c, const struct api_host *host, const char *line, size_t len)
{
    json_error_t e;
    *c = (struct api_call){.host = host, .message = BUF_INIT};
    c->request = json_loadb(line, len, JSON_REJECT_DUPLICATES, &e);
    if (!json_is_object(c->request)) {
        api_fail(c, "parse", "a request is one JSON object on a line%s%s", c->request ? "" : ": ",
                 c->request ? "" : e.text);
        return PM_EPARSE;
    }
    const char *name = json_string_value(json_object_get(c->request, "cmd"));
    json_t *args = json_object_get(c->request, "args");
    if (!name || (args && !json_is_object(args) && !json_is_null(args))) {
        api_fail(c, "parse", name ? "\"args\" must be an object" : "\"cmd\" must be a string");
        return PM_EPARSE;
    }
    const char *key;
    json_t *member;
    json_object_foreach (c->request, key, member) {
        if (strcmp(key, "cmd") != 0 && strcmp(key, "args") != 0) {
            api_fail(c, "parse", "a request has \"cmd\" and \"args\", not \"%.80s\"", key);
            return PM_EPARSE;
        }
    }
    int err = find_command(c, name);
    return err ? err : read_args(c, args);
}

void api_call_fini(struct api_call *c)
{
    json_decref(c->request);
    buf_fini(&c->message);
}

json_t *api_answer(const struct api_host *host, const char *line, size_t len)
{
    struct api_call c;
    json_t *data = api_call_init(&c, host, line, len) ? NULL : c.command->run(&c);
    json_t *answer;
    if (data) {
        answer = json_pack("{s:b, s:o}", "ok", 1, "data", data);
    } else {
        json_t *message = json_string(buf_str(&c.message));
        answer = json_pack("{s:b, s:s, s:o}", "ok", 0, "error", c.error ? c.error : "io", "message",
                           message ? message : json_string("(not UTF-8)"));
    }
    api_call_fini(&c);
    return answer;
}
