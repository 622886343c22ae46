/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A URL as an operator writes it, split as a client splits it (RFC 3986): "http://www.example.com:8080/a?b", scheme and
 * path may be missing. Percent escapes and dots stay as they are: what is explained is what would be sent.
 *
 * Pure. Memory: out->target is the caller's to free, whatever came of it.
 */
#ifndef PM_API_URL_H
#define PM_API_URL_H

#include "api/api.h"

/* Fills in all but method and client. PM_EPARSE: no URL of a web server. */
int api_url_read(const char *url, struct api_request *out) PM_MUST_CHECK;

#endif
