/* SPDX-License-Identifier: Apache-2.0 */
/*
 * surf: an HTTP/1.1 client that checks every byte, for what moves TCP connections between web servers. See surf.c for
 * how it is used, content.h for what the bytes are.
 *
 *   target   a line of the list: host and path, with its request heads ready to be sent
 *   request  one of them asked for once; it lives in its connection's ring, and ends with exactly one verdict
 *   conn     a TCP connection and what it waits for (surf_conn.c: its life; surf_io.c: its bytes; surf_check.c: whether
 *            they are right)
 *   reply    the parser of what comes back (surf_reply.c: bytes in, events out; no socket, no clock)
 *
 * One thread; nothing is locked. `opt` is filled in before anything runs and constant then. All memory is the process's
 * until it ends: connections are slots of one array, used again. Times are CLOCK_MONOTONIC nanoseconds, 0 = never.
 */
#ifndef TESTS_TOOLS_SURF_H
#define TESTS_TOOLS_SURF_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "content.h"

enum { LINE_MAX_LEN = 1024, HEAD_MAX_LEN = 65536, VALUE_LEN = 64, PIPELINE_MAX = 256 };

#define NS_PER_MS 1000000u
#define NS_PER_S  1000000000u

/* --- what to do (surf_options.c) --- */

struct head {
    char *text;
    size_t len;
};

struct target {
    const char *host, *path;
    uint64_t size;           /* of a GET's body */
    struct head heads[2][2]; /* [is a POST][says Connection: close] */
    char *post_answer;       /* the whole body that a POST must be answered with, if it is not a stream */
};

enum post_expect { POST_NONE, POST_ECHO_LENGTH, POST_ECHO_SUM, POST_ECHO };

struct options {
    union {
        struct sockaddr sa;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } to, bind_first; /* bind_first: family AF_UNSPEC without --bind */
    socklen_t to_len;
    uint32_t bind_count; /* addresses, from bind_first on */
    uint16_t port_first; /* 0: the kernel chooses source ports */
    uint32_t port_count;

    struct target *targets;
    size_t target_count;
    bool random_order;
    uint64_t seed;

    unsigned connections, connecting_max, keep, pipeline; /* keep 0: one request, Connection: close */
    uint64_t requests;                                    /* UINT64_MAX: until time is up */
    uint64_t limit_ns, timeout_ns, idle_ns;
    double rate, rst_rate, post_share;
    uint64_t post_size;
    enum post_expect post_expect;

    uint64_t slow_ns; /* slow_bytes of the request each slow_ns */
    size_t slow_bytes;
    size_t split_at; /* a pause of split_ns after so many bytes of each request */
    uint64_t split_ns;
    bool half_close;
    int mss;
    unsigned status; /* the one expected */
    const char *count_header;
};

extern struct options opt;

/* Fills opt; says what is wrong on stderr and exits with 2. */
void options_read(int argc, char **argv);

/* --- what comes back (surf_reply.c) --- */

enum reply_event {
    REPLY_MORE, /* all was taken, nothing to say */
    REPLY_HEAD, /* the final response's head is complete (1xx are skipped) */
    REPLY_BODY, /* body, body_len: a piece of the body, in the caller's buffer */
    REPLY_END,  /* the response is complete */
    REPLY_BAD,  /* not HTTP; `why` says what */
};

struct reply {
    enum {
        AT_STATUS,
        AT_HEADER,
        AT_BODY,
        AT_BODY_TO_CLOSE,
        AT_CHUNK_SIZE,
        AT_CHUNK,
        AT_CHUNK_END,
        AT_TRAILER,
        AT_END
    } at;
    unsigned status;
    bool close; /* the connection ends after this response */
    bool chunked, have_length;
    uint64_t length; /* Content-Length */
    uint64_t left;   /* of the body, or of the chunk */
    size_t head_len; /* bytes of the head so far */
    const char *why;
    const char *body;
    size_t body_len;
    size_t line_len;
    char line[LINE_MAX_LEN]; /* an unfinished line; what does not fit is cut off, no header that we read is that long */
    char value[VALUE_LEN];   /* of opt.count_header, "" if there is none */
};

/* Before each response. */
void reply_begin(struct reply *r);

/* Takes what it can from *data (moves *data and *len) up to the next event. */
enum reply_event reply_next(struct reply *r, const char **data, size_t *len);

/* The connection has ended: true if that completes the response. */
bool reply_complete_at_end(const struct reply *r);

/* --- a request and its connection --- */

enum verdict {
    V_OK,
    V_WRONG_STATUS,
    V_WRONG_BYTES,
    V_BAD_REPLY,    /* not HTTP, or bytes that nobody asked for */
    V_HUNG,         /* no byte either way for --timeout */
    V_CLOSED_EARLY, /* FIN before the response was complete */
    V_RESET,
    V_CONNECT_FAILED,
    V_RST_BY_US,  /* expected */
    V_RESENT,     /* pipelined behind a response that said Connection: close; asked again on another connection */
    V_UNFINISHED, /* time was up, twice */
    VERDICTS
};

struct request {
    uint32_t target;
    bool post, last; /* last: of its connection, by --keep or because there are no more */
    enum verdict verdict;
    uint64_t started;
    uint64_t received; /* of the body */
    struct content expect;
};

struct conn {
    enum {
        CONN_FREE,
        CONN_WAIT, /* for a source port to be free again */
        CONN_CONNECTING,
        CONN_OPEN,
        CONN_ENDING /* everything was answered; the server has to close */
    } state;
    int fd;
    uint32_t generation; /* tells events of this connection from those of the slot's last one */
    uint32_t source;     /* which address and port of --bind and --source-port */
    bool want_out;       /* what epoll was told */
    bool send_failed;    /* reset, says the kernel; what it had received before can still be read */
    bool queued;         /* waits for the rate */
    bool answered;       /* the request that is being sent was answered already */
    struct conn *next;   /* in the queue, or free */

    bool finished; /* its last request was started */

    unsigned started;          /* requests in all */
    unsigned batch;            /* requests since the last --idle */
    unsigned inflight, unsent; /* requests in the ring; the last `unsent` of them are not sent to their end */
    unsigned ring_first;
    struct request *ring; /* opt.pipeline of them */
    uint64_t sent;        /* of the request that is being sent */
    uint64_t allowed;     /* --slow: so much of it may be sent by now */
    bool split_done;

    uint64_t begun, progress; /* connect(), the last byte either way */
    uint64_t wake;            /* something to go on with: a pause or an idle time ends */
    uint64_t idle_until;
    uint64_t abort_at; /* --rst: at this time, or after so many more bytes sent or received */
    bool aborting, abort_sent, abort_received;
    uint64_t abort_count;

    uint64_t due; /* in the heap of times; never later than the connection's next time */
    size_t heap_pos;
    struct reply reply;
};

static inline struct request *conn_request(const struct conn *c, unsigned i)
{
    return &c->ring[(c->ring_first + i) % opt.pipeline];
}

/* --- running (surf.c) --- */

struct run {
    int epoll_fd;
    uint64_t now;  /* set when the loop wakes, and where a latency is measured */
    uint64_t left; /* requests that no connection has taken yet */
    bool stopping; /* no new ones */
    unsigned active, connecting;
    struct conn *conns;
};

extern struct run run;

uint64_t now_ns(void);
void clock_read(void);          /* run.now = now_ns() */
void rate_wait(struct conn *c); /* queues it: conn_start_request will be called when the rate allows */
void rate_forget(struct conn *c);
void return_target(const struct request *q); /* to be asked for again */
void draw_target(struct request *q);
uint64_t random_below(uint64_t n);
double random_unit(void);

/* The heap of times: sets c->due; 0 takes it out. */
void due_set(struct conn *c, uint64_t due);

/* --- a connection's life (surf_conn.c) --- */

void conns_init(void);
void conn_open(void); /* takes one of run.left; there are fewer than opt.connections */
void conn_event(struct conn *c, uint32_t events);
void conn_timer(struct conn *c);
void conn_start_request(struct conn *c); /* takes one of run.left */
void conn_continue(struct conn *c);      /* starts what may be started, closes what has nothing left to do */
void conn_give_up(struct conn *c);       /* all its requests are V_UNFINISHED */
bool conn_wants(const struct conn *c);   /* could start a request right now */

/* --- its bytes (surf_io.c), called by the former; they return false when the connection has been closed --- */

bool conn_send(struct conn *c);
bool conn_receive(struct conn *c);

/* For surf_io.c. The first request has its verdict. False: the connection has been closed. */
bool conn_answered(struct conn *c);
/* All requests end with this verdict and the connection goes. */
void conn_fail(struct conn *c, enum verdict v, const char *why);
/* The other side has ended it: NULL for FIN, else the error. */
void conn_ended(struct conn *c, const char *error);
void conn_surplus(struct conn *c, size_t len); /* so many bytes that nobody asked for */
void conn_abort(struct conn *c);               /* with RST, by --rst */
void conn_watch(struct conn *c, bool out);     /* for EPOLLIN, and EPOLLOUT if `out` */

/* --- whether they are right (surf_check.c): these set the first request's verdict --- */

void check_head(struct conn *c);
void check_body(struct conn *c);
void check_end(struct conn *c, bool by_close);

/* --- what it came to (surf_report.c) --- */

enum { H_CONNECT, H_REQUEST, HISTOGRAMS };

struct stats {
    uint64_t requests, verdicts[VERDICTS];
    uint64_t connections, rst_by_us, closed_idle, reset_idle, unclosed, surplus, port_waits;
    uint64_t bytes, bytes_sent; /* of bodies; of everything */
    unsigned concurrent_max;
};

extern struct stats stats;

void stats_verdict(const struct request *q, enum verdict v);
void stats_latency(int which, uint64_t ns);
void stats_status(unsigned status);
void stats_header(const char *value);
void stats_connect_error(int error);
/* A sentence about one that went wrong; the first few are in the output. */
void stats_example(const struct conn *c, const char *what, const char *path, uint64_t offset, const char *detail);
/* The first wrong byte (or length) of a body. */
void stats_wrong_bytes(const struct conn *c, const struct request *q, const char *path, uint64_t offset,
                       const char *detail);
/* Prints the JSON; true if all that was expected was right. */
bool report(double seconds);

#endif
