/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec: runs a command; exit status 0 is good. No shell; its first line of output is the reason. The command and all it
 * started (its process group) are killed when the time is up.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/arena.h"
#include "monitor/probe.h"

enum { ENV_COUNT = 6 };

struct exec_params {
    struct conf_list command; /* const char * */
};

static const struct conf_key keys[] = {
    {"command", CONF_STRING, offsetof(struct exec_params, command), .flags = CONF_LIST | CONF_REQUIRED,
     .doc = "Program and arguments. It gets POINTSMAN_ADDRESS, POINTSMAN_PORT, POINTSMAN_HOST and POINTSMAN_TIMEOUT_MS in its "
            "environment, and runs with the daemon's (dropped) privileges."},
};

struct run {
    struct probe *probe; /* NULL once given up */
    uv_process_t process;
    uv_pipe_t out;
    uint8_t open_handles;
    bool exited;
    int64_t status;
    int signal;
    char line[80];
    size_t len;
    bool line_done;
};

static void on_close(uv_handle_t *h)
{
    struct run *r = h->data;
    if (--r->open_handles == 0)
        free(r);
}

static void close_all(struct run *r)
{
    if (!uv_is_closing((uv_handle_t *)&r->process))
        uv_close((uv_handle_t *)&r->process, on_close);
    if (!uv_is_closing((uv_handle_t *)&r->out))
        uv_close((uv_handle_t *)&r->out, on_close);
}

static void on_alloc(uv_handle_t *h, size_t size, uv_buf_t *b)
{
    static char space[4096]; /* the control thread's only */
    *b = uv_buf_init(space, sizeof space);
}

static void maybe_finish(struct run *r)
{
    if (!r->exited || uv_is_active((uv_handle_t *)&r->out))
        return;
    struct probe *p = r->probe;
    struct probe_result result = probe_result_make(PROBE_OK, "%s", "");
    if (r->signal)
        result = probe_result_make(PROBE_FAIL, "killed by signal %d", r->signal);
    else if (r->status)
        result = probe_result_make(PROBE_FAIL, "exit status %d%s%s", (int)r->status, r->len ? ": " : "", r->line);
    result.code = (int32_t)r->status;
    r->probe = NULL;
    close_all(r);
    if (p) {
        p->state = NULL;
        probe_done(p, &result);
    }
}

static void take_output(struct run *r, const char *data, ssize_t n)
{
    for (ssize_t i = 0; i < n && !r->line_done; i++) {
        r->line_done = data[i] == '\n' || r->len == sizeof r->line - 1;
        if (!r->line_done)
            r->line[r->len++] = (unsigned char)data[i] < ' ' ? ' ' : data[i];
    }
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
    struct run *r = s->data;
    take_output(r, b->base, n);
    if (n < 0) {
        uv_read_stop(s);
        maybe_finish(r);
    }
}

static void on_process_exit(uv_process_t *process, int64_t status, int term_signal)
{
    struct run *r = process->data;
    r->exited = true;
    r->status = status;
    r->signal = term_signal;
    /* A grandchild may keep the pipe open: what has been written by now is enough. */
    uv_os_fd_t fd;
    char rest[256];
    if (!r->line_done && uv_fileno((uv_handle_t *)&r->out, &fd) == 0)
        take_output(r, rest, read(fd, rest, sizeof rest));
    uv_read_stop((uv_stream_t *)&r->out);
    maybe_finish(r);
}

static void exec_start(struct probe *p)
{
    const struct exec_params *params = p->params;
    struct run *r = mem_alloc(sizeof *r);
    char env[ENV_COUNT][300], address[ADDR_TEXT], *envp[ENV_COUNT + 1] = {NULL};
    char **argv = mem_alloc((params->command.count + 1) * sizeof(char *));
    memcpy(argv, params->command.items, params->command.count * sizeof(char *));
    snprintf(env[0], sizeof env[0], "POINTSMAN_ADDRESS=%s", addr_format(&p->target.addr, address));
    snprintf(env[1], sizeof env[1], "POINTSMAN_PORT=%u", p->target.port);
    snprintf(env[2], sizeof env[2], "POINTSMAN_HOST=%s", p->host);
    snprintf(env[3], sizeof env[3], "POINTSMAN_TIMEOUT_MS=%llu", (unsigned long long)p->timeout_ms);
    snprintf(env[4], sizeof env[4], "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    snprintf(env[5], sizeof env[5], "LC_ALL=C");
    for (unsigned i = 0; i < ENV_COUNT; i++)
        envp[i] = env[i];
    uv_pipe_init(p->loop, &r->out, 0);
    r->out.data = r->process.data = r;
    r->open_handles = 2;
    r->probe = p;
    p->state = r;
    uv_stdio_container_t stdio[3] = {{.flags = UV_IGNORE},
                                     {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&r->out},
                                     {.flags = UV_IGNORE}};
    uv_process_options_t o = {.exit_cb = on_process_exit, .file = argv[0], .args = argv, .env = envp, .stdio_count = 3, .stdio = stdio,
                              .flags = UV_PROCESS_DETACHED};
    int err = uv_spawn(p->loop, &r->process, &o);
    free(argv);
    if (err) {
        struct probe_result result = probe_result_make(PROBE_LOCAL, "cannot run %.60s: %s",
                                                       *(const char *const *)params->command.items, uv_strerror(err));
        r->probe = NULL;
        close_all(r);
        p->state = NULL;
        probe_done(p, &result);
        return;
    }
    uv_read_start((uv_stream_t *)&r->out, on_alloc, on_read);
}

static void exec_cancel(struct probe *p)
{
    struct run *r = p->state;
    if (!r)
        return;
    p->state = NULL;
    r->probe = NULL;
    if (!r->exited)
        kill(-r->process.pid, SIGKILL); /* its own group: UV_PROCESS_DETACHED made it the leader */
    uv_read_stop((uv_stream_t *)&r->out);
    if (r->exited)
        close_all(r); /* else on_process_exit does, once the child has been waited for */
}

const struct conf_object monitor_exec_object = {.name = "exec",
                                                .doc = "Runs a command; exit status 0 is good.",
                                                .size = sizeof(struct exec_params),
                                                CONF_KEYS(keys),
                                                .shorthand = "command"};
const struct monitor_module monitor_exec = {.object = &monitor_exec_object, .uses_host = true, .start = exec_start, .cancel = exec_cancel};
