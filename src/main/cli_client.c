/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>
#include "main/cli.h"

/* A reload of a big configuration takes a while; nothing takes longer than this. */
enum { ANSWER_TIMEOUT_S = 120, ANSWER_MAX = 512 << 20 };

static int connect_problem(const char *path, int e, struct buf *problem)
{
    switch (e) {
    case ENOENT:
        buf_printf(problem, "no daemon: there is no socket %s (is `pointsman run` running? another path: --socket)",
                   path);
        return CLI_UNREACHABLE;
    case ECONNREFUSED:
        buf_printf(problem,
                   "no daemon: nobody answers on %s (it ended without cleaning up; start it with `pointsman run`)",
                   path);
        return CLI_UNREACHABLE;
    case EACCES:
    case EPERM:
        buf_printf(problem, "no permission for %s (be root, or in the group of that socket)", path);
        return CLI_UNREACHABLE;
    default:
        buf_printf(problem, "cannot connect to %s: %s", path, strerror(e));
        return CLI_UNREACHABLE;
    }
}

int cli_connect(struct cli_client *c, const char *path, struct buf *problem)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = ANSWER_TIMEOUT_S};
    const char *env = getenv(CLI_SOCKET_ENV);
    *c = (struct cli_client){-1, BUF_INIT};
    if (!path)
        path = env && *env ? env : CLI_SOCKET_DEFAULT;
    if (strlen(path) >= sizeof sa.sun_path) {
        buf_printf(problem, "socket %s: the path is longer than %zu bytes", path, sizeof sa.sun_path - 1);
        return CLI_USAGE;
    }
    strcpy(sa.sun_path, path);
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        buf_printf(problem, "socket: %s", strerror(errno));
        return CLI_FAILED;
    }
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(c->fd, (struct sockaddr *)&sa, sizeof sa) == 0)
        return CLI_OK;
    int code = connect_problem(path, errno, problem);
    cli_close(c);
    return code;
}

static bool send_all(int fd, const char *data, size_t len)
{
    while (len) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* One line; its length without the end, or -1. */
static ssize_t read_line(struct cli_client *c, struct buf *problem)
{
    size_t seen = 0;
    for (;;) {
        char chunk[65536];
        const char *end = c->in.len > seen ? memchr(c->in.data + seen, '\n', c->in.len - seen) : NULL;
        if (end)
            return end - c->in.data;
        seen = c->in.len;
        ssize_t n = c->in.len > ANSWER_MAX ? 0 : recv(c->fd, chunk, sizeof chunk, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            buf_puts(problem, n == 0                                    ? "the daemon closed the connection"
                              : errno == EAGAIN || errno == EWOULDBLOCK ? "the daemon does not answer"
                                                                        : strerror(errno));
            return -1;
        }
        buf_add(&c->in, chunk, (size_t)n);
    }
}

static int take_answer(const json_t *answer, json_t **data, struct buf *problem)
{
    json_t *d = json_object_get(answer, "data");
    if (json_flag(answer, "ok") && d) {
        *data = json_incref(d);
        return CLI_OK;
    }
    const char *error = json_text(answer, "error"), *message = json_text(answer, "message");
    buf_puts(problem, *message ? message : *error ? error : "the daemon's answer makes no sense");
    return strcmp(error, "bad-argument") == 0 || strcmp(error, "unknown-command") == 0 ? CLI_USAGE : CLI_FAILED;
}

int cli_request(struct cli_client *c, const char *cmd, json_t *args, json_t **data, struct buf *problem)
{
    json_t *request = json_pack("{s:s, s:o}", "cmd", cmd, "args", args ? args : json_object());
    char *line = request ? json_dumps(request, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    json_decref(request);
    *data = NULL;
    if (!line) {
        buf_puts(problem, "an argument is not UTF-8");
        return CLI_USAGE;
    }
    size_t len = strlen(line);
    line[len] = '\n';
    /* A refusal (too many clients) may come before the request is taken: so read even if sending fails. */
    (void)!send_all(c->fd, line, len + 1);
    free(line);
    ssize_t n = read_line(c, problem);
    if (n < 0)
        return CLI_FAILED;
    json_error_t e;
    json_t *answer = json_loadb(c->in.data, (size_t)n, 0, &e);
    buf_consume(&c->in, (size_t)n + 1);
    int code = take_answer(answer, data, problem);
    json_decref(answer);
    return code;
}

void cli_close(struct cli_client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    buf_fini(&c->in);
}
