/* SPDX-License-Identifier: Apache-2.0 */
#include "main/keys_command.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "base/buf.h"
#include "main/cli.h"
#include "mesh/keys.h"

struct request {
    struct keys_options o;
    const char *name; /* --name */
    char **args;
    int count;
    bool json;
};

struct verb {
    const char *name;
    int least, most; /* arguments */
    int (*run)(const struct request *r, struct buf *why);
};

static void report(const char *what, const struct request *r, const char *node)
{
    printf("%s %s/%s.pem\n", what, r->o.dir, node);
}

static int run_init(const struct request *r, struct buf *why)
{
    struct request at = *r;
    if (r->count)
        at.o.dir = r->args[0];
    if (!r->name) {
        buf_puts(why, "keys init needs --name NODE, the name of this balancer");
        return PM_EINVAL;
    }
    int err = keys_init(&at.o, r->name, why);
    if (!err) {
        printf("made %s/ca.pem (for every node) and %s/ca.key (keep it here)\n", at.o.dir, at.o.dir);
        report("made", &at, r->name);
    }
    return err;
}

static int run_issue(const struct request *r, struct buf *why)
{
    int err = keys_issue(&r->o, r->args[0], why);
    if (!err)
        report("made", r, r->args[0]);
    return err;
}

struct renewal {
    const struct request *r;
    struct buf *why;
    unsigned seen;
    int err;
};

static void renew_one(struct renewal *n, const char *node)
{
    bool renewed;
    n->seen++;
    if (n->err)
        return;
    n->err = keys_renew(&n->r->o, node, &renewed, n->why);
    if (!n->err)
        report(renewed ? "renewed" : "still good:", n->r, node);
}

static void renew_listed(void *ctx, const struct keys_entry *e)
{
    if (!e->authority)
        renew_one(ctx, e->name);
}

/* Named ones are renewed at once; without names those that need it. */
static int run_renew(const struct request *r, struct buf *why)
{
    struct request named = *r;
    named.o.force = true;
    struct renewal n = {.r = r->count ? &named : r, .why = why};
    for (int i = 0; i < r->count; i++)
        renew_one(&n, r->args[i]);
    if (!r->count) {
        int err = keys_show(&r->o, renew_listed, &n, why);
        n.err = n.err ? n.err : err;
    }
    if (!n.err && !n.seen) {
        buf_printf(why, "%s: no node's certificate is here", r->o.dir);
        n.err = PM_ENOTFOUND;
    }
    return n.err;
}

struct listing {
    struct table table;
    json_t *json;
    int64_t now_s;
};

static const char *day(int64_t s, char out[16])
{
    struct tm tm;
    time_t t = (time_t)s;
    if (!s || !gmtime_r(&t, &tm) || !strftime(out, 16, "%Y-%m-%d", &tm))
        out[0] = 0;
    return out;
}

static void show_json(struct listing *l, const struct keys_entry *e)
{
    json_array_append_new(l->json, json_pack("{s:s, s:b, s:I, s:I, s:s, s:s}", "name", e->name, "authority", e->authority,
                                             "from", (json_int_t)e->from_s, "until", (json_int_t)e->until_s,
                                             "fingerprint", e->fingerprint, "problem", e->problem));
}

static void show_entry(void *ctx, const struct keys_entry *e)
{
    struct listing *l = ctx;
    char from[16], until[16];
    if (l->json) {
        show_json(l, e);
        return;
    }
    table_cell(&l->table, TEXT_NAME, "%s", e->name);
    table_cell(&l->table, TEXT_PLAIN, "%s", e->authority ? "authority" : "node");
    table_cell(&l->table, TEXT_PLAIN, "%s", day(e->from_s, from));
    table_cell(&l->table, TEXT_PLAIN, "%s", day(e->until_s, until));
    if (e->until_s)
        table_cell(&l->table, TEXT_PLAIN, "%lld", (long long)(e->until_s - l->now_s) / 86400);
    else
        table_cell(&l->table, TEXT_PLAIN, "%s", "");
    table_cell(&l->table, TEXT_BAD, "%s", e->problem);
    table_cell(&l->table, TEXT_PLAIN, "%s", e->fingerprint);
}

static int run_show(const struct request *r, struct buf *why)
{
    static const char *const heads[] = {"NAME", "KIND", "FROM", "UNTIL", "DAYS", "PROBLEM", "SHA-256"};
    struct text t;
    struct request at = *r;
    struct listing l = {.json = r->json ? json_array() : NULL, .now_s = (int64_t)time(NULL)};
    if (r->count)
        at.o.dir = r->args[0];
    text_init(&t, STDOUT_FILENO);
    table_init(&l.table, PM_ARRAY_LEN(heads), heads);
    l.table.right = 1u << 4;
    l.table.elastic = 1u << 6;
    int err = keys_show(&at.o, show_entry, &l, why);
    if (!err && l.json) {
        json_dumpf(l.json, stdout, JSON_INDENT(2));
        putchar('\n');
    }
    table_print(&l.table, &t);
    if (!text_flush(&t, STDOUT_FILENO) && !err)
        err = PM_EIO;
    json_decref(l.json);
    return err;
}

static const struct verb verbs[] = {
    {"init", 0, 1, run_init},
    {"issue", 1, 1, run_issue},
    {"renew", 0, 1 << 20, run_renew},
    {"show", 0, 1, run_show},
};

static const struct verb *verb_named(const char *name)
{
    for (size_t i = 0; i < PM_ARRAY_LEN(verbs); i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

static bool parse_days(const char *text, unsigned *out)
{
    char *end;
    errno = 0;
    unsigned long n = strtoul(text, &end, 10);
    *out = (unsigned)n;
    return text[0] >= '0' && text[0] <= '9' && !*end && !errno && n >= 1 && n <= KEYS_DAYS_MAX;
}

static int parse(int argc, char **argv, struct request *r)
{
    static const struct option longs[] = {{"name", required_argument, NULL, 'n'},
                                          {"dir", required_argument, NULL, 'd'},
                                          {"days", required_argument, NULL, 'D'},
                                          {"force", no_argument, NULL, 'f'},
                                          {"json", no_argument, NULL, 'j'},
                                          {0}};
    *r = (struct request){.o = {.dir = KEYS_DIR_DEFAULT}};
    optind = 0;
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        if (c == 'n')
            r->name = optarg;
        else if (c == 'd')
            r->o.dir = optarg;
        else if (c == 'f')
            r->o.force = true;
        else if (c == 'j')
            r->json = true;
        else if (c != 'D')
            return CLI_USAGE; /* getopt has said why */
        else if (!parse_days(optarg, &r->o.days))
            return cli_error(CLI_USAGE, "--days: a number from 1 to %d, not \"%s\"", KEYS_DAYS_MAX, optarg);
    }
    r->args = argv + optind;
    r->count = argc - optind;
    return CLI_OK;
}

int keys_main(int argc, char **argv)
{
    struct request r;
    struct buf why = BUF_INIT;
    const struct verb *v = argc > 1 ? verb_named(argv[1]) : NULL;
    if (!v)
        return cli_error(CLI_USAGE, "keys: say what to do: %s", KEYS_USAGE);
    int code = parse(argc - 1, argv + 1, &r);
    if (code)
        return code;
    if (r.count < v->least || r.count > v->most)
        return cli_error(CLI_USAGE, "keys %s: wrong number of arguments: keys %s", v->name, KEYS_USAGE);
    if (v->run(&r, &why) != PM_OK)
        code = cli_error(CLI_FAILED, "%s", buf_str(&why));
    buf_fini(&why);
    return code;
}
