/* SPDX-License-Identifier: Apache-2.0 */
/* A server's id as it stands in QUIC connection ids (`quic-id`): hexadecimal digits, two a byte. Pure. */
#ifndef PM_MODEL_QUIC_ID_H
#define PM_MODEL_QUIC_ID_H

#include <stddef.h>
#include <stdint.h>

enum { QUIC_ID_MAX = 15 };

/* Bytes written; 0: it is none. */
size_t quic_id_parse(const char *text, uint8_t out[QUIC_ID_MAX]);

#endif
