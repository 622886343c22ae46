/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside agent/fetch: one job for each order, and who works on it.
 *
 *   fetch.c           orders, taken and cancelled
 *   fetch_jobs.c      what comes next, the clock, results
 *   fetch_source.c    which source to ask next
 *   fetch_transfer.c  one request: its head, its answer's head, the bytes
 *   fetch_curl.c      curl's multi handle on the loop
 *   fetch_disk.c      worker: look, finish, remove
 *   fetch_file.c      one file in a folder: what is there, the part, putting in place, taking away
 *
 * A job is touched by one thread at a time: the loop's, except in the states of JOB_IN_WORKER, when only `stop` is.
 */
#ifndef PM_AGENT_FETCH_INTERNAL_H
#define PM_AGENT_FETCH_INTERNAL_H

#include <curl/curl.h>
#include <stdatomic.h>
#include <sys/queue.h>
#include "agent/fetch.h"
#include "agent/hash.h"
#include "agent/pace.h"
#include "base/map.h"

enum { FETCH_VALIDATOR_MAX = 128, FETCH_BLOCK_BYTES = 64 * 1024 };

/* ---- fetch_file.c: files; no loop, no job ---- */

/* What a part is a part of. */
struct fetch_origin {
    uint64_t size, hash;
    struct endpoint source;               /* family 0: not known */
    char validator[FETCH_VALIDATOR_MAX];  /* a strong entity tag, with its quotes, or "" */
};

/* A name in an open folder; descriptors are -1 when not open. */
struct fetch_file {
    int folder, part;
    char name[256], part_name[256];
    struct agent_stamp seen; /* of the file that was there when last looked; low 0: none */
    uint64_t seen_hash;
    bool seen_hashed;
};

#define FETCH_ANY_SIZE UINT64_MAX
struct fetch_found {
    bool there, hashed;
    uint64_t size, hash;
};

void fetch_file_init(struct fetch_file *f);
void fetch_file_close(struct fetch_file *f);
/* make: missing folders are made. PM_ENOTFOUND: the folder is missing. */
int fetch_file_open(struct fetch_file *f, const struct agent_scan_root *root, const char *below, bool make,
                    struct buf *why) PM_MUST_CHECK;
/*
 * What is at the name; "nothing" is no error. only_size: a file of another size is not read. PM_EPERM: no regular file.
 * PM_EBUSY: it changes while it is read. stop: as of agent_hash_file.
 */
int fetch_file_look(struct fetch_file *f, uint64_t only_size, struct fetch_found *out, const atomic_bool *stop,
                    struct buf *why) PM_MUST_CHECK;
/*
 * Opens or makes the part, locked. *have: the bytes in it that are of origin's size and hash; its source and validator
 * are filled in as far as known. PM_EBUSY: another process has it.
 */
int fetch_part_open(struct fetch_file *f, struct fetch_origin *origin, uint64_t *have, struct buf *why) PM_MUST_CHECK;
/* Room for the rest, so that `reserve` stays free after it. */
int fetch_part_room(struct fetch_file *f, uint64_t size, uint64_t have, uint64_t reserve,
                    struct buf *why) PM_MUST_CHECK;
int fetch_part_write(struct fetch_file *f, const void *data, size_t len, uint64_t at, struct buf *why) PM_MUST_CHECK;
/* Says in the part what it is of. */
void fetch_part_note(struct fetch_file *f, const struct fetch_origin *origin);
int fetch_part_empty(struct fetch_file *f, struct buf *why) PM_MUST_CHECK;
void fetch_part_remove(struct fetch_file *f);
/* Mode, owner, time (seconds; negative: now) told apart by the hash, and to the disk. */
int fetch_part_dress(struct fetch_file *f, int64_t mtime, uint64_t hash, struct buf *why) PM_MUST_CHECK;
/* Under its name, if there still is what was seen. PM_EAGAIN: there is something else, look again. */
int fetch_part_place(struct fetch_file *f, struct buf *why) PM_MUST_CHECK;
/* Takes away what was seen. PM_EAGAIN as above. */
int fetch_file_remove(struct fetch_file *f, struct buf *why) PM_MUST_CHECK;

/* ---- jobs ---- */

enum fetch_state {
    JOB_WAITING,
    JOB_PAUSING, /* until due_ms */
    JOB_LOOKING,  /* in worker */
    JOB_RECEIVING,
    JOB_FINISHING, /* in worker */
    JOB_REMOVING,  /* in worker */
    JOB_DROPPING,  /* in worker: cancelled, its part goes */
};

/* What the worker found, beside an error. */
enum fetch_outcome {
    FETCH_GO_ON,    /* looked: bytes are missing */
    FETCH_COMPLETE, /* looked: the part has all bytes */
    FETCH_THERE,    /* the content is in place */
    FETCH_WRONG     /* finished: the part is another content, and empty now */
};

struct fetch_try {
    struct endpoint at;
    bool asked; /* in this round */
    bool out;   /* has not got this content */
};

/* The head of an answer, as far as it matters. */
struct fetch_head {
    unsigned status;
    size_t bytes;
    bool has_length, has_range, encoded;
    uint64_t length, range_from, range_size; /* range_size UINT64_MAX: not told */
    char validator[FETCH_VALIDATOR_MAX];
};

/* How a source has failed. */
enum fetch_fault { FETCH_NO_FAULT, FETCH_UNREACHED, FETCH_PASSING, FETCH_LASTING, FETCH_LOCAL, FETCH_AGAIN };

struct fetch_job {
    TAILQ_ENTRY(fetch_job) link;
    struct agent_fetch *fetch;
    uint64_t id;
    enum agent_order_kind kind;
    enum fetch_state state;
    bool cancelled, begun; /* begun: `started` was told */
    const struct fetch_root *root;
    char *path, *below; /* of the URL; of the file, below the root */
    uint64_t size, hash, old_hash;
    bool replaces;

    struct fetch_try sources[AGENT_SOURCES_MAX];
    size_t source_count, source; /* source: being asked */
    unsigned rounds;
    uint64_t best, due_ms; /* best: the most it had at the end of a round */

    /* the worker's */
    uv_work_t work;
    atomic_bool stop;
    struct fetch_file file;
    struct fetch_origin origin;
    uint64_t have;
    bool mixed; /* not all in the part has come with the last answer */
    int64_t mtime;
    enum fetch_outcome outcome;
    int err;
    struct buf why;

    /* one request */
    CURL *easy;
    struct curl_slist *headers;
    struct fetch_head head;
    bool head_read, ranged, paused, held_back; /* held_back: by the rate, in this window */
    bool ended;
    CURLcode code;
    enum fetch_fault fault; /* found while receiving */
    char error[CURL_ERROR_SIZE];
    uint64_t window_ms, window_bytes, told_ms, told_bytes, room_bytes;
};
TAILQ_HEAD(fetch_jobs, fetch_job);

struct fetch_root {
    struct agent_scan_root at; /* own texts; prefix ends in "/" */
    char *texts[3];
    bool writable;
};

enum { FETCH_PEERS = 64 };
/* A source that could not be reached. */
struct fetch_peer {
    struct endpoint at;
    unsigned failures;
    uint64_t until_ms;
};

struct fetch_curl;

struct agent_fetch {
    uv_loop_t *loop;
    struct agent_fetch_config config;
    const struct clock *clock;
    struct fetch_root *roots;
    size_t root_count;
    struct fetch_jobs waiting, pausing, working;
    size_t queued, working_count; /* queued: waiting or pausing; among those working are cancelled ones */
    uint64_t pause_due_ms;        /* of the first that pauses; UINT64_MAX: none does */
    struct map by_id;
    struct agent_pace pace;
    struct fetch_peer peers[FETCH_PEERS];
    struct fetch_curl *curl;
    uv_timer_t timer;
    struct agent_fetch_stats stats;
    bool closing, timer_closed;
};

/* ---- fetch_disk.c ---- */
void fetch_disk_look(struct fetch_job *j);
void fetch_disk_finish(struct fetch_job *j);
void fetch_disk_remove(struct fetch_job *j);
void fetch_disk_drop(struct fetch_job *j);

/* ---- fetch_source.c ---- */
/* The next to ask in this round, by preference and by who could be reached lately; false: all were. */
bool fetch_source_next(struct fetch_job *j);
/* Notes how the one asked has done. */
void fetch_source_note(struct fetch_job *j, enum fetch_fault fault);
/* False: no source is left that may have it. */
bool fetch_source_round(struct fetch_job *j);

/* ---- fetch_transfer.c ---- */
int fetch_transfer_start(struct fetch_job *j) PM_MUST_CHECK;
/* Ends the request in whatever state it is. */
void fetch_transfer_stop(struct fetch_job *j);
/* Says how it went: sets err and why; after j->ended. */
enum fetch_fault fetch_transfer_judge(struct fetch_job *j);
void fetch_transfer_resume(struct fetch_job *j);

/* ---- fetch_curl.c ---- */
int fetch_curl_new(uv_loop_t *loop, struct agent_fetch *f, struct fetch_curl **out) PM_MUST_CHECK;
/* Its handles close by and by; nothing of it is called any more. */
void fetch_curl_free(struct fetch_curl *c);
int fetch_curl_add(struct fetch_curl *c, CURL *easy) PM_MUST_CHECK;
void fetch_curl_remove(struct fetch_curl *c, CURL *easy);

/* ---- fetch_jobs.c ---- */
bool fetch_job_queued(enum fetch_state s);
/* Out of its list. */
void fetch_job_leave(struct fetch_job *j);
/* Out of its list and of by_id. */
void fetch_job_unlink(struct fetch_job *j);
void fetch_job_free(struct fetch_job *j);
/* Into a worker, which does what the state says. */
void fetch_job_work(struct fetch_job *j, enum fetch_state state);
void fetch_on_timer(uv_timer_t *t);
/* After whatever has happened: results, what comes next, the timer. Callbacks come from here. */
void fetch_plan(struct agent_fetch *f);
/* fetch.c: frees all, once the timer is closed and the last worker is back. */
void fetch_release(struct agent_fetch *f);

#endif
