/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys of a fleet: a private authority and one certificate per node, in one directory.
 *
 *     ca.pem    the authority's certificate; every node has a copy
 *     ca.key    its private key (0600); needed only where certificates are made, never by a daemon
 *     NODE.pem  a node's private key and certificate in one file (0600), so that a renewal is one rename(2): nobody ever
 *               reads a new certificate with an old key
 *
 * Keys are ECDSA P-256. A node's certificate carries its name as the one DNS name in subjectAltName and serves both ends
 * of a link (EKU clientAuth and serverAuth). The authority signs only leaves (pathlen 0). Certificates start an hour ago:
 * the clocks of two sites differ.
 *
 * Nothing is overwritten unless `force` says so; a file is whole or as before. A replaced node file keeps its owner and its
 * group's right to read, so a daemon that gave up root still reads what root renewed.
 *
 * Thread: any, one per directory. Failure: a code, and one line in `why`. The clock is passed in.
 */
#ifndef PM_MESH_KEYS_H
#define PM_MESH_KEYS_H

#include <stdbool.h>
#include "base/buf.h"
#include "base/clock.h"
#include "mesh/link.h"

#define KEYS_DIR_DEFAULT "/etc/pointsman/keys"

enum { KEYS_CA_DAYS = 3650, KEYS_NODE_DAYS = 90, KEYS_DAYS_MAX = 36500, KEYS_PATH_MAX = 4096 };

struct keys_options {
    const char *dir;
    const struct clock *clock; /* NULL = the system's */
    unsigned days;             /* 0 = the default of the kind */
    bool force;                /* replace what is there */
};

/* Letters, digits, '-', '_' and '.'; begins and ends with a letter or digit; at most MESH_NAME_MAX; not "ca". */
bool keys_name_ok(const char *name);

/* The authority, and the first node's certificate. Makes the directory (0700) if need be. PM_EEXISTS. */
int keys_init(const struct keys_options *o, const char *node, struct buf *why) PM_MUST_CHECK;
/* A certificate with a new key for a node. PM_EEXISTS, PM_ENOTFOUND (no authority here). */
int keys_issue(const struct keys_options *o, const char *node, struct buf *why) PM_MUST_CHECK;
/*
 * New key and certificate for a node that has one. With `force`, or when less than a third of its time is left;
 * else nothing is done and *renewed is false.
 */
int keys_renew(const struct keys_options *o, const char *node, bool *renewed, struct buf *why) PM_MUST_CHECK;

struct keys_entry {
    char name[MESH_NAME_MAX + 1]; /* the node's; the common name for the authority */
    bool authority;
    int64_t from_s, until_s; /* since 1970 */
    char fingerprint[96];    /* SHA-256, in hex with colons */
    const char *problem;     /* "" or a static text: what makes a peer refuse it */
};

typedef void keys_show_fn(void *ctx, const struct keys_entry *e);
/* The authority, then nodes by name. Files that are no certificate are told as entries with a problem. */
int keys_show(const struct keys_options *o, keys_show_fn *fn, void *ctx, struct buf *why) PM_MUST_CHECK;

#endif
