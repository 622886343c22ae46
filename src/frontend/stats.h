/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the front-end threads count. One line in FRONT_COUNTERS adds a counter of the whole front end, one in
 * FRONT_SERVER_COUNTERS one per server. Every thread has its own block on its own cache lines; whoever reads sums.
 *
 * Thread: front_count by the owner of the block only; reading from any. Always: counters only grow.
 */
#ifndef PM_FRONTEND_STATS_H
#define PM_FRONTEND_STATS_H

#include <stdint.h>

/* symbol, name for programs, unit, help */
#define FRONT_COUNTERS(X)                                                                          \
    X(ACCEPTED, "accepted", "connections", "Connections accepted from clients")                    \
    X(ACCEPT_ERRORS, "accept_errors", "errors", "Accept calls that failed")                        \
    X(ACCEPT_FULL, "accept_full", "connections", "Closed at once: the limit of clients was reached")                 \
    X(MADE_ROOM, "made_room", "connections", "Closed at the limit of clients for newer ones: had asked for nothing for longest") \
    X(REQUESTS, "requests", "requests", "Requests whose head was read")                            \
    X(BAD_REQUESTS, "bad_requests", "requests", "Requests refused as malformed or too large")      \
    X(REDIRECTED, "redirected", "requests", "Answered by a redirect to a site or server")          \
    X(AWAY, "away", "requests", "Redirected to another site because of overload or no healthy server")               \
    X(AWAY_LOOP, "away_loop", "requests", "Not redirected again: the client had been sent here by another site")     \
    X(REFUSED, "refused", "requests", "Answered 503 or dropped: overload or no healthy server")    \
    X(REWRITTEN, "rewritten", "requests", "Target changed by a rewrite rule")                      \
    X(QUEUED, "queued", "requests", "Waited for a free place at a server")                         \
    X(QUEUE_TIMEOUT, "queue_timeout", "requests", "Waited too long for a place at a server")       \
    X(RETRIES, "retries", "requests", "Sent again, after the first server or connection failed")   \
    X(ELSEWHERE, "elsewhere", "requests", "Asked of another server, because the first one had not got it (404)")   \
    X(NOTES_LOST, "notes_lost", "notes", "Answers that the content directory did not hear of: too many at once")    \
    X(UPGRADED, "upgraded", "connections", "Turned into a tunnel (101)")                           \
    X(TUNNELS, "tunnels", "connections", "Connections of TCP and FTP services")                    \
    X(HELLOS, "hellos", "connections", "TLS greetings read, of services that go by them")          \
    X(HELLO_ODD, "hello_odd", "connections", "Of such services, but without a greeting that can be read: for the default")     \
    X(CLIENT_ABORTS, "client_aborts", "requests", "Ended by the client before the answer was complete")              \
    X(CLIENT_TIMEOUTS, "client_timeouts", "connections", "Closed: the client was too slow")        \
    X(BYTES_IN, "bytes_in", "bytes", "Received from clients and passed on")                        \
    X(BYTES_OUT, "bytes_out", "bytes", "Sent to clients")

#define FRONT_SERVER_COUNTERS(X)                                                                   \
    X(REQUESTS, "requests", "requests", "Requests and connections given to the server")            \
    X(CONNECTS, "connects", "connections", "Connections opened to the server")                     \
    X(CONNECT_ERRORS, "connect_errors", "connections", "Connections that could not be opened")     \
    X(CLOSED_EARLY, "closed_early", "requests", "Connections closed by the server before a whole response")          \
    X(BAD_RESPONSES, "bad_responses", "requests", "Responses that are not HTTP")                   \
    X(TIMEOUTS, "timeouts", "requests", "Responses that did not come in time")                     \
    X(STATUS_5XX, "status_5xx", "responses", "Responses with a status of 500 and above")           \
    X(BYTES, "bytes", "bytes", "Bytes of its responses")

enum front_counter {
#define X(sym, name, unit, help) FRONT_##sym,
    FRONT_COUNTERS(X)
#undef X
        FRONT_COUNTER_COUNT
};
enum front_server_counter {
#define X(sym, name, unit, help) FRONT_SERVER_##sym,
    FRONT_SERVER_COUNTERS(X)
#undef X
        FRONT_SERVER_COUNTER_COUNT
};

struct front_counter_info {
    const char *name, *unit, *help;
};
extern const struct front_counter_info front_counter_info[FRONT_COUNTER_COUNT];
extern const struct front_counter_info front_server_counter_info[FRONT_SERVER_COUNTER_COUNT];

/* One writer, so no locked instruction; relaxed, so a reader never sees half a number. */
static inline void front_count_at(uint64_t *counter, uint64_t by)
{
    __atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + by, __ATOMIC_RELAXED);
}

#endif
