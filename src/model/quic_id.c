/* SPDX-License-Identifier: Apache-2.0 */
#include "model/quic_id.h"

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

size_t quic_id_parse(const char *text, uint8_t out[QUIC_ID_MAX])
{
    size_t n = 0;
    for (; text[0]; text += 2) {
        int high = digit(text[0]), low = high < 0 ? -1 : digit(text[1]);
        if (low < 0 || n == QUIC_ID_MAX)
            return 0;
        out[n++] = (uint8_t)(high << 4 | low);
    }
    return n;
}
