/* SPDX-License-Identifier: Apache-2.0 */
#include "main/state.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/arena.h"
#include "base/file.h"
#include "base/log.h"

struct state_writing {
    uv_work_t work;
    struct daemon *d;
    struct buf text;
    char path[PATH_MAX];
    int err;
    uv_sem_t done; /* posted when the file is whole */
};

static const char *state_path(const struct daemon *d, const char *name, char out[PATH_MAX])
{
    const char *dir = d->gen->config->node.state;
    if (!dir)
        return NULL;
    snprintf(out, PATH_MAX, "%s/%s", dir, name);
    return out;
}

void state_load(struct daemon *d)
{
    char path[PATH_MAX];
    if (!state_path(d, "health.json", path))
        return;
    int err = monitor_load(d->monitor, path);
    if (err && err != PM_ENOTFOUND)
        log_warn("kept health cannot be read, starting cold", "path", path, "why", err_text(err));
    state_path(d, "overrides.json", path);
    err = overrides_load(&d->overrides, path);
    if (err && err != PM_ENOTFOUND) {
        /* An operator's word must not be lost by the next save. */
        char aside[PATH_MAX + 8];
        snprintf(aside, sizeof aside, "%s.broken", path);
        if (rename(path, aside) == 0)
            log_error("overrides cannot be read, the file is set aside", "path", aside, "why", err_text(err));
        else
            log_error("overrides cannot be read", "path", path, "why", err_text(err));
    }
    overrides_expire(&d->overrides, clock_wall_ms(d->clock));
}

static void written(struct daemon *d, const char *path, int err)
{
    if (!err)
        return;
    log_error("cannot keep health on disk, the old file stays", "path", path, "why", err_text(err));
    d->state_dirty = true;
}

static void write_file(uv_work_t *work)
{
    struct state_writing *w = work->data;
    w->err = file_replace(w->path, buf_str(&w->text), w->text.len, MONITOR_FILE_MODE);
    uv_sem_post(&w->done);
}

static void after_write(uv_work_t *work, int status)
{
    struct state_writing *w = work->data;
    w->d->writing = NULL;
    written(w->d, w->path, status ? PM_ECANCELED : w->err);
    buf_fini(&w->text);
    uv_sem_destroy(&w->done);
    free(w);
}

void state_save(struct daemon *d)
{
    char path[PATH_MAX];
    if (!d->state_dirty || d->writing || !state_path(d, "health.json", path))
        return;
    struct state_writing *w = mem_alloc(sizeof *w);
    w->d = d;
    w->work.data = w;
    snprintf(w->path, sizeof w->path, "%s", path);
    uv_sem_init(&w->done, 0);
    monitor_save_text(d->monitor, &w->text);
    d->state_dirty = false;
    d->writing = w;
    uv_queue_work(&d->loop, &w->work, write_file, after_write);
}

void state_save_now(struct daemon *d)
{
    char path[PATH_MAX];
    if (d->writing) {
        uv_sem_wait(&d->writing->done); /* both use the same temporary name */
        uv_sem_post(&d->writing->done); /* for the next who waits */
    }
    if (!state_path(d, "health.json", path))
        return;
    d->state_dirty = false;
    written(d, path, monitor_save(d->monitor, path));
}

int state_save_overrides(struct daemon *d)
{
    char path[PATH_MAX];
    return state_path(d, "overrides.json", path) ? overrides_save(&d->overrides, path) : PM_OK;
}
