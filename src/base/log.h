/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log: one line per event on stderr, a message and then key=value pairs:
 *
 *     site down  site=paris service=www.example.com why="connection refused" ...
 *
 * When the lines go to journald (JOURNAL_STREAM names this very stream) each starts with its priority ("<4>",
 * sd-daemon(3)); else it starts with the time. Values with spaces, quotes or control bytes are quoted and escaped, so
 * a line is always one line. Every call site may print 10 lines a second; what is dropped is counted and said with the
 * next line.
 *
 * Thread: any; a line is one write(2). Nothing on the answering path logs. Never log a secret.
 */
#ifndef PM_BASE_LOG_H
#define PM_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"

enum log_level { LOG_ERROR = 3, LOG_WARN = 4, LOG_NOTICE = 5, LOG_INFO = 6, LOG_DEBUG = 7 };

/* State of one call site; LOG_AT makes one. */
struct log_site {
    uint64_t window_ns;
    unsigned printed, dropped;
};

/* Lines above level are not printed. fd -1 = stderr. */
void log_init(enum log_level level, int fd);
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);
void log_write(struct log_site *site, enum log_level level, const char *msg, ...);

/*
 * log_info("site down", "site", name, "why", text) - keys and values alternate, all strings; LOG_AT ends the list.
 * A NULL value prints as "".
 * Numbers: LOG_U(n), LOG_F(x) format into a buffer that lives to the end of the statement's block.
 */
#define LOG_AT(level, ...)                                                                         \
    do {                                                                                           \
        static struct log_site log_site_;                                                          \
        if (log_enabled(level))                                                                    \
            log_write(&log_site_, (level), __VA_ARGS__, (const char *)0, (const char *)0);      \
    } while (0)
#define log_error(...)  LOG_AT(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)   LOG_AT(LOG_WARN, __VA_ARGS__)
#define log_notice(...) LOG_AT(LOG_NOTICE, __VA_ARGS__)
#define log_info(...)   LOG_AT(LOG_INFO, __VA_ARGS__)
#define log_debug(...)  LOG_AT(LOG_DEBUG, __VA_ARGS__)

struct log_num {
    char text[32];
};
const char *log_num_u(struct log_num *n, uint64_t v);
const char *log_num_f(struct log_num *n, double v);
#define LOG_U(v) log_num_u(&(struct log_num){{0}}, (uint64_t)(v))
#define LOG_F(v) log_num_f(&(struct log_num){{0}}, (double)(v))

#endif
