/* SPDX-License-Identifier: Apache-2.0 */
#include "respond/service.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <urcu-qsbr.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/map.h"
#include "respond/tcp.h"
#include "respond/udp.h"

struct worker {
    struct respond_thread t; /* first: a worker is found from its thread */
    struct udp_thread *udp;  /* one of the two */
    struct tcp_thread *tcp;
    struct listen_set posted; /* what t.want points to */
};

struct respond_service {
    struct respond_options opts;
    struct listen_set sockets;
    unsigned lanes; /* UDP threads per core, so far */
    unsigned count; /* workers: tcp_threads for TCP, then threads for each lane */
    struct worker *workers[RESPOND_THREADS_MAX * (RESPOND_LANES + 1)];
};

static unsigned cores_allowed(void)
{
    cpu_set_t cpus;
    int n = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : 1;
    return n > RESPOND_THREADS_MAX ? RESPOND_THREADS_MAX : (unsigned)n;
}

#define DEFAULT(field, value) ((field) = (field) ? (field) : (value))

void respond_options_complete(struct respond_options *o)
{
    DEFAULT(o->threads, cores_allowed());
    DEFAULT(o->tcp_threads, o->threads);
    DEFAULT(o->udp_answer_max, 1232u);
    DEFAULT(o->tcp_clients, 1024u);
    DEFAULT(o->tcp_idle_ms, 10000u);
    DEFAULT(o->tcp_query_ms, 5000u);
    DEFAULT(o->tcp_write_ms, 5000u);
    DEFAULT(o->tcp_memory, (size_t)64 << 20);
    DEFAULT(o->listen.backlog, 1024u);
    DEFAULT(o->listen.buffer, 4u << 20);
    o->listen.udp_threads = o->threads;
    o->listen.tcp_threads = o->tcp_threads;
}

/* ---- threads ---- */

static void *worker_run(void *arg)
{
    struct worker *w = arg;
    rcu_register_thread();
    if (w->udp)
        udp_thread_run(w->udp);
    else
        tcp_thread_run(w->tcp);
    rcu_unregister_thread();
    return NULL;
}

static void worker_free(struct worker *w)
{
    udp_thread_free(w->udp);
    tcp_thread_free(w->tcp);
    free(w->t.have.items);
    free(w->t.scratch);
    free(w->t.counters);
    free(w->t.stats);
    free(w);
}

static struct worker *worker_new(struct respond_service *s, bool tcp, unsigned core)
{
    struct worker *w = mem_alloc(sizeof *w);
    /* Counters on cache lines of their own, on both ends. */
    size_t bytes = ((size_t)s->opts.counters * sizeof(uint64_t) + 127) / 64 * 64;
    w->t.opts = &s->opts;
    w->t.index = s->count;
    w->t.tcp = tcp;
    w->t.core = core;
    w->t.scratch = mem_alloc(s->opts.scratch_size + 64);
    w->t.stats = aligned_alloc(64, sizeof *w->t.stats);
    w->t.counters = aligned_alloc(64, bytes);
    if (w->t.stats && w->t.counters) {
        memset(w->t.stats, 0, sizeof *w->t.stats);
        memset(w->t.counters, 0, bytes);
        w->udp = tcp ? NULL : udp_thread_new(&w->t);
        w->tcp = tcp ? tcp_thread_new(&w->t) : NULL;
    }
    if (!w->udp && !w->tcp) {
        worker_free(w);
        return NULL;
    }
    if (getrandom(&w->t.random, sizeof w->t.random, 0) != sizeof w->t.random)
        w->t.random = hash_seed() + s->count;
    return w;
}

/* To the n-th core this process may use. Not being pinned costs a little speed, so it is said and no error. */
static void worker_pin(const struct worker *w)
{
    cpu_set_t allowed, one;
    CPU_ZERO(&one);
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) == 0)
        return;
    unsigned skip = w->t.core % (unsigned)CPU_COUNT(&allowed);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &allowed) && skip-- == 0) {
            CPU_SET(cpu, &one);
            break;
        }
    }
    int err = pthread_setaffinity_np(w->t.id, sizeof one, &one);
    if (err != 0)
        log_warn("serving thread not pinned", "thread", LOG_U(w->t.index), "why", strerror(err));
}

static int worker_start(struct respond_service *s, bool tcp, unsigned core, struct buf *why)
{
    struct worker *w = worker_new(s, tcp, core);
    sigset_t all, before;
    if (!w) {
        buf_printf(why, "cannot start serving thread %u: out of descriptors or memory", s->count);
        return PM_ENOMEM;
    }
    /* Signals are for the control thread; only the wake-up comes through. */
    sigfillset(&all);
    sigdelset(&all, SIGURG);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int err = pthread_create(&w->t.id, NULL, worker_run, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err != 0) {
        buf_printf(why, "cannot start serving thread %u: %s", s->count, strerror(err));
        worker_free(w);
        return err_from_errno(err);
    }
    if (s->opts.pin)
        worker_pin(w);
    s->workers[s->count++] = w;
    return PM_OK;
}

/*
 * Wakes the thread until done says it has noticed. Once is not enough: a signal that arrives between the thread's look
 * at its orders and its system call wakes nobody.
 */
static void worker_wake(struct worker *w, bool (*done)(struct worker *))
{
    for (unsigned n = 0; !done(w); n++) {
        pthread_kill(w->t.id, SIGURG);
        for (unsigned spin = 0; spin < 10 && !done(w); spin++)
            nanosleep(&(struct timespec){0, n < 10 ? 20 * 1000 : 500 * 1000}, NULL);
    }
}

static bool worker_has_switched(struct worker *w)
{
    return atomic_load_explicit(&w->t.want, memory_order_acquire) == NULL;
}

static bool worker_is_stopping(struct worker *w)
{
    return atomic_load_explicit(&w->t.stop_seen, memory_order_acquire);
}

/* ---- who serves what ---- */

static void set_append(struct listen_set *s, const struct listen_socket *one, size_t room)
{
    if (!s->items)
        s->items = mem_alloc(room * sizeof *s->items);
    s->items[s->count++] = *one;
}

/* A group = the sockets of one endpoint and protocol. Fewer than threads: shared; more: several to one thread. */
static void group_assign(struct respond_service *s, const struct listen_socket *group, size_t n,
                         unsigned endpoint, size_t room)
{
    bool tcp = group->proto == LISTEN_TCP;
    unsigned threads = tcp ? s->opts.tcp_threads : s->opts.threads;
    unsigned first = tcp ? 0 : s->opts.tcp_threads + (endpoint % s->lanes) * s->opts.threads;
    for (size_t k = 0; k < n || k < threads; k++)
        set_append(&s->workers[first + k % threads]->posted, &group[k % n], room);
}

static unsigned endpoints_assign(struct respond_service *s, const struct listen_set *all,
                                 bool count_only)
{
    unsigned endpoints = 0;
    for (size_t i = 0, n; i < all->count; i += n) {
        const struct listen_socket *g = &all->items[i];
        for (n = 1; i + n < all->count && g[n].proto == g->proto && g[n].at.port == g->at.port &&
                    addr_eq(&g[n].at.addr, &g->at.addr);
             n++)
            ;
        if (!count_only)
            group_assign(s, g, n, endpoints, all->count);
        endpoints += g->proto == LISTEN_UDP;
    }
    return endpoints;
}

static int lanes_start(struct respond_service *s, const struct listen_set *all, struct buf *why)
{
    unsigned want = endpoints_assign(s, all, true);
    int err = PM_OK;
    want = want > RESPOND_LANES ? RESPOND_LANES : want < 1 ? 1 : want;
    while (err == PM_OK && s->lanes < want) {
        /* A lane begun by a call that failed is completed. */
        unsigned begun = s->count - s->opts.tcp_threads - s->lanes * s->opts.threads;
        for (unsigned i = begun; err == PM_OK && i < s->opts.threads; i++)
            err = worker_start(s, false, i, why);
        s->lanes += err == PM_OK;
    }
    return err;
}

/* Gives every thread its part of all, and returns when all have taken it over. */
static int sockets_distribute(struct respond_service *s, const struct listen_set *all,
                              struct buf *why)
{
    int err = PM_OK;
    endpoints_assign(s, all, false);
    for (unsigned i = 0; i < s->count; i++)
        atomic_store_explicit(&s->workers[i]->t.want, &s->workers[i]->posted, memory_order_release);
    for (unsigned i = 0; i < s->count; i++) {
        struct worker *w = s->workers[i];
        worker_wake(w, worker_has_switched);
        w->posted = (struct listen_set){NULL, 0}; /* the thread's now */
        if (w->t.error != PM_OK && err == PM_OK) {
            err = w->t.error;
            buf_printf(why, "serving thread %u cannot watch all its sockets: %s", i, err_text(err));
        }
    }
    return err;
}

/* ---- the service ---- */

static void wake_up(int sig)
{
    (void)sig; /* it has done its work: a blocking call returns */
}

int respond_start(const struct respond_options *o, struct listen_set *sockets,
                  struct respond_service **out, struct buf *why)
{
    *out = NULL;
    if (!o->answer || !o->threads || !o->tcp_threads || o->threads > RESPOND_THREADS_MAX ||
        o->tcp_threads > RESPOND_THREADS_MAX) {
        buf_printf(why, "serving threads: from 1 to %d", RESPOND_THREADS_MAX);
        return PM_EINVAL;
    }
    struct sigaction sa = {.sa_handler = wake_up}; /* no SA_RESTART: that is the point */
    sigemptyset(&sa.sa_mask);
    if (sigaction(SIGURG, &sa, NULL) != 0)
        return err_from_errno(errno);
    struct respond_service *s = mem_alloc(sizeof *s);
    s->opts = *o;
    int err = PM_OK;
    for (unsigned i = 0; err == PM_OK && i < o->tcp_threads; i++)
        err = worker_start(s, true, i, why);
    if (err == PM_OK)
        err = lanes_start(s, sockets, why);
    if (err == PM_OK)
        err = sockets_distribute(s, sockets, why);
    if (err != PM_OK) {
        respond_stop(s, 0);
        return err;
    }
    s->sockets = *sockets;
    *sockets = (struct listen_set){NULL, 0};
    *out = s;
    return PM_OK;
}

int respond_reconfigure(struct respond_service *s, const struct endpoint *at, size_t n,
                        struct buf *why)
{
    struct listen_set now;
    int err = respond_listen_open(&s->opts.listen, at, n, &s->sockets, &now, why);
    if (err != PM_OK)
        return err;
    err = lanes_start(s, &now, why);
    if (err == PM_OK)
        err = sockets_distribute(s, &now, why);
    if (err != PM_OK) {
        /* Back to what it was; that fitted before. */
        struct buf ignore = BUF_INIT;
        if (sockets_distribute(s, &s->sockets, &ignore) != PM_OK)
            log_error("listen sockets not restored", "why", buf_str(&ignore));
        buf_fini(&ignore);
        respond_listen_release(&now, &s->sockets);
        return err;
    }
    respond_listen_release(&s->sockets, &now);
    s->sockets = now;
    return PM_OK;
}

void respond_stop(struct respond_service *s, uint32_t linger_ms)
{
    if (!s)
        return;
    for (unsigned i = 0; i < s->count; i++) {
        s->workers[i]->t.stop_linger_ms = linger_ms;
        atomic_store_explicit(&s->workers[i]->t.stop, true, memory_order_release);
    }
    for (unsigned i = 0; i < s->count; i++)
        worker_wake(s->workers[i], worker_is_stopping);
    for (unsigned i = 0; i < s->count; i++) {
        pthread_join(s->workers[i]->t.id, NULL);
        worker_free(s->workers[i]);
    }
    respond_listen_fini(&s->sockets);
    free(s);
}

const struct listen_set *respond_sockets(const struct respond_service *s)
{
    return &s->sockets;
}

unsigned respond_thread_count(const struct respond_service *s)
{
    return s->count;
}

void respond_stats(const struct respond_service *s, uint64_t sum[RESPOND_COUNTER_COUNT])
{
    memset(sum, 0, RESPOND_COUNTER_COUNT * sizeof *sum);
    for (unsigned i = 0; i < s->count; i++)
        respond_stats_add(s->workers[i]->t.stats, sum);
}

void respond_counters(const struct respond_service *s, uint64_t *sum)
{
    memset(sum, 0, s->opts.counters * sizeof *sum);
    for (unsigned i = 0; i < s->count; i++)
        for (unsigned k = 0; k < s->opts.counters; k++)
            sum[k] += __atomic_load_n(&s->workers[i]->t.counters[k], __ATOMIC_RELAXED);
}
