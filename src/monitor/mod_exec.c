/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec: runs a program without a shell. Exit status 0 is good; the first line it prints is the
 * reason otherwise. The program is the leader of a process group of its own, and the whole group is
 * killed when it is cancelled or ends, so nothing it started stays. What it printed is read when it
 * has ended: a grandchild that keeps the pipe open does not keep the check waiting.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/arena.h"
#include "monitor/probe.h"

enum { OUTPUT_MAX = 4096 };

struct exec_params {
    struct conf_list command;
};

static const struct conf_key keys[] = {
    {"command", CONF_STRING, offsetof(struct exec_params, command),
     .flags = CONF_LIST | CONF_REQUIRED,
     .doc = "Program and its arguments, one list item each; no shell. It finds the target in "
            "POINTSMAN_ADDR, "
            "POINTSMAN_PORT, POINTSMAN_HOST and the time it has in POINTSMAN_TIMEOUT (seconds)."},
};

const struct conf_object monitor_exec_object = {
    .name = "exec",
    .doc = "Runs a program: exit status 0 is good, its first line of output says why not.",
    .size = sizeof(struct exec_params),
    .shorthand = "command",
    CONF_KEYS(keys),
};

struct exec {
    uv_process_t process;
    uv_pipe_t out;
    unsigned open;       /* handles to be closed before this can go */
    struct probe *probe; /* NULL = cancelled */

    char text[OUTPUT_MAX + 1];
    size_t len;
};

static void on_closed(uv_handle_t *h)
{
    struct exec *t = h->data;
    if (--t->open == 0)
        free(t);
}

static void close_all(struct exec *t)
{
    if (!uv_is_closing((uv_handle_t *)&t->out))
        uv_close((uv_handle_t *)&t->out, on_closed);
    if (!uv_is_closing((uv_handle_t *)&t->process))
        uv_close((uv_handle_t *)&t->process, on_closed);
}

static void kill_group(const struct exec *t)
{
    if (t->process.pid > 1)
        kill(-t->process.pid, SIGKILL);
}

static void keep(struct exec *t, const char *bytes, size_t n)
{
    size_t room = OUTPUT_MAX - t->len;
    n = n < room ? n : room;
    memcpy(t->text + t->len, bytes, n);
    t->len += n;
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *out)
{
    static char bytes[16384]; /* one loop, used up within the callback */
    *out = uv_buf_init(bytes, sizeof bytes);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    if (n > 0)
        keep(s->data, buf->base, (size_t)n);
    else if (n < 0)
        uv_read_stop(s);
}

static void on_exit_status(uv_process_t *process, int64_t status, int term_signal)
{
    struct exec *t = process->data;
    struct probe *p = t->probe;
    kill_group(t);
    if (!p) {
        close_all(t);
        return;
    }
    int fd;
    char bytes[OUTPUT_MAX];
    /* What lies in the pipe now; not until its end, which a daemonized grandchild may never bring.
     */
    for (int i = 0; i < 16 && t->len < OUTPUT_MAX && uv_fileno((uv_handle_t *)&t->out, &fd) == 0;
         i++) {
        ssize_t n = read(fd, bytes, sizeof bytes);
        if (n <= 0)
            break;
        keep(t, bytes, (size_t)n);
    }
    t->text[t->len] = '\0';
    t->text[strcspn(t->text, "\r\n")] = '\0';
    struct probe_result r;
    if (status == 0 && term_signal == 0)
        r = probe_result_make(PROBE_OK, "%s", "");
    else if (t->text[0])
        r = probe_result_make(PROBE_FAIL, "%s", t->text);
    else if (term_signal)
        r = probe_result_make(PROBE_FAIL, "killed by signal %d", term_signal);
    else
        r = probe_result_make(PROBE_FAIL, "exit status %d", (int)status);
    r.code = (int32_t)status;
    p->state = NULL;
    close_all(t);
    probe_done(p, &r);
}

/* The target, and a path to find programs in; nothing else of our environment is the program's
 * business. */
static void make_env(const struct probe *p, char *env[6], char text[5][320])
{
    char addr[ADDR_TEXT];
    const char *path = getenv("PATH");
    snprintf(text[0], sizeof text[0], "PATH=%s",
             path && strlen(path) < 300 ? path : "/usr/sbin:/usr/bin:/sbin:/bin");
    snprintf(text[1], sizeof text[1], "POINTSMAN_ADDR=%s", addr_format(&p->target.addr, addr));
    snprintf(text[2], sizeof text[2], "POINTSMAN_PORT=%u", p->target.port);
    snprintf(text[3], sizeof text[3], "POINTSMAN_HOST=%s", p->host);
    snprintf(text[4], sizeof text[4], "POINTSMAN_TIMEOUT=%.3f", (double)p->timeout_ms / 1000);
    for (int i = 0; i < 5; i++)
        env[i] = text[i];
    env[5] = NULL;
}

static int spawn(struct exec *t)
{
    const struct exec_params *params = t->probe->params;
    char **argv = mem_alloc((params->command.count + 1) * sizeof(char *));
    char *env[6], text[5][320];
    memcpy(argv, params->command.items, params->command.count * sizeof(char *));
    make_env(t->probe, env, text);
    uv_stdio_container_t io[3] = {
        {.flags = UV_IGNORE},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&t->out},
        {.flags = UV_IGNORE}};
    uv_process_options_t options = {.exit_cb = on_exit_status,
                                    .file = argv[0],
                                    .args = argv,
                                    .env = env,
                                    .cwd = "/",
                                    .flags = UV_PROCESS_DETACHED,
                                    .stdio_count = 3,
                                    .stdio = io};
    int err = argv[0] ? uv_spawn(t->probe->loop, &t->process, &options) : UV_EINVAL;
    free(argv);
    return err;
}

static void exec_start(struct probe *p)
{
    const struct exec_params *params = p->params;
    if (!params->command.count) {
        struct probe_result r = probe_result_make(PROBE_LOCAL, "no command");
        probe_done(p, &r);
        return;
    }
    struct exec *t = mem_alloc(sizeof *t);
    t->probe = p;
    t->out.data = t->process.data = t;
    uv_pipe_init(p->loop, &t->out, 0);
    int err = spawn(t);
    t->process.data = t;
    t->open = 2;
    if (err) {
        const char *const *argv = params->command.items;
        struct probe_result r =
            probe_result_make(PROBE_LOCAL, "cannot run %.50s: %s", argv[0], strerror(-err));
        close_all(t);
        probe_done(p, &r);
        return;
    }
    p->state = t;
    uv_read_start((uv_stream_t *)&t->out, on_alloc, on_read);
}

static void exec_cancel(struct probe *p)
{
    struct exec *t = p->state;
    p->state = NULL;
    t->probe = NULL;
    /* The handle stays until the exit is seen: that reaps the process. */
    kill_group(t);
}

const struct monitor_module monitor_exec = {
    .object = &monitor_exec_object, .uses_host = true, .start = exec_start, .cancel = exec_cancel};
