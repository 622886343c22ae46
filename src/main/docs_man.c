/* SPDX-License-Identifier: Apache-2.0 */
/* pointsman(8) in the man macros, out of the same tables. */
#include <string.h>
#include "api/commands.h"
#include "main/cli.h"
#include "main/docs.h"

/* Text of a paragraph: no escapes by accident, no control line (a dot or a quote at its beginning), plain hyphens. */
static void roff(struct buf *out, const char *s)
{
    bool start = true;
    for (; *s; s++) {
        if (start && (*s == '.' || *s == '\''))
            buf_puts(out, "\\&");
        if (*s == '\\')
            buf_puts(out, "\\e");
        else if (*s == '-')
            buf_puts(out, "\\-");
        else
            buf_putc(out, *s);
        start = *s == '\n';
    }
}

static void bold(struct buf *out, const char *s)
{
    buf_puts(out, "\\fB");
    roff(out, s);
    buf_puts(out, "\\fR");
}

static void argument(struct buf *out, const struct api_arg *a)
{
    buf_puts(out, ".RS\n.TP\n");
    if (a->flags & API_POSITIONAL) {
        buf_puts(out, "\\fI");
        roff(out, a->name);
        buf_puts(out, "\\fR");
    } else {
        buf_puts(out, "\\fB\\-\\-");
        roff(out, a->name);
        buf_puts(out, "\\fR");
        if (a->type != API_FLAG)
            buf_printf(out, " \\fI%s\\fR", api_arg_type_name(a->type));
    }
    buf_putc(out, '\n');
    roff(out, a->doc);
    if (a->def && a->type != API_FLAG) {
        buf_puts(out, " Default: ");
        roff(out, a->def);
        buf_putc(out, '.');
    }
    buf_puts(out, "\n.RE\n");
}

static void command(struct buf *out, const struct api_command *c)
{
    buf_puts(out, ".TP\n");
    bold(out, c->name);
    for (size_t i = 0; i < c->arg_count; i++) {
        const struct api_arg *a = &c->args[i];
        if (!(a->flags & API_POSITIONAL))
            continue;
        buf_puts(out, a->flags & API_REQUIRED ? " \\fI" : " [\\fI");
        roff(out, a->name);
        buf_puts(out, a->flags & API_REQUIRED ? "\\fR" : "\\fR]");
    }
    buf_putc(out, '\n');
    roff(out, c->doc);
    buf_putc(out, '\n');
    if (c->detail) {
        roff(out, c->detail);
        buf_putc(out, '\n');
    }
    for (size_t i = 0; i < c->arg_count; i++)
        argument(out, &c->args[i]);
}

static void externals(struct buf *out)
{
    for (const struct cli_external *e = cli_externals; e->name; e++) {
        buf_puts(out, ".TP\n");
        bold(out, e->name);
        if (e->usage && *e->usage) {
            buf_putc(out, ' ');
            roff(out, e->usage);
        }
        buf_putc(out, '\n');
        roff(out, e->doc);
        buf_putc(out, '\n');
    }
}

static const char man_end[] = ".SH OPTIONS OF ALL COMMANDS THAT ASK THE DAEMON\n"
                              ".TP\n\\fB\\-\\-json\\fR\nPrint the answer's data as JSON.\n"
                              ".TP\n\\fB\\-\\-socket\\fR \\fIPATH\\fR\nControl socket of the daemon.\n"
                              ".SH ENVIRONMENT\n"
                              ".TP\n\\fB" CLI_SOCKET_ENV "\\fR\nControl socket, where \\-\\-socket is not given.\n"
                              ".TP\n\\fBNO_COLOR\\fR\nWhen not empty, nothing is coloured.\n"
                              ".SH FILES\n"
                              ".TP\n\\fI" CLI_SOCKET_DEFAULT "\\fR\nControl socket, where nothing else is said.\n"
                              ".SH EXIT STATUS\n"
                              ".TP\n0\nDone.\n.TP\n1\nThe command failed; one line on standard error says why.\n"
                              ".TP\n2\nWrong usage.\n.TP\n3\nThe daemon cannot be reached.\n";

void docs_man(struct buf *out)
{
    buf_puts(out, ".\\\" SPDX-License-Identifier: Apache-2.0\n.TH POINTSMAN 8 \"\" \"pointsman " PM_VERSION "\"\n"
                  ".SH NAME\npointsman \\- DNS answers chosen from measured health\n"
                  ".SH SYNOPSIS\n\\fBpointsman\\fR \\fIcommand\\fR [\\fIargument\\fR ...] [\\fB\\-\\-json\\fR] "
                  "[\\fB\\-\\-socket\\fR \\fIPATH\\fR]\n"
                  ".SH DESCRIPTION\n"
                  "An authoritative DNS server that answers a replicated service's name with the addresses of its "
                  "best sites. It "
                  "measures by itself which of them work, and each service's policy says what best means.\n"
                  ".SH COMMANDS HERE\n");
    externals(out);
    buf_puts(out, ".TP\n\\fBhelp\\fR [\\fIcommand\\fR]\nOverview, or what one command takes.\n");
    buf_puts(out, ".SH COMMANDS TO THE DAEMON\n");
    for (const struct api_command *c = api_commands; c->name; c++)
        command(out, c);
    buf_puts(out, man_end);
}
