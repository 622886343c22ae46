/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/fetch_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "agent/beneath.h"

/* What a part is of: "SIZE HASH SOURCE VALIDATOR". */
#define NOTE_NAME "user.pointsman.part"
enum { NOTE_MAX = FETCH_VALIDATOR_MAX + ENDPOINT_TEXT + 64, TRIES = 4 };

static int fail(struct buf *why, const char *what, int errnum)
{
    if (errnum == ENOSPC || errnum == EDQUOT) {
        buf_puts(why, "the disk is full");
        return PM_ESPACE;
    }
    buf_printf(why, "%s: %s", what, strerror(errnum));
    return err_from_errno(errnum);
}

/* ---- the name in its folder ---- */

void fetch_file_init(struct fetch_file *f)
{
    memset(f, 0, sizeof *f);
    f->folder = f->part = -1;
}

void fetch_file_close(struct fetch_file *f)
{
    if (f->part >= 0)
        close(f->part);
    if (f->folder >= 0)
        close(f->folder);
    fetch_file_init(f);
}

int fetch_file_open(struct fetch_file *f, const struct agent_scan_root *root, const char *below, bool make,
                    struct buf *why)
{
    const char *name;
    fetch_file_close(f);
    int fd = open(root->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        (void)!fail(why, "the document root cannot be opened", errno);
        return PM_EIO; /* it may come back with all that is in it */
    }
    int folder = agent_open_parent(fd, below, make, &name);
    close(fd);
    if (folder < 0) {
        buf_printf(why, "%s: %s", folder == PM_EPERM ? "a folder on the way is a link, or closed to us" : "its folder",
                   err_text(folder));
        return folder;
    }
    f->folder = folder;
    size_t n = strlen(name), end = strlen(AGENT_PART_SUFFIX);
    memcpy(f->name, name, n + 1);
    if (n + end < sizeof f->part_name)
        snprintf(f->part_name, sizeof f->part_name, "%.*s%s", (int)n, name, AGENT_PART_SUFFIX);
    else /* too long with the ending */
        snprintf(f->part_name, sizeof f->part_name, "%016" PRIx64 "%s", agent_hash_of(name, n), AGENT_PART_SUFFIX);
    return 0;
}

static bool stamp_eq(struct agent_stamp a, struct agent_stamp b)
{
    return a.low == b.low && a.high == b.high;
}

/* Of the name's file, or low 0: there is none. */
static struct agent_stamp stamp_at(const struct fetch_file *f, const char *name)
{
    struct stat st;
    return fstatat(f->folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? agent_stamp_of(&st) : (struct agent_stamp){0};
}

static int hash_stable(int fd, const struct stat *before, uint64_t *hash, const atomic_bool *stop)
{
    struct stat after;
    struct agent_hash *h = agent_hash_new();
    int err = agent_hash_file(h, fd, (uint64_t)before->st_size, stop);
    *hash = agent_hash_digest(h);
    agent_hash_free(h);
    if (err)
        return err == PM_ESHORT ? PM_EBUSY : err;
    return fstat(fd, &after) == 0 && stamp_eq(agent_stamp_of(before), agent_stamp_of(&after)) ? 0 : PM_EBUSY;
}

static int look_open(struct fetch_file *f, struct stat *st, int *fd, struct buf *why)
{
    *fd = -1;
    if (fstatat(f->folder, f->name, st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? 0 : fail(why, "what is there", errno);
    /* Opening a device could do something; a link leads who knows where. */
    if (S_ISREG(st->st_mode))
        *fd = openat(f->folder, f->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    else
        errno = ELOOP;
    if (*fd < 0 && errno == ENOENT)
        return 0;
    if (*fd >= 0 && fstat(*fd, st) == 0 && S_ISREG(st->st_mode))
        return 0;
    int err = *fd >= 0 || errno == ELOOP ? PM_EPERM : fail(why, "what is there", errno);
    if (err == PM_EPERM)
        buf_puts(why, "what is there is no regular file, or closed to us");
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    return err;
}

int fetch_file_look(struct fetch_file *f, uint64_t only_size, struct fetch_found *out, const atomic_bool *stop,
                    struct buf *why)
{
    struct stat st;
    int fd, err = look_open(f, &st, &fd, why);
    *out = (struct fetch_found){0};
    if (err || fd < 0) {
        f->seen = (struct agent_stamp){0};
        return err;
    }
    struct agent_stamp now = agent_stamp_of(&st);
    if (!stamp_eq(now, f->seen))
        f->seen_hashed = false;
    f->seen = now;
    if (!f->seen_hashed && (only_size == FETCH_ANY_SIZE || only_size == (uint64_t)st.st_size)) {
        err = hash_stable(fd, &st, &f->seen_hash, stop);
        f->seen_hashed = !err;
        if (err)
            buf_printf(why, "the file that is there: %s", err == PM_EBUSY ? "it is being written" : err_text(err));
    }
    close(fd);
    *out = (struct fetch_found){
        .there = true, .hashed = f->seen_hashed, .size = (uint64_t)st.st_size, .hash = f->seen_hash};
    return err;
}

/* ---- the part ---- */

/* One that another user could write to by another name, or that was there before us, is none of ours. */
static bool part_is_ours(const struct fetch_file *f, const struct stat *st)
{
    return S_ISREG(st->st_mode) && st->st_uid == geteuid() && st->st_nlink == 1 &&
           stamp_eq(agent_stamp_of(st), stamp_at(f, f->part_name));
}

/* 1: try again. */
static int part_try(struct fetch_file *f, struct stat *st, struct buf *why)
{
    int fd = openat(f->folder, f->part_name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
    if (fd < 0 && errno == ELOOP)
        return unlinkat(f->folder, f->part_name, 0) == 0 ? 1 : fail(why, "the link in the part's place", errno);
    if (fd < 0)
        return fail(why, "the part cannot be made", errno);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int err = errno == EWOULDBLOCK ? PM_EBUSY : fail(why, "the part cannot be locked", errno);
        if (err == PM_EBUSY)
            buf_puts(why, "somebody else is writing the same part");
        close(fd);
        return err;
    }
    *st = (struct stat){0};
    if (fstat(fd, st) == 0 && part_is_ours(f, st)) {
        f->part = fd;
        return 0;
    }
    if (st->st_nlink > 0)
        (void)unlinkat(f->folder, f->part_name, 0);
    close(fd);
    return 1;
}

static bool note_read(const struct fetch_file *f, struct fetch_origin *o)
{
    char text[NOTE_MAX], source[ENDPOINT_TEXT] = "", validator[FETCH_VALIDATOR_MAX] = "";
    uint64_t size, hash;
    ssize_t n = fgetxattr(f->part, NOTE_NAME, text, sizeof text - 1);
    if (n < 0)
        return errno == ENOTSUP;
    text[n] = 0;
    if (sscanf(text, "%" SCNu64 " %" SCNx64 " %55s %127s", &size, &hash, source, validator) < 2 || size != o->size ||
        hash != o->hash)
        return false;
    if (endpoint_parse(source, 0, &o->source) == 0)
        strcpy(o->validator, validator);
    return true;
}

void fetch_part_note(struct fetch_file *f, const struct fetch_origin *o)
{
    char text[NOTE_MAX], source[ENDPOINT_TEXT];
    int n = snprintf(text, sizeof text, "%" PRIu64 " %016" PRIx64 " %s %s", o->size, o->hash,
                     endpoint_format(&o->source, source), o->validator);
    /* Without it nothing is wrong, only perhaps sent twice. */
    (void)!fsetxattr(f->part, NOTE_NAME, text, (size_t)n, 0);
}

int fetch_part_open(struct fetch_file *f, struct fetch_origin *origin, uint64_t *have, struct buf *why)
{
    struct stat st;
    int err = 1;
    memset(&origin->source, 0, sizeof origin->source);
    origin->validator[0] = 0;
    for (int i = 0; i < TRIES && err == 1; i++)
        err = part_try(f, &st, why);
    if (err == 1) {
        buf_puts(why, "somebody else keeps making the part");
        return PM_EBUSY;
    }
    if (err)
        return err;
    *have = (uint64_t)st.st_size;
    if (fchmod(f->part, 0600) != 0)
        return fail(why, "the part", errno);
    if (*have && (*have > origin->size || !note_read(f, origin))) {
        *have = 0;
        return fetch_part_empty(f, why);
    }
    return 0;
}

int fetch_part_empty(struct fetch_file *f, struct buf *why)
{
    return ftruncate(f->part, 0) == 0 ? 0 : fail(why, "the part cannot be emptied", errno);
}

void fetch_part_remove(struct fetch_file *f)
{
    if (f->folder >= 0)
        (void)unlinkat(f->folder, f->part_name, 0);
    if (f->part >= 0)
        close(f->part);
    f->part = -1;
}

int fetch_part_room(struct fetch_file *f, uint64_t size, uint64_t have, uint64_t reserve, struct buf *why)
{
    struct statvfs v;
    struct stat st;
    if (fstatvfs(f->part, &v) != 0 || fstat(f->part, &st) != 0)
        return fail(why, "free space", errno);
    uint64_t ours = (uint64_t)st.st_blocks * 512, room = (uint64_t)v.f_bavail * v.f_frsize;
    ours = ours > have ? ours : have;
    uint64_t need = size > ours ? size - ours : 0;
    if (room < reserve || room - reserve < need) {
        buf_printf(why,
                   "no room: %" PRIu64 " bytes more are needed, %" PRIu64 " are free, of which %" PRIu64 " stay free",
                   need, room, reserve);
        return PM_ESPACE;
    }
    /* Taken at once, so that several transfers do not count on the same room. Not all file systems can. */
    if (need && fallocate(f->part, FALLOC_FL_KEEP_SIZE, 0, (off_t)size) != 0 && (errno == ENOSPC || errno == EDQUOT))
        return fail(why, "room", errno);
    return 0;
}

int fetch_part_write(struct fetch_file *f, const void *data, size_t len, uint64_t at, struct buf *why)
{
    const uint8_t *from = data;
    while (len > 0) {
        ssize_t n = pwrite(f->part, from, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(why, "the part cannot be written", errno);
        from += n;
        at += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

int fetch_part_dress(struct fetch_file *f, int64_t mtime, uint64_t hash, struct buf *why)
{
    /*
     * HTTP knows seconds. The rest comes from the content: where all files are given one time, another version of the
     * same length could get an old one's inode, and would be taken for it by the scan.
     */
    long rest = (long)(hash % 1000000000);
    struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_sec = mtime, .tv_nsec = mtime < 0 ? UTIME_NOW : rest}};
    struct stat folder;
    if (fstat(f->folder, &folder) != 0)
        return fail(why, "its folder", errno);
    /* Who is not root cannot give files away, and has only folders of his own or of his group to write to. */
    if (fchown(f->part, folder.st_uid, folder.st_gid) != 0 && errno != EPERM)
        return fail(why, "the owner cannot be set", errno);
    (void)fremovexattr(f->part, NOTE_NAME);
    if (fchmod(f->part, 0644) != 0 || futimens(f->part, times) != 0)
        return fail(why, "mode or time cannot be set", errno);
    return fsync(f->part) == 0 ? 0 : fail(why, "it cannot be written to the disk", errno);
}

/* ---- putting in place, taking away ---- */

static int rename_at(const struct fetch_file *f, const char *from, const char *to, unsigned flags)
{
    return renameat2(f->folder, from, f->folder, to, flags) == 0 ? 0 : errno;
}

/* NFS and others rename only plainly. */
static bool flags_missing(int errnum)
{
    return errnum == EINVAL || errnum == ENOSYS || errnum == EOPNOTSUPP;
}

static int place_new(struct fetch_file *f, struct buf *why)
{
    int e = rename_at(f, f->part_name, f->name, RENAME_NOREPLACE);
    if (flags_missing(e)) {
        e = linkat(f->folder, f->part_name, f->folder, f->name, 0) == 0 ? 0 : errno;
        if (!e)
            (void)unlinkat(f->folder, f->part_name, 0);
    }
    if (e == EEXIST)
        return PM_EAGAIN;
    return e ? fail(why, "it cannot be given its name", e) : 0;
}

static int place_over(struct fetch_file *f, struct buf *why)
{
    int e = rename_at(f, f->part_name, f->name, RENAME_EXCHANGE);
    if (e == ENOENT)
        return PM_EAGAIN;
    if (flags_missing(e)) {
        if (!stamp_eq(stamp_at(f, f->name), f->seen))
            return PM_EAGAIN;
        e = rename_at(f, f->part_name, f->name, 0);
        return e ? fail(why, "it cannot be given its name", e) : 0;
    }
    if (e)
        return fail(why, "it cannot be given its name", e);
    /* What was replaced has the part's name now. Somebody may have put another file there since we looked. */
    if (!stamp_eq(stamp_at(f, f->part_name), f->seen)) {
        e = rename_at(f, f->part_name, f->name, RENAME_EXCHANGE);
        return e ? fail(why, "what was replaced cannot be put back", e) : PM_EAGAIN;
    }
    (void)unlinkat(f->folder, f->part_name, 0);
    return 0;
}

int fetch_part_place(struct fetch_file *f, struct buf *why)
{
    struct stat st;
    if (fstat(f->part, &st) != 0 || !stamp_eq(agent_stamp_of(&st), stamp_at(f, f->part_name))) {
        buf_puts(why, "somebody else has taken the part away");
        return PM_EBUSY;
    }
    int err = f->seen.low ? place_over(f, why) : place_new(f, why);
    if (err)
        return err;
    return fsync(f->folder) == 0 ? 0 : fail(why, "its folder cannot be written to the disk", errno);
}

int fetch_file_remove(struct fetch_file *f, struct buf *why)
{
    (void)unlinkat(f->folder, f->part_name, 0);
    int e = rename_at(f, f->name, f->part_name, RENAME_NOREPLACE);
    bool aside = e == 0;
    if (e == ENOENT)
        return 0;
    if (e == EEXIST)
        return PM_EAGAIN;
    if (e && !flags_missing(e))
        return fail(why, "it cannot be removed", e);
    const char *name = aside ? f->part_name : f->name;
    if (!stamp_eq(stamp_at(f, name), f->seen)) {
        e = aside ? rename_at(f, f->part_name, f->name, RENAME_NOREPLACE) : 0;
        return e ? fail(why, "another file came into its place; it cannot be put back", e) : PM_EAGAIN;
    }
    if (unlinkat(f->folder, name, 0) != 0 && errno != ENOENT)
        return fail(why, "it cannot be removed", errno);
    return fsync(f->folder) == 0 ? 0 : fail(why, "its folder cannot be written to the disk", errno);
}
