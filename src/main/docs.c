/* SPDX-License-Identifier: Apache-2.0 */
#include "main/docs.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "agent/config.h"
#include "api/commands.h"
#include "api/metrics.h"
#include "base/file.h"
#include "conf/doc.h"
#include "main/cli.h"
#include "policy/policy.h"

static const char generated[] = "<!-- Made by `pointsman docs`; change the tables in the source instead. -->\n\n";

static void cell(struct buf *out, const char *s)
{
    for (; *s; s++) {
        if (*s == '|')
            buf_putc(out, '\\');
        buf_putc(out, *s == '\n' ? ' ' : *s);
    }
}

/* ---- commands ---- */

static void usage_line(struct buf *out, const struct api_command *c)
{
    buf_printf(out, "```\npointsman %s", c->name);
    for (size_t i = 0; i < c->arg_count; i++) {
        const struct api_arg *a = &c->args[i];
        bool required = a->flags & API_REQUIRED;
        buf_puts(out, required ? " " : " [");
        if (a->flags & API_POSITIONAL)
            buf_puts(out, a->name);
        else if (a->type == API_FLAG)
            buf_printf(out, "--%s", a->name);
        else
            buf_printf(out, "--%s %s", a->name, api_arg_type_name(a->type));
        buf_puts(out, required ? "" : "]");
    }
    buf_puts(out, " [--json] [--socket PATH]\n```\n\n");
}

static void command(struct buf *out, const struct api_command *c)
{
    buf_printf(out, "## %s\n\n%s\n\n", c->name, c->doc);
    usage_line(out, c);
    if (c->detail)
        buf_printf(out, "%s\n\n", c->detail);
    if (c->arg_count)
        buf_puts(out, "| Argument | Type | Default | Meaning |\n|---|---|---|---|\n");
    for (size_t i = 0; i < c->arg_count; i++) {
        const struct api_arg *a = &c->args[i];
        buf_printf(out, "| `%s` | ", a->name);
        cell(out, api_arg_type_name(a->type));
        buf_printf(out, " | %s | ", a->flags & API_REQUIRED ? "*required*" : a->def ? a->def : "");
        cell(out, a->doc);
        buf_puts(out, " |\n");
    }
    buf_puts(out, c->arg_count ? "\nAnswer:\n\n" : "Answer:\n\n");
    buf_puts(out, "| Member | Type | Meaning |\n|---|---|---|\n");
    for (size_t i = 0; i < c->field_count; i++) {
        buf_printf(out, "| `%s` | %s | ", c->fields[i].path, c->fields[i].type);
        cell(out, c->fields[i].doc);
        buf_puts(out, " |\n");
    }
    buf_putc(out, '\n');
}

void docs_commands(struct buf *out)
{
    buf_puts(out, "# Commands\n\n");
    buf_puts(out, generated);
    buf_puts(
        out,
        "Each command can be typed, `pointsman NAME ...`, or sent over the control socket as one JSON object on a "
        "line; "
        "several may follow each other on one connection:\n\n"
        "```\n{\"cmd\": \"drain\", \"args\": {\"target\": \"paris\", \"for\": \"2h\"}}\n```\n\n"
        "The answer is one line, `{\"ok\": true, \"data\": {...}}` or `{\"ok\": false, \"error\": \"not-found\", "
        "\"message\": \"...\"}`. `--json` prints `data` as it is. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no "
        "daemon "
        "reached.\n\n");
    for (const struct api_command *c = api_commands; c->name; c++)
        command(out, c);
    buf_puts(out, "## Commands without a daemon\n\n| Command | Usage | What it does |\n|---|---|---|\n");
    for (const struct cli_external *e = cli_externals; e->name; e++) {
        buf_printf(out, "| `%s` | `%s` | ", e->name, e->usage && *e->usage ? e->usage : " ");
        cell(out, e->doc);
        buf_puts(out, " |\n");
    }
    buf_puts(out, "\n## Errors\n\n| error | Meaning |\n|---|---|\n"
                  "| `unknown-command` | there is no such command |\n| `bad-argument` | an argument is unknown, "
                  "missing or wrong |\n");
#define X(sym, name, text) buf_puts(out, "| `" name "` | " text " |\n");
    PM_ERRORS(X)
#undef X
}

/* ---- stages ---- */

static void stage(const struct conf_reference *ref, const struct stage *s)
{
    static const char *const kinds[] = {
        "Filter: takes candidates out.", "Score: sorts candidates, best first; equals stay together.",
        "Group: puts together again what the last score nearly took as equal.",
        "Weight: sets the candidates' weights.", "Choose: says how a query picks; at most one, at the end."};
    char title[80];
    snprintf(title, sizeof title, "`%s`", s->object.name);
    conf_reference_object(ref, &s->object, title, 3);
    buf_printf(ref->out, "*%s*\n\n", kinds[s->kind]);
}

void docs_stages(struct buf *out)
{
    struct conf_reference ref = {.out = out};
    buf_puts(out, "# Policies: presets and stages\n\n");
    buf_puts(out, generated);
    buf_puts(out, "A policy is a list of stages. Each candidate goes through them in order; the first score named "
                  "matters most, "
                  "and each later one decides among those still equal.\n\n## Presets\n\n"
                  "| Policy | Stages | What it does |\n|---|---|---|\n");
    for (const struct config_preset *p = policy_presets; p->name; p++) {
        buf_printf(out, "| `%s` | `%s` | ", p->name, p->text);
        cell(out, p->doc);
        buf_puts(out, " |\n");
    }
    buf_puts(out, "\n## Stages\n\n");
    for (const struct stage *const *s = policy_stages; *s; s++)
        stage(&ref, *s);
}

/* ---- metrics ---- */

struct metric_rows {
    struct buf *out;
    json_t *seen;
};

static void metric_row(void *ctx, const char *name, const char *labels, const char *type, const char *help,
                       double value)
{
    struct metric_rows *r = ctx;
    if (json_object_get(r->seen, name))
        return;
    json_object_set_new(r->seen, name, json_true());
    buf_printf(r->out, "| `%s` | %s | ", name, type);
    cell(r->out, help);
    buf_puts(r->out, " |\n");
}

void docs_metrics(const struct docs_input *in, struct buf *out)
{
    struct metric_rows rows = {out, json_object()};
    buf_puts(out, "# Metrics\n\n");
    buf_puts(out, generated);
    buf_printf(out,
               "`GET /metrics` in the Prometheus text format; `GET /health` says `ok`. VIPs have metrics of their "
               "own up to %u "
               "VIPs; beyond that only sites have.\n\n| Metric | Type | What it says |\n|---|---|---|\n",
               (unsigned)METRICS_VIPS);
    for (const struct metrics_info *m = metrics_table; m->name; m++)
        metric_row(&rows, m->name, "", m->type, m->help, 0);
    if (in->metrics)
        in->metrics(in->metrics_ctx, metric_row, &rows);
    json_decref(rows.seen);
}

void docs_checks(const struct docs_input *in, struct buf *out)
{
    struct conf_reference ref = {.out = out};
    buf_puts(out, "# Checks\n\n");
    buf_puts(out, generated);
    conf_reference_registry(&ref, in->registries->checks, 2);
}

/* ---- files ---- */

static int write_file(const char *dir, const char *name, struct buf *text)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/%s", dir, name);
    int err = n < 0 || (size_t)n >= sizeof path ? PM_ETOOBIG : file_replace(path, buf_str(text), text->len, 0644);
    buf_fini(text);
    return err ? cli_error(CLI_FAILED, "%s: %s", path, err_text(err)) : CLI_OK;
}

static void docs_agent(struct buf *out)
{
    buf_printf(out, "%s# Agent\n\n`pointsman agent` on a node reads a file of its own.\n\n", generated);
    conf_reference_object(&(struct conf_reference){out, NULL}, &agent_config_object, "Configuration", 2);
}

static int write_all(const char *dir, const struct docs_input *in)
{
    struct buf commands = BUF_INIT, stages = BUF_INIT, metrics = BUF_INIT, configuration = BUF_INIT,
               checks = BUF_INIT, agent = BUF_INIT;
    int failed = 0;
    docs_commands(&commands);
    docs_stages(&stages);
    docs_metrics(in, &metrics);
    docs_checks(in, &checks);
    config_reference(in->registries, &configuration);
    docs_agent(&agent);
    failed |= write_file(dir, "commands.md", &commands);
    failed |= write_file(dir, "stages.md", &stages);
    failed |= write_file(dir, "metrics.md", &metrics);
    failed |= write_file(dir, "checks.md", &checks);
    failed |= write_file(dir, "configuration.md", &configuration);
    failed |= write_file(dir, "agent.md", &agent);
    return failed;
}

int docs_main(int argc, char **argv, const struct docs_input *in)
{
    if (argc != 2 || (argv[1][0] == '-' && strcmp(argv[1], "--man") != 0))
        return cli_error(CLI_USAGE, "docs needs a folder, or --man (see `pointsman help docs`)");
    if (argv[1][0] != '-')
        return write_all(argv[1], in);
    struct text t = {.out = BUF_INIT};
    docs_man(&t.out);
    return text_flush(&t, STDOUT_FILENO) ? CLI_OK : CLI_FAILED;
}
