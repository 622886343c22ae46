/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/fetch_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { HEAD_MAX = 64 * 1024, ROOM_BYTES = 16 * 1024 * 1024, BLOCK_LEAST = 2048 };

/* Ends the request from within a callback of curl; the first word counts. Returns what the callback returns. */
static size_t stop_with(struct fetch_job *j, enum fetch_fault fault, int err, size_t n)
{
    if (j->fault == FETCH_NO_FAULT) {
        j->fault = fault;
        j->err = err;
    }
    return n ? 0 : 1; /* another number than n */
}

/* Begins the sentence that says why; its subject is the source. */
static struct buf *blame(struct fetch_job *j)
{
    char text[ENDPOINT_TEXT];
    buf_clear(&j->why);
    buf_printf(&j->why, "%s ", endpoint_format(&j->sources[j->source].at, text));
    return &j->why;
}

/* ---- the head of the answer ---- */

/* RFC 9110 8.8.3; a weak one does not say that the bytes are the same. */
static void read_validator(struct fetch_head *h, const char *value, size_t len)
{
    bool good = len > 2 && len < sizeof h->validator && value[0] == '"' && value[len - 1] == '"';
    for (size_t i = 1; good && i + 1 < len; i++)
        good = value[i] > ' ' && value[i] < 0x7f && value[i] != '"';
    if (!good)
        return;
    memcpy(h->validator, value, len);
    h->validator[len] = 0;
}

static void read_field(struct fetch_head *h, const char *line, size_t len)
{
    char text[256];
    uint64_t to;
    const char *colon = memchr(line, ':', len);
    size_t name = colon ? (size_t)(colon - line) : 0;
    if (!name || len >= sizeof text)
        return;
    const char *value = colon + 1;
    while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == '\n' || line[len - 1] == ' ' || line[len - 1] == '\t'))
        len--;
    while (value < line + len && (*value == ' ' || *value == '\t'))
        value++;
    size_t n = value < line + len ? (size_t)(line + len - value) : 0;
    memcpy(text, value, n);
    text[n] = 0;
    if (name == 4 && strncasecmp(line, "ETag", name) == 0) {
        read_validator(h, text, n);
    } else if (name == 14 && strncasecmp(line, "Content-Length", name) == 0) {
        h->has_length = sscanf(text, "%" SCNu64, &h->length) == 1;
    } else if (name == 16 && strncasecmp(line, "Content-Encoding", name) == 0) {
        h->encoded = n > 0 && strcasecmp(text, "identity") != 0;
    } else if (name == 13 && strncasecmp(line, "Content-Range", name) == 0) {
        h->range_size = UINT64_MAX; /* "*": not told */
        h->has_range = sscanf(text, "bytes %" SCNu64 "-%" SCNu64 "/%" SCNu64, &h->range_from, &to, &h->range_size) >= 2;
    }
}

static size_t judge_refusal(struct fetch_job *j, size_t n)
{
    unsigned s = j->head.status;
    bool passing = s >= 500 || s == 408 || s == 425 || s == 429;
    bool missing = s == 404 || s == 410 || s == 401 || s == 403;
    buf_printf(blame(j), "answers %u", s);
    return stop_with(j, passing ? FETCH_PASSING : FETCH_LASTING, missing ? PM_ENOTFOUND : PM_EPROTO, n);
}

/* Nothing that is there fits: all of it again. */
static int start_over(struct fetch_job *j)
{
    int err = 0;
    if (j->have > 0) {
        j->fetch->stats.restarted++;
        err = fetch_part_empty(&j->file, &j->why);
    }
    j->have = 0;
    j->mixed = false;
    return err;
}

static size_t wrong_range(struct fetch_job *j, size_t n)
{
    buf_puts(blame(j), "answers with another range than was asked for");
    return stop_with(j, FETCH_LASTING, PM_EPROTO, n);
}

static size_t wrong_length(struct fetch_job *j, uint64_t length, size_t n)
{
    buf_printf(blame(j), "has %" PRIu64 " bytes, not %" PRIu64, length, j->size);
    return stop_with(j, FETCH_LASTING, PM_EPROTO, n);
}

/* The head is complete: is this what was asked for? Returns n, or ends the request. */
static size_t judge_head(struct fetch_job *j, size_t n)
{
    const struct fetch_head *h = &j->head;
    if (h->status == 416 && j->ranged) {
        buf_puts(blame(j), "has less than the part");
        int err = start_over(j);
        return stop_with(j, err ? FETCH_LOCAL : FETCH_AGAIN, err ? err : PM_EPROTO, n);
    }
    if (h->status != 200 && h->status != 206)
        return judge_refusal(j, n);
    if (h->encoded) {
        buf_puts(blame(j), "sends it in an encoding that was not asked for");
        return stop_with(j, FETCH_LASTING, PM_EPROTO, n);
    }
    if (h->status == 206) {
        if (h->has_range && h->range_size != UINT64_MAX && h->range_size != j->size)
            return wrong_length(j, h->range_size, n);
        if (!j->ranged || !h->has_range || h->range_from != j->have ||
            (h->has_length && h->length != j->size - j->have))
            return wrong_range(j, n);
        j->fetch->stats.resumed++;
        j->mixed = true;
    } else {
        if (h->has_length && h->length != j->size)
            return wrong_length(j, h->length, n);
        int err = start_over(j);
        if (err)
            return stop_with(j, FETCH_LOCAL, err, n);
    }
    j->origin.source = j->sources[j->source].at;
    memcpy(j->origin.validator, h->validator, sizeof j->origin.validator);
    fetch_part_note(&j->file, &j->origin);
    return n;
}

static size_t on_head(char *data, size_t size, size_t n, void *ctx)
{
    struct fetch_job *j = ctx;
    struct fetch_head *h = &j->head;
    n *= size;
    if (j->head_read)
        return n; /* trailers */
    size_t bytes = h->bytes + n;
    if (bytes > HEAD_MAX) {
        buf_puts(blame(j), "sends too much of a header");
        return stop_with(j, FETCH_LASTING, PM_EPROTO, n);
    }
    if (n > 12 && memcmp(data, "HTTP/1.", 7) == 0)
        *h = (struct fetch_head){.status = (unsigned)strtoul(data + 9, NULL, 10)};
    else if (data[0] != '\r' && data[0] != '\n')
        read_field(h, data, n);
    h->bytes = bytes;
    if ((data[0] != '\r' && data[0] != '\n') || h->status / 100 == 1)
        return n;
    j->head_read = true;
    return judge_head(j, n);
}

/* ---- the bytes ---- */

static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
    struct fetch_job *j = ctx;
    struct agent_fetch *f = j->fetch;
    n *= size;
    if (!agent_pace_may(&f->pace, clock_mono_ns(f->clock))) {
        j->paused = j->held_back = true;
        return CURL_WRITEFUNC_PAUSE; /* the same bytes come again */
    }
    agent_pace_take(&f->pace, n);
    f->stats.received += n;
    j->window_bytes += n;
    if (n > j->size - j->have) {
        buf_printf(blame(j), "sends more than %" PRIu64 " bytes", j->size);
        int err = start_over(j);
        return stop_with(j, err ? FETCH_LOCAL : FETCH_LASTING, err ? err : PM_EPROTO, n);
    }
    buf_clear(&j->why);
    int err = fetch_part_write(&j->file, data, n, j->have, &j->why);
    j->have += n;
    j->room_bytes += n;
    if (!err && j->room_bytes >= ROOM_BYTES) {
        j->room_bytes = 0;
        err = fetch_part_room(&j->file, j->size, j->have, f->config.reserve, &j->why);
    }
    return err ? stop_with(j, FETCH_LOCAL, err, n) : n;
}

/* ---- the request ---- */

static bool header(struct fetch_job *j, const char *name, const char *value)
{
    char line[512];
    if ((size_t)snprintf(line, sizeof line, "%s: %s", name, value) >= sizeof line)
        return false;
    struct curl_slist *list = curl_slist_append(j->headers, line);
    if (!list)
        return false;
    j->headers = list;
    return true;
}

static bool same_source(const struct fetch_job *j)
{
    const struct endpoint *at = &j->sources[j->source].at;
    return j->origin.source.port == at->port && addr_eq(&j->origin.source.addr, &at->addr);
}

static bool headers(struct fetch_job *j)
{
    char range[64];
    bool ok = header(j, "Host", j->root->at.host) && header(j, "Accept-Encoding", "identity");
    j->ranged = j->have > 0;
    if (ok && j->ranged) {
        snprintf(range, sizeof range, "bytes=%" PRIu64 "-", j->have);
        ok = header(j, "Range", range);
        /* Another source has another tag for the same bytes; there it is the hash that will tell. */
        if (ok && j->origin.validator[0] && same_source(j))
            ok = header(j, "If-Range", j->origin.validator);
    }
    return ok;
}

/* Blocks so small that a slow limit is kept evenly. */
static long block_bytes(uint64_t rate)
{
    uint64_t n = rate ? rate / 16 : FETCH_BLOCK_BYTES;
    return n < BLOCK_LEAST ? BLOCK_LEAST : n > FETCH_BLOCK_BYTES ? FETCH_BLOCK_BYTES : (long)n;
}

static bool set_up(struct fetch_job *j)
{
    struct buf url = BUF_INIT;
    char at[ENDPOINT_TEXT];
    CURL *e = j->easy;
    buf_printf(&url, "http://%s%s", endpoint_format(&j->sources[j->source].at, at), j->path);
    bool ok = headers(j) && curl_easy_setopt(e, CURLOPT_URL, buf_str(&url)) == CURLE_OK;
    buf_fini(&url);
    curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, j->headers);
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e, CURLOPT_PROXY, "");
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_FILETIME, 1L);
    curl_easy_setopt(e, CURLOPT_USERAGENT, "pointsman-agent/" PM_VERSION);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)j->fetch->config.connect_ms);
    curl_easy_setopt(e, CURLOPT_BUFFERSIZE, block_bytes(j->fetch->config.rate));
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, j->error);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_head);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, j);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, j);
    curl_easy_setopt(e, CURLOPT_PRIVATE, j);
    return ok;
}

int fetch_transfer_start(struct fetch_job *j)
{
    j->head = (struct fetch_head){0};
    j->head_read = j->paused = j->held_back = j->ended = false;
    j->fault = FETCH_NO_FAULT;
    j->err = 0;
    j->error[0] = 0;
    j->mtime = -1;
    j->window_bytes = j->room_bytes = 0;
    j->window_ms = clock_mono_ms(j->fetch->clock);
    j->easy = curl_easy_init();
    if (!j->easy)
        return PM_ENOMEM;
    if (set_up(j) && fetch_curl_add(j->fetch->curl, j->easy) == 0)
        return 0;
    fetch_transfer_stop(j);
    return PM_ENOMEM;
}

void fetch_transfer_stop(struct fetch_job *j)
{
    if (!j->easy)
        return;
    fetch_curl_remove(j->fetch->curl, j->easy);
    curl_easy_cleanup(j->easy);
    curl_slist_free_all(j->headers);
    j->easy = NULL;
    j->headers = NULL;
    j->paused = false;
}

void fetch_transfer_resume(struct fetch_job *j)
{
    j->paused = false;
    CURLcode code = curl_easy_pause(j->easy, CURLPAUSE_CONT);
    if (code == CURLE_OK)
        return;
    j->ended = true; /* curl itself would notice at the next byte only */
    j->code = code;
}

/* ---- how it went ---- */

static int code_of(CURLcode code, long os_errno)
{
    if (code == CURLE_OPERATION_TIMEDOUT)
        return PM_ETIMEOUT;
    if (os_errno && os_errno != EAGAIN && os_errno != EINPROGRESS)
        return err_from_errno((int)os_errno);
    if (code == CURLE_COULDNT_CONNECT)
        return PM_EUNREACH;
    return code == CURLE_PARTIAL_FILE || code == CURLE_GOT_NOTHING || code == CURLE_RECV_ERROR ||
                   code == CURLE_SEND_ERROR
               ? PM_ERESET
               : PM_EPROTO;
}

enum fetch_fault fetch_transfer_judge(struct fetch_job *j)
{
    long os_errno = 0, response = 0;
    curl_off_t connect_us = 0, mtime = -1;
    if (j->fault != FETCH_NO_FAULT)
        return j->fault;
    curl_easy_getinfo(j->easy, CURLINFO_OS_ERRNO, &os_errno);
    curl_easy_getinfo(j->easy, CURLINFO_CONNECT_TIME_T, &connect_us);
    curl_easy_getinfo(j->easy, CURLINFO_RESPONSE_CODE, &response);
    curl_easy_getinfo(j->easy, CURLINFO_FILETIME_T, &mtime);
    if (j->code == CURLE_OK && j->head_read && j->have == j->size) {
        j->mtime = mtime;
        return FETCH_NO_FAULT;
    }
    if (j->code == CURLE_OK || j->code == CURLE_PARTIAL_FILE) {
        buf_printf(blame(j), "closed after %" PRIu64 " of %" PRIu64 " bytes", j->have, j->size);
        j->err = PM_ERESET;
        return FETCH_PASSING;
    }
    j->err = code_of(j->code, os_errno);
    buf_puts(blame(j), j->error[0] ? j->error : curl_easy_strerror(j->code));
    bool reached = connect_us > 0 || response > 0;
    if (j->code == CURLE_COULDNT_CONNECT || !reached)
        return FETCH_UNREACHED;
    bool nonsense = j->code == CURLE_UNSUPPORTED_PROTOCOL || j->code == CURLE_WEIRD_SERVER_REPLY;
    return nonsense ? FETCH_LASTING : FETCH_PASSING;
}
