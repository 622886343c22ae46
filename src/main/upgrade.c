/* SPDX-License-Identifier: Apache-2.0 */
#include "main/upgrade.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <linux/capability.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"

enum { COMMAND_LINE_MAX = 1 << 20 };

/* Our own arguments, as the kernel keeps them: NUL-separated. */
static char **own_arguments(struct buf *text)
{
    size_t n = 0, at = 0;
    if (file_read("/proc/self/cmdline", COMMAND_LINE_MAX, text) != PM_OK || !text->len)
        return NULL;
    for (size_t i = 0; i < text->len; i++)
        n += text->data[i] == 0;
    char **argv = mem_alloc((n + 2) * sizeof *argv);
    for (size_t i = 0; i < text->len; i += strlen(text->data + i) + 1)
        argv[at++] = text->data + i;
    return argv;
}

/* Root is gone; only ambient capabilities cross an exec. */
static void keep_capabilities(void)
{
    /* The last three: the relay's, where priv_drop has left them. */
    static const int kept[] = {CAP_NET_BIND_SERVICE, CAP_NET_RAW, CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON};
    for (size_t i = 0; i < PM_ARRAY_LEN(kept); i++)
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, kept[i], 0, 0); /* without it: icmp says so, the rest works */
}

static _Noreturn void run_again(const struct listen_set *copies)
{
    struct buf args = BUF_INIT, sockets = BUF_INIT;
    char parent[16];
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    char **argv = own_arguments(&args);
    respond_listen_export(copies, &sockets);
    snprintf(parent, sizeof parent, "%d", (int)getppid());
    setenv(UPGRADE_SOCKETS, buf_str(&sockets), 1);
    setenv(UPGRADE_PARENT, parent, 1);
    keep_capabilities();
    if (argv && respond_listen_inheritable(copies, true) == PM_OK)
        execv("/proc/self/exe", argv);
    fprintf(stderr, "pointsman: cannot start anew: %s\n", strerror(errno));
    _exit(127);
}

int upgrade_spawn(const struct listen_set *sockets, pid_t *child)
{
    struct listen_set copies = {NULL, 0};
    int err = respond_listen_copy(sockets, &copies);
    if (err)
        return err;
    *child = fork();
    if (*child == 0)
        run_again(&copies);
    respond_listen_fini(&copies);
    return *child < 0 ? err_from_errno(errno) : PM_OK;
}

void upgrade_finish(void)
{
    const char *parent = getenv(UPGRADE_PARENT);
    unsetenv(UPGRADE_SOCKETS);
    if (!parent)
        return;
    pid_t pid = (pid_t)atoi(parent);
    unsetenv(UPGRADE_PARENT);
    if (pid > 1 && pid == getppid() && kill(pid, SIGTERM) != 0)
        log_warn("cannot end the process before us", "pid", LOG_U(pid), "why", strerror(errno));
}
