/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside a front-end thread. Everything here belongs to one thread, except what struct frontend shares.
 *
 *   conn      a descriptor in epoll (edge-triggered, added once): what is known of its readiness, its input, its time-out
 *   client    a connection from a client and its present request
 *   upstream  a connection to a server, in use by one client or in the pool of its server
 *   flow      a message body (behind its head) or half a tunnel on its way from one conn to another
 *
 * A connection's readiness is remembered (IO_READ, IO_WRITE), so that no call is made that is known to fail: a receive
 * that fills less than it was given has emptied the socket, and epoll will tell of more. Closed connections are only
 * freed at the end of a round, because the round's events may name them again.
 */
#ifndef PM_FRONTEND_INTERNAL_H
#define PM_FRONTEND_INTERNAL_H

#include <pthread.h>
#include "frontend/frontend.h"
#include "http/chunk.h"
#include "http/head.h"

enum {
    CHUNK_SIZE = 32768,
    CHUNK_ROOM = 1024, /* before the first byte: heads may grow in place */
    PIPE_SIZE = 512 * 1024,
    WHEEL_SLOTS = 1024,
    WHEEL_TICK_MS = 16,
    SCRATCH_SIZE = HTTP_HEAD_MAX + 16384,
    TRIED_MAX = 8,
};

/* Input of a connection: bytes [start, end) of data are unread. */
struct chunk {
    struct chunk *next;
    uint32_t start, end;
    char data[CHUNK_SIZE];
};

struct pipe {
    struct pipe *next;
    int in, out; /* written to, read from */
    uint32_t size;
};

enum conn_kind { CONN_LISTENER, CONN_CLIENT, CONN_UPSTREAM, CONN_DATA, CONN_WAKE };
enum conn_io {
    IO_READ = 1,
    IO_WRITE = 2,
    IO_HUP = 4,   /* the peer has closed its side: reads will come to an end */
    IO_ERR = 8,
    IO_EOF = 16,  /* the end has been read */
};

struct timer {
    struct timer *next, *prev; /* NULL: not in the wheel */
    uint64_t at_ms;            /* when the wheel looks at it */
    uint64_t deadline_ms;      /* when it is due; may lie later than the wheel looks */
};

struct conn {
    int fd; /* -1 = closed */
    uint8_t kind, io;
    struct timer timer;
    struct chunk *in;
};

/* FLOW_LINES: nothing goes until somebody has looked at it and moved lim (ftp.c). */
enum flow_body { FLOW_NONE, FLOW_LENGTH, FLOW_CHUNKED, FLOW_LINES, FLOW_CLOSE, FLOW_TUNNEL };

struct flow {
    uint32_t pos, lim; /* bytes of from->in->data to send now */
    uint8_t body;
    bool read_done; /* nothing more of this message will be read */
    bool unwrap;    /* chunked framing is taken off (for HTTP/1.0 clients) */
    bool bulk;      /* much has come at once: splice */
    bool retain;    /* keep what is sent: it may have to be sent again */
    struct pipe *pipe;
    uint32_t piped; /* bytes in it */
    uint64_t left;  /* of FLOW_LENGTH */
    uint64_t moved; /* bytes sent */
    struct http_chunked chunked;
};

enum client_state {
    CLIENT_HEAD,    /* waits for a request, or the rest of its head */
    CLIENT_QUEUE,   /* waits for a place at a server */
    CLIENT_CONNECT, /* waits for a connection to a server */
    CLIENT_EXCHANGE,
    CLIENT_TUNNEL,
    CLIENT_FTP,
    CLIENT_HELLO,  /* waits for a TLS greeting, or the rest of it */
    CLIENT_REPLY,  /* an answer of our own is being sent */
    CLIENT_LINGER, /* closed towards the client, which may still be sending */
    CLIENT_CLOSED,
};

struct listen_sock {
    struct conn c;
    struct listen_sock *next;
    uint64_t id;
    struct endpoint at;
    uint8_t mode;
    const struct front_listener *listener; /* in the thread's present table; NULL: no longer served */
};

/* What an FTP session has beside its control connection; or, of a data connection, whom it is connected with. */
struct ftp {
    struct conn listener; /* for the next data connection; fd -1 = none */
    struct client *control;
    struct addr from;       /* who may come */
    struct endpoint target; /* with whom he is to be connected */
    struct front_server server;
    struct ftp *next; /* dead list */
};

struct client {
    struct conn c;
    struct client *next; /* free or dead list, queue */
    struct client *ready_next;
    struct client *all_next, *all_prev;
    struct listen_sock *sock;
    struct front_table *table; /* that a request uses; NULL between requests */
    const struct front_service *service;
    const struct front_server *server;
    struct upstream *up;
    uint8_t state;
    bool keep;       /* the connection stays after this response */
    bool ready;      /* in the ready list */
    bool queued;
    bool set_cookie; /* the response tells the client its server */
    bool counted;    /* in the service's active */
    bool data;       /* a data connection of an FTP session */
    bool watched;    /* epoll knows it; see settle in client.c */
    bool path_new;   /* path_text stands for the request's path */
    bool asked;      /* holders is this request's */
    bool elsewhere;  /* a server that should have it has not, and another one is asked */
    uint8_t tried_count;
    uint8_t address_len;
    uint16_t refusal; /* status if no server is found */
    const struct front_server *tried[TRIED_MAX];
    uint64_t began_ms; /* request */
    uint64_t holders;  /* who has what it asks for */
    uint64_t held;     /* FRONT_TCP: who may have it */
    struct http_head head;
    struct flow req;
    struct chunk *out; /* rest of an answer of our own, or path_text */
    struct chunk *path_text;
    struct addr peer;
    uint16_t peer_port;
    struct ftp *ftp;
    char address[ADDR_TEXT]; /* peer as text, made when first needed */
};

struct upstream {
    struct conn c;
    struct upstream *next, *prev; /* pool; next also free and dead list */
    struct client *client;        /* NULL: in the pool */
    struct front_server_state *server;
    bool reused;    /* has served a request before */
    bool connected;
    bool head_done;
    bool keep;
    bool pooled;
    uint64_t since_ms; /* in use */
    struct http_head head;
    struct flow res;
};

struct front_notes;

struct thread {
    struct frontend *f;
    unsigned index;
    int epfd;
    struct conn wake;
    uint64_t now_ms;
    struct front_table *table;
    struct listen_sock *socks;
    struct client *ready_first, *ready_last;
    struct client *clients, *clients_last; /* all open ones, the newest first */
    unsigned client_count;
    bool quiesced;
    /* wheel */
    struct timer wheel[WHEEL_SLOTS];
    uint64_t wheel_bits[WHEEL_SLOTS / 64];
    uint64_t wheel_tick; /* all before it are done */
    /* free lists, last in first out: what was used last is in the cache */
    struct chunk *chunks;
    struct pipe *pipes;
    struct client *free_clients, *dead_clients;
    struct upstream *free_upstreams, *dead_upstreams;
    struct ftp *dead_ftps;
    uint64_t n[FRONT_COUNTER_COUNT];
    _Atomic(struct front_notes *) notes; /* NULL: none was taken so far */
    pthread_t id;
    char scratch[SCRATCH_SIZE];
};

struct sock_set {
    struct endpoint at;
    uint64_t id;
    int *fds;
    uint32_t count;
    bool wanted;
};

struct frontend {
    struct frontend_options o;
    struct front_states states;
    struct front_table *table; /* RCU pointer */
    struct front_table *retired;
    struct sock_set *socks;
    uint32_t sock_count;
    uint64_t next_sock_id;
    atomic_bool quiesce, cut;
    atomic_uint clients; /* of all threads */
    struct thread **threads;
    unsigned running;
};

/* ---- io.c ---- */
int front_thread_prepare(struct thread *t) PM_MUST_CHECK;
void front_thread_free_lists(struct thread *t);
struct chunk *front_chunk_get(struct thread *t);
void front_chunk_put(struct thread *t, struct chunk **c);
struct pipe *front_pipe_get(struct thread *t); /* NULL: the system has none */
void front_pipe_put(struct thread *t, struct pipe **p, bool empty);
int front_conn_watch(struct thread *t, struct conn *c) PM_MUST_CHECK;
/* Closes and forgets the input; the owner is freed by client_free or upstream_free. */
void front_conn_close(struct thread *t, struct conn *c);
/* Receives behind what is there. > 0 bytes, 0 end, PM_EAGAIN, PM_ESPACE (no room), PM_ERESET. */
int front_conn_recv(struct thread *t, struct conn *c, uint32_t most);
/* Sends; bytes sent, PM_EAGAIN, PM_ERESET. */
int64_t front_conn_send(struct conn *c, const void *data, size_t len, bool more);
void front_timer_set(struct thread *t, struct timer *timer, uint64_t in_ms);
void front_timer_clear(struct timer *timer); /* stays in the wheel, does nothing */
void front_timer_remove(struct thread *t, struct timer *timer);
int front_wheel_wait_ms(const struct thread *t);
/* The next timer that is due; NULL: none. It is out of the wheel. */
struct timer *front_wheel_due(struct thread *t);

static inline void front_count(struct thread *t, enum front_counter c)
{
    front_count_at(&t->n[c], 1);
}
static inline struct front_pool *pool_of(const struct thread *t, struct front_server_state *s)
{
    return &s->per_thread[t->index];
}
static inline void server_count(const struct thread *t, struct front_server_state *s, enum front_server_counter c)
{
    front_count_at(&pool_of(t, s)->n[c], 1);
}

/* ---- flow.c ---- */
enum pump { PUMP_DONE, PUMP_WAIT, PUMP_AGAIN, PUMP_SOURCE, PUMP_SINK };
void front_flow_init(struct flow *f, enum flow_body body, uint64_t length);
/* Takes what is already there behind lim into the flow. PM_EPROTO. */
int front_flow_approve(struct flow *f, struct chunk *in) PM_MUST_CHECK;
enum pump front_flow_pump(struct thread *t, struct flow *f, struct conn *from, struct conn *to);
void front_flow_end(struct thread *t, struct flow *f);

/* ---- client.c ---- */
void front_client_accept(struct thread *t, struct listen_sock *s);
void front_client_run(struct thread *t, struct client *c);
void front_client_ready(struct thread *t, struct client *c); /* run it again before the round ends */
void front_client_timeout(struct thread *t, struct client *c);
void front_client_close(struct thread *t, struct client *c);
/* The request is over, whatever way: gives back its place, its table. Does not touch c->up. */
void front_client_release(struct thread *t, struct client *c);
/* After a whole response: the next request, or the end. */
void front_client_next(struct thread *t, struct client *c);
void front_client_linger(struct thread *t, struct client *c);

/* The connection is one of a TCP service from here on; c->held says whose of its servers. s NULL: of none, closed. */
void front_client_tunnel(struct thread *t, struct client *c, const struct front_service *s);

/* For a connection that was not accepted by a listener of the table; count it in frontend.clients. */
struct client *front_client_new(struct thread *t, struct listen_sock *s, int fd);

/* ---- hello.c ---- */
void front_hello_begin(struct thread *t, struct client *c);
void front_hello_run(struct thread *t, struct client *c);

/* ---- request.c ---- */
void front_request_begin(struct thread *t, struct client *c);
/* Chooses a server, or queues, or says no. */
void front_request_dispatch(struct thread *t, struct client *c);
/* The server could not be used before it answered. */
void front_request_failed(struct thread *t, struct client *c, bool exclude, unsigned status);
/*
 * The server has not got it: true if another one that should is asked instead. Then the answer so far is thrown away,
 * and c->up with it.
 */
bool front_request_elsewhere(struct thread *t, struct client *c);
/* No place anywhere: the overload rule. */
void front_request_overload(struct thread *t, struct client *c);

/* ---- queue.c ---- */
bool front_queue_enter(struct thread *t, struct client *c);
void front_queue_leave(struct thread *t, struct client *c);
/* A place at one of the service's servers has become free. */
void front_queue_kick(struct thread *t, struct front_service_state *s);
void front_queue_wake(struct thread *t); /* another thread says that a place is free */

/* ---- reply.c ---- */
/* location may be NULL. The client's connection is closed afterwards unless everything was in order. */
void front_reply_status(struct thread *t, struct client *c, unsigned status);
void front_reply_redirect(struct thread *t, struct client *c, unsigned status, const char *base, const char *path,
                    size_t path_len, const char *extra);
void front_reply_flush(struct thread *t, struct client *c);

/* ---- compose.c: heads on their way through; false: does not fit ---- */
bool front_compose_request(struct thread *t, struct client *c);
bool front_compose_response(struct thread *t, struct client *c, struct upstream *u);

/* ---- upstream.c ---- */
/* PM_OK: connected or connecting. */
int front_upstream_take(struct thread *t, struct client *c, const struct front_server *s, bool fresh) PM_MUST_CHECK;
/* Gives back c->up: to the pool if keep, else closes it. */
void front_upstream_give(struct thread *t, struct client *c, bool keep);
void front_upstream_event(struct thread *t, struct upstream *u); /* one that is in the pool */
void front_upstream_timeout(struct thread *t, struct upstream *u);
void front_pools_trim(struct thread *t, const struct front_table *old);
void front_pools_close(struct thread *t, struct front_server_state *s);
/* PROXY protocol head; length. */
size_t front_proxy_head(char *out, enum front_proxy version, const struct endpoint *from, const struct endpoint *to);

/* ---- exchange.c ---- */
void front_exchange_begin(struct thread *t, struct client *c); /* connected: sends the request */
void front_exchange_run(struct thread *t, struct client *c);
void front_tunnel_begin(struct thread *t, struct client *c);
void front_tunnel_run(struct thread *t, struct client *c);

/* ---- ftp.c ---- */
void front_ftp_begin(struct thread *t, struct client *c);
void front_ftp_run(struct thread *t, struct client *c);
void front_ftp_data(struct thread *t, struct conn *listener); /* its listener has something */
void front_ftp_end(struct thread *t, struct client *c);       /* with its client */

/* ---- balance.c ---- */
enum balance_why { BALANCE_FOUND, BALANCE_FULL, BALANCE_DOWN };
/* For which client: its address, and the value of its cookie if any. */
struct balance_ask {
    const struct addr *client;
    const char *cookie;
    size_t cookie_len;
    const struct front_server *const *tried;
    unsigned tried_count;
    uint64_t holders; /* who may be taken, by slot */
};
enum balance_why front_balance_pick(const struct front_service *s, unsigned thread, uint64_t now_ms,
                                    const struct balance_ask *ask, const struct front_server **out);

/* ---- holdings.c ---- */
void front_holdings_build(struct arena *a, struct front_service *s);
/* Who holds what the target of a request means. */
uint64_t front_holders(const struct front_service *s, const char *target, size_t len);
struct http_hello;
uint64_t front_holders_hello(const struct front_service *s, const struct http_hello *hello);

/* ---- notes.c ---- */
/* The server's answer has come: for services with `known`. again: another server is asked. */
void front_note_answer(struct thread *t, const struct client *c, bool again);

/* ---- rewrite.c ---- */
int front_rewrite_compile(struct front_rewrite *r, struct buf *why) PM_MUST_CHECK;
void front_rewrite_free(struct front_rewrite *r);
/* The rule that fits, its result in out (NUL-ended); NULL: none, or the result does not fit. */
const struct front_rewrite *front_rewrite_apply(const struct front_service *s, const char *path, size_t len, char *out,
                                          size_t cap, size_t *out_len);

/* ---- away.c ---- */
/* Redirects to another site if rule and loop guard allow. */
bool front_away_try(struct thread *t, struct client *c);
void front_redirect_to_chosen(struct thread *t, struct client *c);

/* ---- listen.c ---- */
int front_sock_set_open(struct frontend *f, const struct endpoint *at, struct buf *why) PM_MUST_CHECK;
struct sock_set *front_sock_set_find(const struct frontend *f, const struct endpoint *at);
void front_sock_sets_forget(struct frontend *f); /* those not wanted; their descriptors are the threads' */

/* ---- thread.c ---- */
void *front_thread_run(void *arg);
struct thread *front_thread_new(struct frontend *f, unsigned index);
void front_thread_free(struct thread *t);
void front_thread_wake(struct thread *t);
void front_table_leave(struct thread *t, struct front_table *table);

#endif
