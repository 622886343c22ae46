/* SPDX-License-Identifier: Apache-2.0 */
/* Listening TCP sockets that go from one owner to the next: of a reload, of an upgrade. */
#ifndef PM_MAIN_SOCKETS_H
#define PM_MAIN_SOCKETS_H

#include "conf/schema.h"
#include "mesh/transport_tls.h"
#include "respond/listen.h"

/* Takes those on the endpoints (struct endpoint) out of kept; kept may be NULL. The caller frees the array. */
int *sockets_inherit(const struct conf_list *endpoints, struct listen_set *kept, size_t *n);
/* Adds copies of the transport's sockets to the set; t may be NULL. */
int sockets_copy(const struct mesh_tls *t, struct listen_set *set) PM_MUST_CHECK;

#endif
