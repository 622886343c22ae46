/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures of records (docs/protocol/dssp.md, "Whom to believe"): the writer's node key signs,
 * the certificate that comes as its `identity` record verifies. It must be signed by the fleet's
 * authority, be good at the time, and bear the writer's name.
 *
 * Looking at a certificate costs as much as several signatures, so keys once found good are kept,
 * by the hash of the certificate, SIGN_KEYS_MAX of them; beyond that all are dropped and looked at
 * again as they come.
 *
 * Thread: control. Memory: the caller frees it after the mesh that uses it. Failure: a code; `why`
 * for the files.
 */
#ifndef PM_MESH_SIGN_H
#define PM_MESH_SIGN_H

#include "mesh/mesh.h"
#include "mesh/tls_cert.h"

enum { SIGN_KEYS_MAX = 4096 };

struct mesh_sign;

/* PM_ETLS. The node's certificate must be one tls_context takes, with an ECDSA key. */
int mesh_sign_new(const struct tls_files *files, const char *node, const struct clock *clock,
                  struct mesh_sign **out, struct buf *why) PM_MUST_CHECK;
/* For mesh_new; valid until mesh_sign_free. */
const struct mesh_trust *mesh_sign_trust(const struct mesh_sign *s);
void mesh_sign_free(struct mesh_sign *s); /* NULL is allowed */

#endif
