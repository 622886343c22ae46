/* SPDX-License-Identifier: Apache-2.0 */
/* What jobs do in a worker thread: only the job is theirs, with `stop` set by the loop. */
#include "agent/fetch_internal.h"

#include <inttypes.h>

enum { TRIES = 4 }; /* when files come and go under our hands */

static void other_content(struct fetch_job *j, const struct fetch_found *found, const char *what)
{
    if (found->hashed)
        buf_printf(&j->why, "the file that is there is %s: %" PRIu64 " bytes, hash %016" PRIx64, what, found->size,
                   found->hash);
    else
        buf_printf(&j->why, "the file that is there is %s: %" PRIu64 " bytes", what, found->size);
}

/* Whether the order's content may go where it belongs; the outcome may be that it is there. */
static int may_place(struct fetch_job *j)
{
    struct fetch_found found;
    int err = fetch_file_look(&j->file, j->replaces ? FETCH_ANY_SIZE : j->size, &found, &j->stop, &j->why);
    if (err || !found.there)
        return err;
    if (found.hashed && found.size == j->size && found.hash == j->hash)
        j->outcome = FETCH_THERE;
    else if (!j->replaces || !found.hashed || found.hash != j->old_hash) {
        other_content(j, &found, "not the one to be replaced");
        return PM_EEXISTS;
    }
    return 0;
}

static int look(struct fetch_job *j)
{
    j->outcome = FETCH_GO_ON;
    int err = fetch_file_open(&j->file, &j->root->at, j->below, true, &j->why);
    if (!err)
        err = may_place(j);
    if (err)
        return err;
    if (j->outcome == FETCH_THERE) {
        fetch_part_remove(&j->file);
        return 0;
    }
    j->origin.size = j->size;
    j->origin.hash = j->hash;
    err = fetch_part_open(&j->file, &j->origin, &j->have, &j->why);
    if (!err)
        err = fetch_part_room(&j->file, j->size, j->have, j->fetch->config.reserve, &j->why);
    if (err == PM_ESPACE)
        fetch_part_remove(&j->file); /* what it has is room as well */
    if (!err && j->have == j->size)
        j->outcome = FETCH_COMPLETE;
    j->mixed = j->have > 0;
    return err;
}

void fetch_disk_look(struct fetch_job *j)
{
    j->err = look(j);
}

static int verify(struct fetch_job *j)
{
    struct agent_hash *h = agent_hash_new();
    int err = agent_hash_file(h, j->file.part, j->size, &j->stop);
    uint64_t hash = agent_hash_digest(h);
    agent_hash_free(h);
    if (err && err != PM_ESHORT) {
        buf_printf(&j->why, "the part cannot be read: %s", err_text(err));
        return err;
    }
    if (!err && hash == j->hash)
        return 0;
    j->outcome = FETCH_WRONG;
    j->have = 0;
    if (!err)
        buf_printf(&j->why, "what was sent has hash %016" PRIx64 ", not %016" PRIx64, hash, j->hash);
    else
        buf_puts(&j->why, "somebody has shortened the part");
    return fetch_part_empty(&j->file, &j->why);
}

static int finish(struct fetch_job *j)
{
    bool dressed = false;
    j->outcome = FETCH_GO_ON;
    int err = verify(j), placed = PM_EAGAIN;
    if (err || j->outcome == FETCH_WRONG)
        return err;
    for (int i = 0; i < TRIES && placed == PM_EAGAIN; i++) {
        err = may_place(j);
        if (!err && j->outcome != FETCH_THERE && !dressed) {
            err = fetch_part_dress(&j->file, j->mtime, j->hash, &j->why);
            dressed = true;
        }
        if (err || j->outcome == FETCH_THERE)
            break;
        err = placed = fetch_part_place(&j->file, &j->why);
    }
    if (err == PM_EAGAIN) {
        buf_puts(&j->why, "somebody else keeps changing the file");
        err = PM_EBUSY;
    }
    /* Stopped before it was dressed, it can be gone on with. */
    if ((err && (err != PM_ECANCELED || dressed)) || j->outcome == FETCH_THERE)
        fetch_part_remove(&j->file);
    return err;
}

void fetch_disk_finish(struct fetch_job *j)
{
    j->err = finish(j);
}

static int take_away(struct fetch_job *j)
{
    struct fetch_found found;
    int err = fetch_file_open(&j->file, &j->root->at, j->below, false, &j->why);
    if (err == PM_ENOTFOUND) {
        buf_clear(&j->why);
        return 0; /* neither is the file */
    }
    for (int i = 0; !err && i < TRIES; i++) {
        err = fetch_file_look(&j->file, j->size, &found, &j->stop, &j->why);
        if (err || !found.there)
            return err;
        if (!found.hashed || found.size != j->size || found.hash != j->hash) {
            other_content(j, &found, "not the one to be removed");
            return PM_EEXISTS;
        }
        if (atomic_load(&j->stop))
            return PM_ECANCELED;
        err = fetch_file_remove(&j->file, &j->why);
        if (err != PM_EAGAIN)
            return err;
        err = 0;
    }
    if (!err)
        buf_puts(&j->why, "somebody else keeps changing the file");
    return err ? err : PM_EBUSY;
}

void fetch_disk_remove(struct fetch_job *j)
{
    j->err = take_away(j);
}

void fetch_disk_drop(struct fetch_job *j)
{
    j->err = j->file.folder >= 0 ? 0 : fetch_file_open(&j->file, &j->root->at, j->below, false, &j->why);
    if (!j->err)
        fetch_part_remove(&j->file);
}
