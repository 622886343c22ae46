/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of resources: a file's path below its document root and its place in the URL, which is the prefix and the path
 * with every byte percent-encoded that RFC 3986 does not let stand in a path.
 *
 * Thread: any; nothing is kept. Failure: PM_EINVAL for what is no such name.
 */
#ifndef PM_AGENT_NAMES_H
#define PM_AGENT_NAMES_H

#include "base/buf.h"

/* Appends. */
void agent_name_encode(const char *file, struct buf *out);
/*
 * The other way, appended: every escape decoded. PM_EINVAL: a byte that must not stand in a path as it is, a bad
 * escape, or one that hides a slash or a NUL. So what is accepted can be sent in a request line as it is.
 */
int agent_name_decode(const char *path, struct buf *out) PM_MUST_CHECK;

#endif
