/* SPDX-License-Identifier: Apache-2.0 */
/* From argv to a request, and from its answer to what is printed. */
#include "main/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "api/commands.h"
#include "conf/load.h"

int cli_error(int code, const char *fmt, ...)
{
    struct text t;
    struct buf message = BUF_INIT;
    va_list ap;
    text_init(&t, STDERR_FILENO);
    va_start(ap, fmt);
    buf_vprintf(&message, fmt, ap);
    va_end(ap);
    text_add(&t, TEXT_BAD, "pointsman:");
    text_add(&t, TEXT_PLAIN, " ");
    text_lines(&t, buf_str(&message)); /* a reload's report has several */
    buf_fini(&message);
    text_flush(&t, STDERR_FILENO);
    return code;
}

/* What the command line says. */
struct parsed {
    const struct api_command *command;
    json_t *args;
    const char *socket;
    bool json;
};

static const struct api_arg *arg_named(const struct api_command *c, const char *name, size_t len)
{
    for (size_t i = 0; i < c->arg_count; i++)
        if (strlen(c->args[i].name) == len && memcmp(c->args[i].name, name, len) == 0)
            return &c->args[i];
    return NULL;
}

static const struct api_arg *next_positional(const struct parsed *p)
{
    for (size_t i = 0; i < p->command->arg_count; i++) {
        const struct api_arg *a = &p->command->args[i];
        if ((a->flags & API_POSITIONAL) && !json_object_get(p->args, a->name))
            return a;
    }
    return NULL;
}

static int unknown_option(const struct parsed *p, const char *name, size_t len)
{
    char word[80];
    struct conf_nearest n;
    snprintf(word, sizeof word, "%.*s", (int)len, name);
    conf_nearest_init(&n, word);
    conf_nearest_try(&n, "json");
    conf_nearest_try(&n, "socket");
    conf_nearest_try(&n, "help");
    for (size_t i = 0; i < p->command->arg_count; i++)
        conf_nearest_try(&n, p->command->args[i].name);
    return cli_error(CLI_USAGE, "%s has no option --%s%s%s (see `pointsman help %s`)", p->command->name, word,
                     n.best ? "; did you mean --" : "", n.best ? n.best : "", p->command->name);
}

static int set_arg(struct parsed *p, const struct api_arg *a, const char *value)
{
    json_t *j = json_string(value);
    if (!j)
        return cli_error(CLI_USAGE, "%s: the value is not UTF-8", a->name);
    if (json_object_get(p->args, a->name)) {
        json_decref(j);
        return cli_error(CLI_USAGE, "%s is given twice", a->name);
    }
    json_object_set_new(p->args, a->name, j);
    return CLI_OK;
}

/* --name=value, --name value, or --flag; *i moves past what was taken. */
static int take_option(struct parsed *p, int argc, char **argv, int *i)
{
    const char *name = argv[*i] + 2, *value = strchr(name, '=');
    size_t len = value ? (size_t)(value++ - name) : strlen(name);
    if (!value && strcmp(name, "json") == 0) {
        p->json = true;
        return CLI_OK;
    }
    bool is_socket = len == 6 && memcmp(name, "socket", 6) == 0;
    const struct api_arg *a = is_socket ? NULL : arg_named(p->command, name, len);
    if (!a && !is_socket)
        return unknown_option(p, name, len);
    if (!value && a && a->type == API_FLAG)
        value = "yes";
    if (!value && ++*i >= argc)
        return cli_error(CLI_USAGE, "--%.*s needs a value", (int)len, name);
    if (!value)
        value = argv[*i];
    if (!is_socket)
        return set_arg(p, a, value);
    p->socket = value;
    return CLI_OK;
}

static int take_positional(struct parsed *p, const char *value)
{
    const struct api_arg *a = next_positional(p);
    if (!a)
        return cli_error(CLI_USAGE, "%s: unexpected argument \"%s\" (see `pointsman help %s`)", p->command->name,
                         value, p->command->name);
    return set_arg(p, a, value);
}

static int parse(struct parsed *p, int argc, char **argv)
{
    bool options = true;
    for (int i = 1; i < argc; i++) {
        int code;
        if (options && strcmp(argv[i], "--") == 0) {
            options = false;
            continue;
        }
        /* "-10m" is a value, so one dash is no option. */
        if (options && strncmp(argv[i], "--", 2) == 0)
            code = take_option(p, argc, argv, &i);
        else
            code = take_positional(p, argv[i]);
        if (code)
            return code;
    }
    for (size_t i = 0; i < p->command->arg_count; i++) {
        const struct api_arg *a = &p->command->args[i];
        if ((a->flags & API_REQUIRED) && !json_object_get(p->args, a->name))
            return cli_error(CLI_USAGE, "%s needs a %s (see `pointsman help %s`)", p->command->name, a->name,
                             p->command->name);
    }
    return CLI_OK;
}

static int print(const struct parsed *p, const json_t *data)
{
    struct text t;
    text_init(&t, STDOUT_FILENO);
    if (p->json) {
        char *s = json_dumps(data, JSON_INDENT(2));
        buf_puts(&t.out, s ? s : "null");
        buf_putc(&t.out, '\n');
        free(s);
    } else {
        cli_render(&t, p->command->name, data);
    }
    if (!text_flush(&t, STDOUT_FILENO) && errno != EPIPE)
        return cli_error(CLI_FAILED, "cannot write: %s", strerror(errno));
    return CLI_OK;
}

static int ask(struct parsed *p)
{
    struct buf problem = BUF_INIT;
    struct cli_client c;
    json_t *data = NULL;
    int code = cli_connect(&c, p->socket, &problem);
    if (!code)
        code = cli_request(&c, p->command->name, json_incref(p->args), &data, &problem);
    if (code)
        cli_error(code, "%s", buf_str(&problem));
    else
        code = print(p, data);
    json_decref(data);
    cli_close(&c);
    buf_fini(&problem);
    return code;
}

static int run_command(const struct api_command *command, int argc, char **argv)
{
    struct parsed p = {.command = command, .args = json_object()};
    int code = parse(&p, argc, argv);
    if (!code)
        code = ask(&p);
    json_decref(p.args);
    return code;
}

static int unknown_command(const char *name)
{
    struct conf_nearest n;
    conf_nearest_init(&n, name);
    for (const struct api_command *c = api_commands; c->name; c++)
        conf_nearest_try(&n, c->name);
    for (const struct cli_external *e = cli_externals; e->name; e++)
        conf_nearest_try(&n, e->name);
    conf_nearest_try(&n, "help");
    return cli_error(CLI_USAGE, "there is no command \"%s\"%s%s%s (see `pointsman help`)", name,
                     n.best ? "; did you mean \"" : "", n.best ? n.best : "", n.best ? "\"?" : "");
}

static const struct cli_external *external_find(const char *name)
{
    for (const struct cli_external *e = cli_externals; e->name; e++)
        if (strcmp(e->name, name) == 0)
            return e;
    return NULL;
}

/* "catalog plan" is a command as "catalog" is: the longest that fits. */
static const struct api_command *command_find(int argc, char **argv, int *words)
{
    char two[64];
    *words = 1;
    if (argc > 1 && snprintf(two, sizeof two, "%s %s", argv[0], argv[1]) < (int)sizeof two && api_command_find(two)) {
        *words = 2;
        return api_command_find(two);
    }
    return api_command_find(argv[0]);
}

static int help(const char *command)
{
    struct text t;
    if (command && !external_find(command) && !api_command_find(command))
        return unknown_command(command);
    text_init(&t, STDOUT_FILENO);
    cli_help(&t, command);
    text_flush(&t, STDOUT_FILENO);
    return CLI_OK;
}

static int help_of(int argc, char **argv)
{
    int words;
    const struct api_command *c = argc ? command_find(argc, argv, &words) : NULL;
    return help(c ? c->name : argc ? argv[0] : NULL);
}

static bool wants_help(const char *s)
{
    return strcmp(s, "--help") == 0 || strcmp(s, "-h") == 0;
}

int cli_main(int argc, char **argv)
{
    if (argc < 2) {
        struct text t;
        text_init(&t, STDERR_FILENO);
        cli_help(&t, NULL);
        text_flush(&t, STDERR_FILENO);
        return CLI_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "help") == 0 || wants_help(name))
        return help_of(argc - 2, argv + 2);
    const struct cli_external *e = external_find(strcmp(name, "--version") == 0 ? "version" : name);
    int words = 1;
    const struct api_command *c = e ? NULL : command_find(argc - 1, argv + 1, &words);
    if (!e && !c)
        return unknown_command(name);
    for (int i = 2; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (wants_help(argv[i]))
            return help(e ? e->name : c->name);
    return e ? e->fn(argc - 1, argv + 1) : run_command(c, argc - words, argv + words);
}
