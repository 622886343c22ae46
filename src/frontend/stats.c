/* SPDX-License-Identifier: Apache-2.0 */
#include "frontend/stats.h"

#define X(sym, name, unit, help) {name, unit, help},
const struct front_counter_info front_counter_info[FRONT_COUNTER_COUNT] = {FRONT_COUNTERS(X)};
const struct front_counter_info front_server_counter_info[FRONT_SERVER_COUNTER_COUNT] = {FRONT_SERVER_COUNTERS(X)};
#undef X
