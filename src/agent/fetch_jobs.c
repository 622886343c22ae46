/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/fetch_internal.h"

#include <stdlib.h>
#include <string.h>

enum { PROGRESS_LEAST = 64 * 1024, DOUBLINGS = 6 };

static uint64_t now_ms(const struct agent_fetch *f)
{
    return clock_mono_ms(f->clock);
}

/* ---- jobs ---- */

static struct fetch_jobs *list_of(struct fetch_job *j)
{
    struct agent_fetch *f = j->fetch;
    return j->state == JOB_WAITING ? &f->waiting : j->state == JOB_PAUSING ? &f->pausing : &f->working;
}

bool fetch_job_queued(enum fetch_state s)
{
    return s == JOB_WAITING || s == JOB_PAUSING;
}

void fetch_job_leave(struct fetch_job *j)
{
    TAILQ_REMOVE(list_of(j), j, link);
    *(fetch_job_queued(j->state) ? &j->fetch->queued : &j->fetch->working_count) -= 1;
}

static void job_move(struct fetch_job *j, enum fetch_state state)
{
    fetch_job_leave(j);
    j->state = state;
    TAILQ_INSERT_TAIL(list_of(j), j, link);
    *(fetch_job_queued(state) ? &j->fetch->queued : &j->fetch->working_count) += 1;
}

void fetch_job_free(struct fetch_job *j)
{
    fetch_transfer_stop(j);
    fetch_file_close(&j->file);
    buf_fini(&j->why);
    free(j->path);
    free(j->below);
    free(j);
}

/* Out of all lists; a cancelled one's number may be another's by now. */
void fetch_job_unlink(struct fetch_job *j)
{
    struct agent_fetch *f = j->fetch;
    fetch_job_leave(j);
    if (!j->cancelled)
        map_del(&f->by_id, &j->id, sizeof j->id);
}

static void job_done(struct fetch_job *j)
{
    const struct agent_fetch_events *e = &j->fetch->config.events;
    uint64_t id = j->id;
    fetch_job_unlink(j);
    fetch_job_free(j);
    if (e->done)
        e->done(e->ctx, id);
}

static void job_failed(struct fetch_job *j, int err)
{
    struct agent_fetch *f = j->fetch;
    const struct agent_fetch_events *e = &f->config.events;
    struct buf why = j->why;
    uint64_t id = j->id;
    buf_init(&j->why);
    if (j->file.part >= 0 && (j->have == 0 || err == PM_ESPACE))
        fetch_part_remove(&j->file);
    fetch_job_unlink(j);
    fetch_job_free(j);
    f->stats.failed++;
    if (e->failed)
        e->failed(e->ctx, id, err, why.len ? buf_str(&why) : err_text(err));
    buf_fini(&why);
}

/* ---- workers ---- */

static void in_worker(uv_work_t *w)
{
    struct fetch_job *j = w->data;
    if (j->state == JOB_LOOKING)
        fetch_disk_look(j);
    else if (j->state == JOB_FINISHING)
        fetch_disk_finish(j);
    else if (j->state == JOB_REMOVING)
        fetch_disk_remove(j);
    else
        fetch_disk_drop(j);
}

static void after_work(uv_work_t *w, int status);

void fetch_job_work(struct fetch_job *j, enum fetch_state state)
{
    job_move(j, state);
    buf_clear(&j->why);
    j->err = PM_ECANCELED; /* should the pool never come to it */
    j->work.data = j;
    (void)!uv_queue_work(j->fetch->loop, &j->work, in_worker, after_work); /* fails without a function only */
}

/* ---- receiving ---- */

static void pause_round(struct fetch_job *j)
{
    struct agent_fetch *f = j->fetch;
    unsigned before = j->rounds ? j->rounds - 1 : 0, doublings = before < DOUBLINGS ? before : DOUBLINGS;
    fetch_file_close(&j->file); /* lets go of the part; what is there is looked at anew */
    j->due_ms = now_ms(f) + (f->config.pause_ms << doublings);
    if (j->due_ms < f->pause_due_ms)
        f->pause_due_ms = j->due_ms;
    job_move(j, JOB_PAUSING);
}

/* All sources were asked, or something else was in the way: later, or never. */
static void end_round(struct fetch_job *j, int err)
{
    bool any = fetch_source_round(j), further = j->have >= j->best + PROGRESS_LEAST;
    j->rounds = further ? 0 : j->rounds + 1;
    j->best = further ? j->have : j->best;
    if (!any || j->rounds >= j->fetch->config.rounds)
        job_failed(j, err);
    else
        pause_round(j);
}

static void ask(struct fetch_job *j)
{
    int err = fetch_transfer_start(j);
    if (err) {
        buf_clear(&j->why);
        job_failed(j, err);
    } else if (j->state != JOB_RECEIVING) {
        j->told_ms = now_ms(j->fetch);
        j->told_bytes = j->have;
        job_move(j, JOB_RECEIVING);
    }
}

static void ask_next(struct fetch_job *j, int err)
{
    if (fetch_source_next(j))
        ask(j);
    else
        end_round(j, err);
}

/* What is in the part is not the content. If some of it came from elsewhere, the source may send it all once more. */
static void received_wrong(struct fetch_job *j)
{
    char at[ENDPOINT_TEXT];
    j->err = PM_EPROTO;
    if (j->mixed) {
        j->mixed = false;
        j->fetch->stats.restarted++;
        if (j->sources[j->source].asked)
            ask(j);
        else /* an earlier try had left all of it */
            ask_next(j, j->err);
        return;
    }
    buf_printf(&j->why, " (from %s)", endpoint_format(&j->sources[j->source].at, at));
    fetch_source_note(j, FETCH_LASTING);
    ask_next(j, j->err);
}

static void transfer_ended(struct fetch_job *j)
{
    enum fetch_fault fault = fetch_transfer_judge(j);
    fetch_transfer_stop(j);
    j->ended = false;
    fetch_source_note(j, fault);
    if (fault == FETCH_NO_FAULT)
        fetch_job_work(j, JOB_FINISHING);
    else if (fault == FETCH_LOCAL)
        job_failed(j, j->err);
    else if (fault == FETCH_AGAIN)
        ask(j); /* the part is empty now, so it is another request */
    else
        ask_next(j, j->err);
}

static void looked(struct fetch_job *j)
{
    if (j->err == PM_EBUSY) {
        end_round(j, j->err);
    } else if (j->err) {
        job_failed(j, j->err);
    } else if (j->outcome == FETCH_THERE) {
        j->fetch->stats.found++;
        job_done(j);
    } else if (j->outcome == FETCH_COMPLETE) {
        j->mtime = -1;
        fetch_job_work(j, JOB_FINISHING);
    } else {
        ask_next(j, PM_EPROTO);
    }
}

static void finished(struct fetch_job *j)
{
    if (j->err) {
        job_failed(j, j->err);
    } else if (j->outcome == FETCH_WRONG) {
        received_wrong(j);
    } else {
        j->fetch->stats.copied++;
        job_done(j);
    }
}

static void after_work(uv_work_t *w, int status)
{
    struct fetch_job *j = w->data;
    struct agent_fetch *f = j->fetch;
    if (f->closing || (j->cancelled && (j->state == JOB_DROPPING || j->state == JOB_REMOVING))) {
        fetch_job_unlink(j);
        fetch_job_free(j);
    } else if (j->cancelled) {
        fetch_job_work(j, JOB_DROPPING);
    } else if (j->state == JOB_LOOKING) {
        looked(j);
    } else if (j->state == JOB_FINISHING) {
        finished(j);
    } else if (j->err) {
        job_failed(j, j->err);
    } else {
        f->stats.removed++;
        job_done(j);
    }
    if (f->closing)
        fetch_release(f);
    else
        fetch_plan(f);
}

/* ---- what comes next ---- */

static bool target_busy(const struct agent_fetch *f, const struct fetch_job *j)
{
    const struct fetch_job *o;
    TAILQ_FOREACH(o, &f->working, link)
        if (o->root == j->root && strcmp(o->below, j->below) == 0)
            return true;
    return false;
}

static void begin(struct fetch_job *j)
{
    const struct agent_fetch_events *e = &j->fetch->config.events;
    bool first = !j->begun;
    uint64_t id = j->id;
    j->begun = true;
    fetch_job_work(j, j->cancelled ? JOB_DROPPING : j->kind == AGENT_COPY ? JOB_LOOKING : JOB_REMOVING);
    if (first && !j->cancelled && e->started)
        e->started(e->ctx, id);
}

static void begin_waiting(struct agent_fetch *f)
{
    while (f->working_count < f->config.at_once) {
        struct fetch_job *j = TAILQ_FIRST(&f->waiting);
        while (j && target_busy(f, j))
            j = TAILQ_NEXT(j, link);
        if (!j)
            return;
        begin(j);
    }
}

static void end_pauses(struct agent_fetch *f)
{
    uint64_t now = now_ms(f);
    struct fetch_job *j, *next;
    if (f->pause_due_ms > now)
        return;
    f->pause_due_ms = UINT64_MAX;
    for (j = TAILQ_FIRST(&f->pausing); j; j = next) {
        next = TAILQ_NEXT(j, link);
        if (j->due_ms <= now)
            job_move(j, JOB_WAITING);
        else if (j->due_ms < f->pause_due_ms)
            f->pause_due_ms = j->due_ms;
    }
}

/* The window is over: has enough come in it? */
static void check_slow(struct fetch_job *j, uint64_t now)
{
    const struct agent_fetch_config *c = &j->fetch->config;
    if (j->state != JOB_RECEIVING || j->ended || now - j->window_ms < c->slow_ms)
        return;
    if (!j->held_back && j->window_bytes < c->slow_bytes) {
        char at[ENDPOINT_TEXT];
        buf_clear(&j->why);
        buf_printf(&j->why, "%s has sent %llu bytes in %llu ms", endpoint_format(&j->sources[j->source].at, at),
                   (unsigned long long)j->window_bytes, (unsigned long long)(now - j->window_ms));
        j->fault = FETCH_PASSING;
        j->err = PM_ETIMEOUT;
        j->ended = true;
    }
    j->window_ms = now;
    j->window_bytes = 0;
    j->held_back = j->paused;
}

/* Who was resumed the longest ago comes first, so the credit goes round. */
static void resume_paused(struct agent_fetch *f)
{
    size_t turns = f->working_count;
    struct fetch_job *j = TAILQ_FIRST(&f->working), *next;
    for (; j && turns-- > 0 && agent_pace_may(&f->pace, clock_mono_ns(f->clock)); j = next) {
        next = TAILQ_NEXT(j, link);
        if (j->state != JOB_RECEIVING || !j->paused || j->ended)
            continue;
        TAILQ_REMOVE(&f->working, j, link);
        TAILQ_INSERT_TAIL(&f->working, j, link);
        fetch_transfer_resume(j);
    }
}

static bool progress_due(const struct fetch_job *j, uint64_t now)
{
    return j->state == JOB_RECEIVING && !j->ended && j->have != j->told_bytes &&
           now - j->told_ms >= j->fetch->config.progress_ms;
}

/* Callbacks may change the lists, so each look begins at the front. */
static bool tell_one(struct agent_fetch *f, uint64_t now)
{
    const struct agent_fetch_events *e = &f->config.events;
    struct fetch_job *j;
    TAILQ_FOREACH(j, &f->working, link) {
        if (j->state == JOB_RECEIVING && j->ended) {
            transfer_ended(j);
            return true;
        }
        if (progress_due(j, now)) {
            j->told_ms = now;
            j->told_bytes = j->have;
            if (e->progress)
                e->progress(e->ctx, j->id, j->have, j->size);
            return true;
        }
    }
    return false;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t left_ms(uint64_t due, uint64_t now)
{
    return due > now ? due - now : 0;
}

void fetch_on_timer(uv_timer_t *t)
{
    agent_fetch_tick(t->data);
}

static void set_timer(struct agent_fetch *f)
{
    uint64_t now = now_ms(f), wait = f->pause_due_ms == UINT64_MAX ? UINT64_MAX : left_ms(f->pause_due_ms, now);
    const struct fetch_job *j;
    TAILQ_FOREACH(j, &f->working, link) {
        if (j->state != JOB_RECEIVING)
            continue;
        wait = least(wait, left_ms(j->window_ms + f->config.slow_ms, now));
        if (j->paused)
            wait = least(wait, agent_pace_wait_ms(&f->pace, clock_mono_ns(f->clock)));
        if (j->ended)
            wait = 0;
    }
    if (wait == UINT64_MAX)
        uv_timer_stop(&f->timer);
    else
        uv_timer_start(&f->timer, fetch_on_timer, wait, 0);
}

/* After whatever has happened. */
void fetch_plan(struct agent_fetch *f)
{
    while (tell_one(f, now_ms(f)))
        ;
    begin_waiting(f);
    set_timer(f);
}

void agent_fetch_tick(struct agent_fetch *f)
{
    struct fetch_job *j;
    uint64_t now = now_ms(f);
    end_pauses(f);
    TAILQ_FOREACH(j, &f->working, link)
        check_slow(j, now);
    resume_paused(f);
    fetch_plan(f);
}
