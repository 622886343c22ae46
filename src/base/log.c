/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"

enum { LINES_PER_SECOND = 10, LINE_MAX_ = 2048, LINE_CUT = LINE_MAX_ - 64 };

static enum log_level log_level_now = LOG_INFO;
static int log_fd = STDERR_FILENO;
static bool log_journal;

/* JOURNAL_STREAM names the journal's stream by device and inode; children inherit it with other streams. */
static bool fd_is_journal(int fd)
{
    const char *stream = getenv("JOURNAL_STREAM");
    uintmax_t dev, ino;
    struct stat st;
    return stream && sscanf(stream, "%ju:%ju", &dev, &ino) == 2 && fstat(fd, &st) == 0 && st.st_dev == dev &&
           st.st_ino == ino;
}

void log_init(enum log_level level, int fd)
{
    log_level_now = level;
    log_fd = fd < 0 ? STDERR_FILENO : fd;
    log_journal = fd_is_journal(log_fd);
}

void log_set_level(enum log_level level)
{
    log_level_now = level;
}

bool log_enabled(enum log_level level)
{
    return level <= log_level_now;
}

const char *log_num_u(struct log_num *n, uint64_t v)
{
    snprintf(n->text, sizeof n->text, "%llu", (unsigned long long)v);
    return n->text;
}

const char *log_num_f(struct log_num *n, double v)
{
    snprintf(n->text, sizeof n->text, "%.4g", v);
    return n->text;
}

struct line {
    char text[LINE_MAX_];
    size_t len;
};

/* Cuts at limit; what may follow a cut (the quote, what was suppressed, the newline) has room beyond LINE_CUT. */
static void line_put_to(struct line *l, const char *s, size_t n, size_t limit)
{
    size_t room = l->len < limit ? limit - l->len : 0;
    if (n > room)
        n = room;
    memcpy(l->text + l->len, s, n);
    l->len += n;
}

static void line_put(struct line *l, const char *s, size_t n)
{
    line_put_to(l, s, n, LINE_CUT);
}

static bool value_is_plain(const char *v)
{
    if (!*v)
        return false;
    for (; *v; v++)
        if ((unsigned char)*v <= ' ' || *v == '"' || *v == '=' || *v == '\\' || *v == 127)
            return false;
    return true;
}

static void line_value(struct line *l, const char *v)
{
    if (value_is_plain(v)) {
        line_put(l, v, strlen(v));
        return;
    }
    line_put(l, "\"", 1);
    for (; *v; v++) {
        char esc[5];
        unsigned char c = (unsigned char)*v;
        int n;
        if (c == '"' || c == '\\')
            n = snprintf(esc, sizeof esc, "\\%c", c);
        else if (c < ' ' || c == 127)
            n = snprintf(esc, sizeof esc, "\\x%02x", c);
        else
            n = snprintf(esc, sizeof esc, "%c", c);
        if (l->len + (size_t)n > LINE_CUT)
            break; /* half an escape would say something else */
        line_put(l, esc, (size_t)n);
    }
    line_put_to(l, "\"", 1, LINE_CUT + 1);
}

static bool site_may_print(struct log_site *s, unsigned *dropped)
{
    uint64_t now = clock_mono_ns(&clock_system);
    uint64_t start = __atomic_load_n(&s->window_ns, __ATOMIC_RELAXED);
    *dropped = 0;
    /* Another thread may have opened a window after our now. */
    if (now > start && now - start >= 1000000000u &&
        __atomic_compare_exchange_n(&s->window_ns, &start, now, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        __atomic_store_n(&s->printed, 0, __ATOMIC_RELAXED);
        *dropped = __atomic_exchange_n(&s->dropped, 0, __ATOMIC_RELAXED);
    }
    if (__atomic_fetch_add(&s->printed, 1, __ATOMIC_RELAXED) < LINES_PER_SECOND)
        return true;
    __atomic_fetch_add(&s->dropped, 1, __ATOMIC_RELAXED);
    return false;
}

static void line_start(struct line *l, enum log_level level)
{
    static const char *const names[] = {"emerg", "alert", "crit", "error", "warn", "notice", "info", "debug"};
    char head[64];
    if (log_journal) {
        snprintf(head, sizeof head, "<%d>", (int)level);
    } else {
        struct tm tm;
        uint64_t ms = clock_wall_ms(&clock_system);
        time_t t = (time_t)(ms / 1000);
        gmtime_r(&t, &tm);
        size_t n = strftime(head, sizeof head, "%Y-%m-%dT%H:%M:%S", &tm);
        snprintf(head + n, sizeof head - n, ".%03uZ %-6s ", (unsigned)(ms % 1000), names[level & 7]);
    }
    line_put(l, head, strlen(head));
}

void log_write(struct log_site *site, enum log_level level, const char *msg, ...)
{
    struct line l = {.len = 0};
    unsigned dropped;
    if (!site_may_print(site, &dropped))
        return;
    line_start(&l, level);
    line_put(&l, msg, strlen(msg));
    va_list ap;
    va_start(ap, msg);
    for (const char *key, *value; (key = va_arg(ap, const char *)) != NULL;) {
        value = va_arg(ap, const char *);
        line_put(&l, " ", 1);
        line_put(&l, key, strlen(key));
        line_put(&l, "=", 1);
        line_value(&l, value ? value : "");
    }
    va_end(ap);
    if (dropped) {
        char more[48];
        int n = snprintf(more, sizeof more, " suppressed=%u", dropped);
        line_put_to(&l, more, (size_t)n, sizeof l.text - 1);
    }
    l.text[l.len++] = '\n';
    ssize_t done = write(log_fd, l.text, l.len);
    (void)done; /* nowhere left to say it */
}
