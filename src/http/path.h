/* SPDX-License-Identifier: Apache-2.0 */
/* Paths as a web server sees them: what a resource is called, however a client has spelled it. */
#ifndef PM_HTTP_PATH_H
#define PM_HTTP_PATH_H

#include <stddef.h>

/*
 * The path of a request's target without its query, escapes decoded, "." and ".." resolved (RFC 3986 5.2.4), several
 * slashes as one. Returns its length; 0: it is none (no slash at the beginning, a bad escape, a NUL, longer than size).
 */
size_t http_path_plain(const char *target, size_t len, char *out, size_t size);

#endif
