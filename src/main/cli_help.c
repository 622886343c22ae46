/* SPDX-License-Identifier: Apache-2.0 */
/* `pointsman help`, out of the table of commands. */
#include <stdio.h>
#include <string.h>
#include "api/commands.h"
#include "main/cli.h"

static void usage(struct text *t, const struct api_command *c)
{
    text_add(t, TEXT_BOLD, "pointsman %s", c->name);
    for (size_t i = 0; i < c->arg_count; i++) {
        const struct api_arg *a = &c->args[i];
        bool required = a->flags & API_REQUIRED;
        if (a->flags & API_POSITIONAL)
            text_add(t, TEXT_PLAIN, required ? " %s" : " [%s]", a->name);
        else if (a->type == API_FLAG)
            text_add(t, TEXT_PLAIN, " [--%s]", a->name);
        else
            text_add(t, TEXT_PLAIN, required ? " --%s %s" : " [--%s %s]", a->name, api_arg_type_name(a->type));
    }
    text_line(t);
}

static void one_command(struct text *t, const struct api_command *c)
{
    struct table tb;
    usage(t, c);
    text_line(t);
    text_wrap(t, TEXT_PLAIN, 0, 0, c->doc);
    text_line(t);
    if (c->detail) {
        text_wrap(t, TEXT_PLAIN, 0, 0, c->detail);
        text_line(t);
    }
    text_line(t);
    table_init(&tb, 3, NULL);
    tb.indent = 2;
    tb.elastic = 4;
    for (size_t i = 0; i < c->arg_count; i++) {
        const struct api_arg *a = &c->args[i];
        bool value = !(a->flags & API_POSITIONAL) && a->type != API_FLAG;
        table_cell(&tb, TEXT_NAME, a->flags & API_POSITIONAL ? "%s" : "--%s", a->name);
        table_cell(&tb, TEXT_PLAIN, "%s", value ? api_arg_type_name(a->type) : "");
        table_cell(&tb, TEXT_PLAIN, a->def && a->type != API_FLAG ? "%s (%s)" : "%s", a->doc, a->def);
    }
    table_cell(&tb, TEXT_NAME, "--json");
    table_cell(&tb, TEXT_PLAIN, "%s", "");
    table_cell(&tb, TEXT_PLAIN, "Print the answer's data as it is.");
    table_cell(&tb, TEXT_NAME, "--socket");
    table_cell(&tb, TEXT_PLAIN, "PATH");
    table_cell(&tb, TEXT_PLAIN, "Control socket (" CLI_SOCKET_DEFAULT ", or $" CLI_SOCKET_ENV ").");
    table_print(&tb, t);
}

static void heading(struct text *t, const char *s)
{
    text_line(t);
    text_add(t, TEXT_BOLD, "%s", s);
    text_line(t);
}

static void command_rows(struct text *t, bool changes)
{
    struct table tb;
    table_init(&tb, 2, NULL);
    tb.indent = 2;
    tb.elastic = 2;
    for (const struct api_command *c = api_commands; c->name; c++) {
        if (c->changes != changes)
            continue;
        table_cell(&tb, TEXT_NAME, "%s", c->name);
        table_cell(&tb, TEXT_PLAIN, "%s", c->doc);
    }
    table_print(&tb, t);
}

static void all_commands(struct text *t)
{
    struct table tb;
    text_add(t, TEXT_BOLD, "pointsman " PM_VERSION);
    text_add(t, TEXT_PLAIN, ": DNS answers chosen from measured health");
    text_line(t);
    heading(t, "Look");
    command_rows(t, false);
    heading(t, "Change");
    command_rows(t, true);
    heading(t, "Here");
    table_init(&tb, 2, NULL);
    tb.indent = 2;
    tb.elastic = 2;
    for (const struct cli_external *e = cli_externals; e->name; e++) {
        table_cell(&tb, TEXT_NAME, "%s", e->name);
        table_cell(&tb, TEXT_PLAIN, "%s", e->doc);
    }
    table_cell(&tb, TEXT_NAME, "help");
    table_cell(&tb, TEXT_PLAIN, "This page, or one command's: pointsman help COMMAND.");
    table_print(&tb, t);
    text_line(t);
    text_wrap(t, TEXT_DIM, 0, 0, "Every command that looks or changes has --json and --socket PATH.");
    text_line(t);
}

void cli_help(struct text *t, const char *command)
{
    const struct api_command *c = command ? api_command_find(command) : NULL;
    if (!command)
        all_commands(t);
    if (c)
        one_command(t, c);
    for (const struct cli_external *e = cli_externals; !c && command && e->name; e++) {
        if (strcmp(e->name, command) != 0)
            continue;
        text_add(t, TEXT_BOLD, "pointsman %s", e->name);
        text_add(t, TEXT_PLAIN, " %s", e->usage ? e->usage : "");
        text_line(t);
        text_line(t);
        text_wrap(t, TEXT_PLAIN, 0, 0, e->doc);
        text_line(t);
    }
}
