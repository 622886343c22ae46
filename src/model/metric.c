/* SPDX-License-Identifier: Apache-2.0 */
#include "model/metric.h"

const struct metric_info metric_info[METRIC_COUNT] = {
#define X(sym, name, unit, low, doc) {name, unit, low, doc},
    MODEL_METRICS(X)
#undef X
};
