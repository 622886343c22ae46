/* SPDX-License-Identifier: Apache-2.0 */
#include "main/cli_text.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "base/arena.h"

enum { GAP = 2, CUT_MIN = 8 };

static const char *const codes[] = {
    [TEXT_PLAIN] = "",       [TEXT_BOLD] = "\033[1m",  [TEXT_DIM] = "\033[2m",   [TEXT_GOOD] = "\033[32m",
    [TEXT_BAD] = "\033[31m", [TEXT_WARN] = "\033[33m", [TEXT_NAME] = "\033[36m", [TEXT_HEAD] = "\033[1;4m",
};

void text_init(struct text *t, int fd)
{
    struct winsize w;
    const char *term = getenv("TERM"), *no = getenv("NO_COLOR");
    *t = (struct text){.out = BUF_INIT};
    if (!isatty(fd))
        return;
    t->width = ioctl(fd, TIOCGWINSZ, &w) == 0 && w.ws_col >= 20 ? w.ws_col : 80;
    t->colour = !(no && *no) && term && *term && strcmp(term, "dumb") != 0;
}

static bool is_start(char c)
{
    return ((unsigned char)c & 0xc0) != 0x80;
}

unsigned text_columns(const char *s)
{
    unsigned n = 0;
    for (; *s; s++)
        n += is_start(*s);
    return n;
}

/* Copies, without control bytes: C0, DEL, and C1 as UTF-8 writes them (C2 80 - C2 9F). */
static void add_clean(struct buf *out, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        bool c1 = c == 0xc2 && i + 1 < n && (unsigned char)s[i + 1] < 0xa0;
        buf_putc(out, c < 0x20 || c == 0x7f || c1 ? '?' : (char)c);
        i += c1;
    }
}

static void add_styled(struct text *t, enum text_style style, const char *s, size_t n)
{
    bool colour = t->colour && style != TEXT_PLAIN && n;
    if (colour)
        buf_puts(&t->out, codes[style]);
    add_clean(&t->out, s, n);
    if (colour)
        buf_puts(&t->out, "\033[0m");
}

static char *PM_PRINTF(1, 0) vformat(const char *fmt, va_list ap)
{
    struct buf b = BUF_INIT;
    buf_vprintf(&b, fmt, ap);
    return b.data ? b.data : mem_strdup("");
}

void text_add(struct text *t, enum text_style style, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *s = vformat(fmt, ap);
    va_end(ap);
    add_styled(t, style, s, strlen(s));
    free(s);
}

void text_line(struct text *t)
{
    buf_putc(&t->out, '\n');
}

void text_lines(struct text *t, const char *s)
{
    while (*s) {
        size_t n = strcspn(s, "\n");
        add_styled(t, TEXT_PLAIN, s, n);
        text_line(t);
        s += n + (s[n] == '\n');
    }
}

void text_wrap(struct text *t, enum text_style style, unsigned at, unsigned indent, const char *s)
{
    unsigned width = t->width ? t->width : 100, column = at;
    bool first = true;
    while (*s) {
        size_t n = strcspn(s, " \n");
        unsigned columns = 0;
        for (size_t i = 0; i < n; i++)
            columns += is_start(s[i]);
        if (!first && column + 1 + columns > width) {
            buf_printf(&t->out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (!first) {
            buf_putc(&t->out, ' ');
            column++;
        }
        add_styled(t, style, s, n);
        column += columns;
        first = false;
        s += n + strspn(s + n, " ");
        if (*s == '\n') {
            s++;
            buf_printf(&t->out, "\n%*s", (int)indent, "");
            column = indent;
            first = true;
        }
    }
}

bool text_flush(struct text *t, int fd)
{
    size_t done = 0;
    while (done < t->out.len) {
        ssize_t n = write(fd, t->out.data + done, t->out.len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    bool ok = done == t->out.len;
    buf_fini(&t->out);
    return ok;
}

/* ---- tables ---- */

void table_init(struct table *tb, unsigned columns, const char *const *heads)
{
    *tb = (struct table){.columns = columns, .heads = heads};
}

void table_cell(struct table *tb, enum text_style style, const char *fmt, ...)
{
    va_list ap;
    if (tb->count == tb->cap) {
        tb->cap = tb->cap ? tb->cap * 2 : 64;
        tb->cells = mem_realloc(tb->cells, tb->cap * sizeof *tb->cells);
    }
    va_start(ap, fmt);
    tb->cells[tb->count++] = (struct table_cell){vformat(fmt, ap), style};
    va_end(ap);
}

static void measure(const struct table *tb, unsigned *width)
{
    memset(width, 0, tb->columns * sizeof *width);
    for (size_t i = 0; i < tb->count; i++) {
        unsigned n = text_columns(tb->cells[i].s);
        if (n > width[i % tb->columns])
            width[i % tb->columns] = n;
    }
    for (unsigned c = 0; tb->heads && c < tb->columns; c++)
        if (width[c] && text_columns(tb->heads[c]) > width[c])
            width[c] = text_columns(tb->heads[c]);
}

/* Takes from the widest elastic column until the line fits or nothing more can be taken. */
static void squeeze(const struct table *tb, unsigned *width, unsigned limit)
{
    for (;;) {
        unsigned sum = tb->indent, widest = tb->columns, last = 0;
        for (unsigned c = 0; c < tb->columns; c++) {
            sum += width[c] ? width[c] + GAP : 0;
            last = width[c] ? GAP : last;
            if ((tb->elastic >> c & 1) && width[c] > CUT_MIN && (widest == tb->columns || width[c] > width[widest]))
                widest = c;
        }
        if (!limit || sum - last <= limit || widest == tb->columns)
            return;
        width[widest]--;
    }
}

/* Bytes of the first n columns. */
static size_t cut(const char *s, unsigned n)
{
    size_t i = 0;
    for (; s[i]; i++)
        if (is_start(s[i]) && n-- == 0)
            break;
    return i;
}

static void print_cell(const struct table *tb, struct text *t, unsigned c, const unsigned *width, const char *s,
                       enum text_style style, bool last)
{
    unsigned n = text_columns(s), pad = n < width[c] ? width[c] - n : 0;
    bool right = tb->right >> c & 1;
    if (right)
        buf_printf(&t->out, "%*s", (int)pad, "");
    if (n > width[c]) {
        size_t bytes = cut(s, width[c] - 1);
        add_styled(t, style, s, bytes);
        buf_puts(&t->out, "…");
    } else {
        add_styled(t, style, s, strlen(s));
    }
    if (!last)
        buf_printf(&t->out, "%*s", (int)(GAP + (right ? 0 : pad)), "");
}

static void print_row(const struct table *tb, struct text *t, const unsigned *width, const struct table_cell *row)
{
    unsigned last = tb->columns;
    for (unsigned c = 0; c < tb->columns; c++)
        if (width[c] && *(row ? row[c].s : tb->heads[c]))
            last = c;
    buf_printf(&t->out, "%*s", (int)tb->indent, "");
    for (unsigned c = 0; c <= last && last < tb->columns; c++)
        if (width[c])
            print_cell(tb, t, c, width, row ? row[c].s : tb->heads[c], row ? row[c].style : TEXT_DIM, c == last);
    text_line(t);
}

void table_print(struct table *tb, struct text *t)
{
    unsigned width[TABLE_COLUMNS];
    measure(tb, width);
    squeeze(tb, width, t->width);
    if (tb->heads && tb->count)
        print_row(tb, t, width, NULL);
    for (size_t i = 0; i + tb->columns <= tb->count; i += tb->columns)
        print_row(tb, t, width, &tb->cells[i]);
    for (size_t i = 0; i < tb->count; i++)
        free(tb->cells[i].s);
    free(tb->cells);
    tb->cells = NULL;
    tb->count = tb->cap = 0;
}

/* ---- out of answers ---- */

const char *json_text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

double json_num(const json_t *o, const char *key, double def)
{
    const json_t *j = json_object_get(o, key);
    return json_is_number(j) ? json_number_value(j) : def;
}

json_int_t json_int(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

bool json_flag(const json_t *o, const char *key)
{
    return json_is_true(json_object_get(o, key));
}

bool json_has(const json_t *o, const char *key)
{
    const json_t *j = json_object_get(o, key);
    return j && !json_is_null(j);
}

enum text_style style_of_health(const char *health)
{
    if (strcmp(health, "up") == 0)
        return TEXT_GOOD;
    if (strcmp(health, "down") == 0)
        return TEXT_BAD;
    return strcmp(health, "unknown") == 0 ? TEXT_WARN : TEXT_DIM;
}

enum text_style style_of_override(const char *override)
{
    return strcmp(override, "disabled") == 0 ? TEXT_BAD : TEXT_WARN;
}

const char *age_text(double ms, char out[AGE_TEXT])
{
    double s = ms / 1000;
    if (!(s >= 0) || s > 1e12)
        snprintf(out, AGE_TEXT, "-");
    else if (s < 1)
        snprintf(out, AGE_TEXT, "%.0fms", ms);
    else if (s < 120)
        snprintf(out, AGE_TEXT, "%.0fs", s);
    else if (s < 7200)
        snprintf(out, AGE_TEXT, "%.0fm", floor(s / 60));
    else if (s < 172800)
        snprintf(out, AGE_TEXT, "%.0fh%02.0fm", floor(s / 3600), floor(fmod(s, 3600) / 60));
    else
        snprintf(out, AGE_TEXT, "%.0fd", floor(s / 86400));
    return out;
}
