/* SPDX-License-Identifier: Apache-2.0 */
#include "main/priv.h"

#include <cap-ng.h>
#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/log.h"

static int state_dir_prepare(const char *dir, const struct passwd *pw)
{
    if (!*dir)
        return PM_OK;
    if (mkdir(dir, 0750) != 0 && errno != EEXIST) {
        log_error("cannot make the state directory", "path", dir, "why", strerror(errno));
        return err_from_errno(errno);
    }
    if (pw && chown(dir, pw->pw_uid, pw->pw_gid) != 0) {
        log_error("cannot hand over the state directory", "path", dir, "why", strerror(errno));
        return err_from_errno(errno);
    }
    return PM_OK;
}

/* The service manager makes /run/pointsman as root; the socket in it must be removable when we stop. */
static void socket_dir_prepare(const char *socket, const struct passwd *pw)
{
    char dir[PATH_MAX];
    snprintf(dir, sizeof dir, "%s", socket);
    char *slash = strrchr(dir, '/');
    if (!slash)
        return;
    *slash = 0;
    const char *name = strrchr(dir, '/');
    if (name && strcmp(name, "/pointsman") == 0 && chown(dir, pw->pw_uid, pw->pw_gid) == 0 && chown(socket, pw->pw_uid, (gid_t)-1) != 0)
        log_warn("cannot hand over the control socket", "path", socket, "why", strerror(errno));
}

/* An upgrade loads the programs anew: without root it has to get at the tables and the key all the same. */
static void relay_prepare(const struct cfg_relay *relay, const struct passwd *pw)
{
    char path[PATH_MAX];
    DIR *pin = opendir(relay->pin);
    if (chown(relay->key, pw->pw_uid, (gid_t)-1) != 0)
        log_warn("cannot hand over the relay's key: an upgrade will not be able to relay", "path", relay->key, "why", strerror(errno));
    if (!pin)
        return; /* tables are not kept */
    bool all = chown(relay->pin, pw->pw_uid, (gid_t)-1) == 0;
    for (const struct dirent *e; (e = readdir(pin));) {
        snprintf(path, sizeof path, "%s/%s", relay->pin, e->d_name);
        if (e->d_name[0] != '.')
            all &= chown(path, pw->pw_uid, (gid_t)-1) == 0;
    }
    closedir(pin);
    if (!all)
        log_warn("cannot hand over the relay's tables: an upgrade will begin with empty ones", "path", relay->pin);
}

int priv_drop(const char *user, const char *state_dir, const char *socket, const struct cfg_relay *relay)
{
    struct passwd *pw = NULL;
    if (geteuid() != 0)
        return state_dir_prepare(state_dir, NULL);
    if (*user) {
        pw = getpwnam(user);
        if (!pw) {
            log_warn("account does not exist, staying root", "user", user);
            return state_dir_prepare(state_dir, NULL);
        }
    }
    int err = state_dir_prepare(state_dir, pw);
    if (err || !pw)
        return err;
    socket_dir_prepare(socket, pw);
    if (relay)
        relay_prepare(relay, pw);
    capng_clear(CAPNG_SELECT_BOTH);
    capng_updatev(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_INHERITABLE, CAP_NET_BIND_SERVICE, CAP_NET_RAW, -1);
    if (relay) /* tables of packet programs are changed as long as we run; the next process loads programs again */
        capng_updatev(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_INHERITABLE, CAP_BPF, CAP_PERFMON,
                      CAP_NET_ADMIN, -1);
    int rc = capng_change_id((int)pw->pw_uid, (int)pw->pw_gid, CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_BOUNDING);
    if (rc != 0) {
        log_error("cannot give up root", "user", user, "step", LOG_U((unsigned)-rc));
        return PM_EPERM;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        log_warn("no_new_privs is not available", "why", strerror(errno));
    log_info("gave up root", "user", user, "kept",
             relay ? "net_bind_service net_raw bpf perfmon net_admin" : "net_bind_service net_raw");
    return PM_OK;
}

void priv_agent(bool writes)
{
    if (geteuid() != 0)
        return;
    capng_clear(CAPNG_SELECT_BOTH);
    capng_updatev(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_NET_ADMIN, CAP_BPF, CAP_DAC_READ_SEARCH, -1);
    if (writes)
        capng_updatev(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_DAC_OVERRIDE, CAP_CHOWN, CAP_FOWNER, -1);
    if (capng_apply(CAPNG_SELECT_BOTH) != 0)
        log_warn("root's capabilities cannot be given up");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        log_warn("no_new_privs is not available", "why", strerror(errno));
    if (priv_filter(true) != PM_OK)
        log_warn("system calls are not filtered: seccomp is not available here");
}

int priv_filter(bool relay)
{
    /* A list of what is refused, not of what is allowed: libraries and exec checks change what they call with every
     * release, but none of these has any business here. */
    static const char *const refused[] = {
        "ptrace",       "process_vm_readv", "process_vm_writev", "kexec_load",    "kexec_file_load", "init_module",
        "finit_module", "delete_module",    "mount",             "umount2",       "pivot_root",      "chroot",
        "swapon",       "swapoff",          "reboot",            "settimeofday",  "clock_settime",   "adjtimex",
        "clock_adjtime", "sethostname",     "setdomainname",     "iopl",          "ioperm",          "acct",
        "quotactl",     "bpf",              "perf_event_open",   "userfaultfd",   "add_key",         "request_key",
        "keyctl",       "unshare",          "setns",             "open_by_handle_at", "name_to_handle_at", "syslog",
        "vhangup",      "personality",      "fsopen",            "fsmount",       "move_mount",      "open_tree",
        "io_uring_setup",
    };
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
    int err = ctx ? PM_OK : PM_EUNSUPPORTED;
    for (size_t i = 0; !err && i < PM_ARRAY_LEN(refused); i++) {
        int nr = relay && strcmp(refused[i], "bpf") == 0 ? __NR_SCMP_ERROR : seccomp_syscall_resolve_name(refused[i]);
        if (nr != __NR_SCMP_ERROR && seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), nr, 0) != 0)
            err = PM_EUNSUPPORTED;
    }
    if (!err)
        seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
    if (!err && seccomp_load(ctx) != 0)
        err = PM_EUNSUPPORTED;
    if (ctx)
        seccomp_release(ctx);
    return err;
}
