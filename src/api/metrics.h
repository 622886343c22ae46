/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metrics page: GET /metrics in the Prometheus text format, GET /health -> 200 "ok", GET / -> links. Nothing
 * else; it speaks just enough HTTP/1.1 for that, one request per connection, and is meant for loopback.
 *
 * Numbers of this layer are one line each in METRICS_TABLE; everything else comes from host->metrics. Each family has
 * its HELP and TYPE once, before its values, whatever order they come in.
 *
 * Limits: METRICS_CLIENTS connections (more are closed at once), 8 kB of request head, METRICS_IDLE_MS for a request
 * to come and METRICS_WRITE_MS for its answer to be taken. VIPs one by one only up to METRICS_VIPS; sites are always
 * there.
 *
 * Thread: control. Memory: owned by struct metrics_server; metrics_stop closes its handles, which the loop must still
 * run for.
 */
#ifndef PM_API_METRICS_H
#define PM_API_METRICS_H

#include "api/api.h"

enum {
    METRICS_CLIENTS = 64,
    METRICS_HEAD_MAX = 8192,
    METRICS_IDLE_MS = 10000,
    METRICS_WRITE_MS = 30000,
    METRICS_VIPS = 20000
};

/* symbol, name, type, help */
#define METRICS_TABLE(X)                                                                                             \
    X(BUILD, "pointsman_build_info", "gauge", "Always 1; the version is a label.")                                   \
    X(UPTIME, "pointsman_uptime_seconds", "gauge", "Seconds since the daemon started.")                              \
    X(GENERATION, "pointsman_snapshot_generation", "gauge",                                                          \
      "Number of the snapshot's generation: one more with each reload.")                                             \
    X(HOLD, "pointsman_hold", "gauge", "1 while all states are held because nearly every check failed at once.")     \
    X(OVERRIDES, "pointsman_overrides", "gauge", "Operators' words in force.")                                       \
    X(SERVICES, "pointsman_services", "gauge", "Services configured.")                                               \
    X(CHECKS, "pointsman_checks", "gauge", "Checks by state.")                                                       \
    X(SITE_VIPS, "pointsman_site_vips", "gauge", "VIPs of a site by measured health.")                               \
    X(SITE_OVERRIDDEN, "pointsman_site_vips_overridden", "gauge", "VIPs of a site by operator's word.")              \
    X(VIP_UP, "pointsman_vip_up", "gauge", "1: up or unchecked. 0: down. NaN: no verdict yet.")                      \
    X(VIP_OVERRIDE, "pointsman_vip_override", "gauge",                                                               \
      "Operator's word: 0 none, 1 enabled by force, 2 drained, 3 disabled.")                                         \
    X(VIP_FLAPPING, "pointsman_vip_flapping", "gauge", "1 while held down because it changed too often.")            \
    X(VIP_RESPONSE, "pointsman_vip_response_seconds", "gauge",                                                       \
      "Time-weighted average duration of good checks, where measured.")                                              \
    X(VIPS_OMITTED, "pointsman_vips_omitted", "gauge",                                                               \
      "VIPs that have no metrics of their own because there are too many; sites count them.")

enum metrics_id {
#define X(sym, name, type, help) METRICS_##sym,
    METRICS_TABLE(X)
#undef X
        METRICS_COUNT
};
struct metrics_info {
    const char *name, *type, *help;
};
extern const struct metrics_info metrics_table[]; /* by enum metrics_id, then one with a NULL name */

/* The page. vip_limit: METRICS_VIPS, or less for tests. */
void metrics_page(const struct api_host *host, uint32_t vip_limit, struct buf *out);
/* Appends a label's value with what the format wants escaped. */
void metrics_label(struct buf *out, const char *value);

struct metrics_server;
/* PM_EINUSE, PM_EPERM ... when it cannot listen. port 0: any, see metrics_port. host must outlive it. */
int metrics_start(uv_loop_t *loop, const struct api_host *host, const struct endpoint *listen,
                  struct metrics_server **out) PM_MUST_CHECK;
uint16_t metrics_port(const struct metrics_server *s);
void metrics_stop(struct metrics_server *s); /* NULL is allowed */

#endif
