/* SPDX-License-Identifier: Apache-2.0 */
#include "frontend/frontend.h"

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <urcu-qsbr.h>

#include "frontend/internal.h"

static unsigned cores(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

static void pin(pthread_t id, unsigned index)
{
    cpu_set_t may, one;
    if (sched_getaffinity(0, sizeof may, &may) != 0)
        return;
    for (unsigned cpu = 0, n = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &may) && n++ == index % (unsigned)CPU_COUNT(&may)) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            (void)pthread_setaffinity_np(id, sizeof one, &one);
        }
}

/* A client and its server are two; the rest of the process needs some as well, whatever strangers do here. */
static unsigned clients_possible(void)
{
    enum { OTHERS = 1024 };
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur > 4000000)
        return 2000000;
    return (unsigned)(r.rlim_cur > 2 * OTHERS ? (r.rlim_cur - OTHERS) / 2 : r.rlim_cur / 4 + 1);
}

int frontend_new(const struct frontend_options *o, struct frontend **out, struct buf *why)
{
    struct frontend *f = mem_alloc(sizeof *f);
    f->o = *o;
    if (!f->o.threads)
        f->o.threads = cores();
    if (!f->o.max_clients)
        f->o.max_clients = 100000;
    if (f->o.max_clients > clients_possible())
        f->o.max_clients = clients_possible();
    if (!f->o.backlog)
        f->o.backlog = 4096;
    if (!f->o.splice_min)
        f->o.splice_min = 16384;
    if (!f->o.clock)
        f->o.clock = &clock_system;
    front_states_init(&f->states, f->o.threads);
    f->threads = mem_alloc(f->o.threads * sizeof(struct thread *));
    for (unsigned i = 0; i < f->o.threads; i++)
        if (!(f->threads[i] = front_thread_new(f, i))) {
            buf_printf(why, "cannot make a front-end thread: %s", strerror(errno));
            frontend_stop(f, 0);
            return PM_EIO;
        }
    *out = f;
    return PM_OK;
}

/* Threads start with the first table: before, there is nothing to serve. */
static int threads_start(struct frontend *f, struct buf *why)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = 0;
    for (; rc == 0 && f->running < f->o.threads; f->running += rc == 0) {
        rc = pthread_create(&f->threads[f->running]->id, NULL, front_thread_run, f->threads[f->running]);
        if (rc == 0 && f->o.pin)
            pin(f->threads[f->running]->id, f->running);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc == 0)
        return PM_OK;
    buf_printf(why, "cannot start a front-end thread: %s", strerror(rc));
    return err_from_errno(rc);
}

static void wake_all(struct frontend *f)
{
    for (unsigned i = 0; i < f->running; i++)
        front_thread_wake(f->threads[i]);
}

int frontend_listen(struct frontend *f, const struct endpoint *at, uint32_t count, struct buf *why)
{
    int rc = PM_OK;
    for (uint32_t i = 0; rc == PM_OK && i < count; i++)
        rc = front_sock_set_open(f, &at[i], why);
    return rc;
}

/* Sockets of the listeners: those there are, and new ones. */
static int sockets_prepare(struct frontend *f, struct front_table *t, struct buf *why)
{
    int rc = PM_OK;
    for (uint32_t i = 0; rc == PM_OK && i < t->listener_count; i++)
        rc = front_sock_set_open(f, &t->listeners[i].at, why);
    if (rc != PM_OK)
        return rc;
    for (uint32_t i = 0; i < f->sock_count; i++)
        f->socks[i].wanted = false;
    for (uint32_t i = 0; i < t->listener_count; i++) {
        struct front_listener *l = &t->listeners[i];
        struct sock_set *s = front_sock_set_find(f, &l->at);
        int *fds = ARENA_ARRAY(t->arena, int, s->count);
        memcpy(fds, s->fds, s->count * sizeof *fds);
        s->wanted = true;
        l->id = s->id;
        l->fds = fds;
        l->fd_count = s->count;
    }
    return PM_OK;
}

unsigned frontend_reap(struct frontend *f)
{
    unsigned left = 0;
    for (struct front_table **at = &f->retired, *t; (t = *at);) {
        if (atomic_load(&t->holders) == 0) {
            *at = t->retired;
            front_table_free(&f->states, t);
        } else {
            at = &t->retired;
            left++;
        }
    }
    return left;
}

int frontend_publish(struct frontend *f, const struct front_service *services, uint32_t count, struct buf *why)
{
    struct front_table *t, *old = f->table;
    int rc = front_table_build(&f->states, services, count, &t, why);
    if (rc != PM_OK)
        return rc;
    rc = sockets_prepare(f, t, why);
    if (rc != PM_OK) {
        front_table_free(&f->states, t);
        return rc;
    }
    front_table_mark(&f->states, t);
    rcu_assign_pointer(f->table, t);
    wake_all(f);
    synchronize_rcu(); /* from here on no thread begins to use the old one */
    if (old) {
        old->retired = f->retired;
        f->retired = old;
    }
    front_sock_sets_forget(f);
    (void)frontend_reap(f);
    return f->running == f->o.threads ? PM_OK : threads_start(f, why);
}

void frontend_quiesce(struct frontend *f)
{
    atomic_store(&f->quiesce, true);
    wake_all(f);
}

unsigned frontend_clients(const struct frontend *f)
{
    return atomic_load(&f->clients);
}

void frontend_stop(struct frontend *f, uint32_t linger_ms)
{
    frontend_quiesce(f);
    for (uint32_t waited = 0; waited < linger_ms && frontend_clients(f); waited += 5)
        nanosleep(&(struct timespec){0, 5 * 1000 * 1000}, NULL);
    atomic_store(&f->cut, true);
    wake_all(f);
    for (unsigned i = 0; i < f->running; i++)
        pthread_join(f->threads[i]->id, NULL);
    if (!f->running) /* nobody has taken the sockets over */
        for (uint32_t i = 0; i < f->sock_count; i++)
            for (uint32_t k = 0; k < f->socks[i].count; k++)
                close(f->socks[i].fds[k]);
    (void)frontend_reap(f);
    if (f->table)
        front_table_free(&f->states, f->table);
    for (unsigned i = 0; i < f->o.threads; i++)
        if (f->threads[i])
            front_thread_free(f->threads[i]);
    for (uint32_t i = 0; i < f->sock_count; i++)
        free(f->socks[i].fds);
    free(f->socks);
    front_states_fini(&f->states);
    free(f->threads);
    free(f);
}

/* ---- servers ---- */

static struct front_server *server_find(struct frontend *f, const char *service, const char *server)
{
    for (uint32_t i = 0; f->table && i < f->table->service_count; i++)
        for (uint32_t k = 0; k < f->table->services[i].server_count; k++)
            if (strcmp(f->table->services[i].name, service) == 0 &&
                strcmp(f->table->services[i].servers[k].name, server) == 0)
                return &f->table->services[i].servers[k];
    return NULL;
}

int frontend_server_health(struct frontend *f, const char *service, const char *server, enum front_health h)
{
    struct front_server *s = server_find(f, service, server);
    if (!s)
        return PM_ENOTFOUND;
    if (atomic_load(&s->state->health) != h && h == FRONT_UP)
        atomic_store(&s->state->up_since_ms, clock_mono_ms(f->o.clock));
    if (atomic_exchange(&s->state->health, (unsigned char)h) != h && h == FRONT_UP)
        wake_all(f); /* who waits in a queue may go there */
    return PM_OK;
}

int frontend_server_drain(struct frontend *f, const char *service, const char *server, bool on)
{
    struct front_server *s = server_find(f, service, server);
    if (!s)
        return PM_ENOTFOUND;
    atomic_store(&s->state->draining, on);
    return PM_OK;
}

int frontend_server_load(struct frontend *f, const char *service, const char *server, double load)
{
    struct front_server *s = server_find(f, service, server);
    if (!s)
        return PM_ENOTFOUND;
    atomic_store(&s->state->load, load >= 0 && load < 1e6 ? (uint32_t)(load * 1000) : UINT32_MAX);
    return PM_OK;
}

double frontend_empty_in(unsigned n, double mean_ms)
{
    double h = 0;
    for (unsigned i = 1; i <= n && i <= 64; i++)
        h += 1.0 / i;
    return mean_ms * (n > 64 ? h + log(n / 64.5) : h);
}

bool frontend_server_view(const struct frontend *f, unsigned i, struct frontend_server_view *out)
{
    const struct front_table *t = f->table;
    uint32_t k = 0;
    for (; t && k < t->service_count && i >= t->services[k].server_count; k++)
        i -= t->services[k].server_count;
    if (!t || k == t->service_count)
        return false;
    const struct front_server *v = &t->services[k].servers[i];
    struct front_server_state *s = v->state;
    *out = (struct frontend_server_view){.service = t->services[k].name,
                                         .server = v->name,
                                         .at = v->at,
                                         .up = atomic_load(&s->health) == FRONT_UP,
                                         .draining = atomic_load(&s->draining),
                                         .active = atomic_load(&s->active),
                                         .response_ms = atomic_load(&s->response_us) / 1000.0,
                                         .session_ms = atomic_load(&s->session_ms)};
    for (unsigned p = 0; p < s->threads; p++) {
        out->idle += __atomic_load_n(&s->per_thread[p].idle_count, __ATOMIC_RELAXED);
        for (unsigned c = 0; c < FRONT_SERVER_COUNTER_COUNT; c++)
            out->n[c] += __atomic_load_n(&s->per_thread[p].n[c], __ATOMIC_RELAXED);
    }
    out->empty_in_ms = out->draining ? frontend_empty_in(out->active, out->session_ms) : 0;
    return true;
}

bool frontend_service_view(const struct frontend *f, unsigned i, struct frontend_service_view *out)
{
    if (!f->table || i >= f->table->service_count)
        return false;
    const struct front_service *s = &f->table->services[i];
    *out = (struct frontend_service_view){s->name, atomic_load(&s->state->active), atomic_load(&s->state->waiting)};
    return true;
}

void frontend_stats(const struct frontend *f, uint64_t sum[FRONT_COUNTER_COUNT])
{
    memset(sum, 0, FRONT_COUNTER_COUNT * sizeof *sum);
    for (unsigned i = 0; i < f->o.threads; i++)
        for (unsigned c = 0; c < FRONT_COUNTER_COUNT; c++)
            sum[c] += __atomic_load_n(&f->threads[i]->n[c], __ATOMIC_RELAXED);
}
