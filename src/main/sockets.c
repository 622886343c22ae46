/* SPDX-License-Identifier: Apache-2.0 */
#include "main/sockets.h"

#include <string.h>
#include <unistd.h>
#include "base/arena.h"

enum { SOCKETS_MAX = 64 };

static bool among(const struct conf_list *endpoints, const struct endpoint *at)
{
    const struct endpoint *e = endpoints->items;
    for (uint32_t i = 0; i < endpoints->count; i++)
        if (e[i].port == at->port && addr_eq(&e[i].addr, &at->addr))
            return true;
    return false;
}

int *sockets_inherit(const struct conf_list *endpoints, struct listen_set *kept, size_t *n)
{
    int *fds = mem_alloc((kept ? kept->count + 1 : 1) * sizeof *fds);
    *n = 0;
    for (size_t i = kept ? kept->count : 0; i-- > 0;) {
        struct listen_socket *s = &kept->items[i];
        if (s->proto != LISTEN_TCP || !among(endpoints, &s->at))
            continue;
        fds[(*n)++] = s->fd;
        memmove(s, s + 1, (kept->count - i - 1) * sizeof *s);
        kept->count--;
    }
    return fds;
}

int sockets_copy(const struct mesh_tls *t, struct listen_set *set)
{
    struct endpoint at[SOCKETS_MAX];
    int fds[SOCKETS_MAX];
    size_t n = t ? mesh_tls_listening(t, at, fds, SOCKETS_MAX) : 0;
    for (size_t i = 0; i < n && i < SOCKETS_MAX; i++) {
        int copy = dup(fds[i]);
        if (copy < 0)
            return PM_EIO;
        set->items = mem_realloc(set->items, (set->count + 1) * sizeof *set->items);
        set->items[set->count++] = (struct listen_socket){.at = at[i], .fd = copy, .proto = LISTEN_TCP};
    }
    return PM_OK;
}
