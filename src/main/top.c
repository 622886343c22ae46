/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `pointsman top`: the state of everything, live. Plain ANSI codes on the alternate screen; whatever ends it (q, a
 * signal, the daemon's end) the terminal is put back. Without a terminal, or with --once, one frame is printed.
 */
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include "api/api.h"
#include "main/cli.h"

enum { REFRESH_MS = 1000, VIPS_SHOWN = 1000 };

struct top {
    const char *socket;
    struct cli_client client;
    bool connected, once, paused;
    json_t *status, *sites, *vips;
    struct buf problem;
    double queries, rate; /* rate: NaN before the second look */
    double looked_s;
    unsigned scroll, rows, body_lines;
};

/* ---- the terminal ---- */

static struct termios saved;
static volatile sig_atomic_t terminal_changed, resized;

/* Only what a signal handler may do. */
static void terminal_restore(void)
{
    static const char leave[] = "\033[?25h\033[?1049l";
    if (!terminal_changed)
        return;
    terminal_changed = 0;
    (void)!write(STDOUT_FILENO, leave, sizeof leave - 1);
    tcsetattr(STDIN_FILENO, TCSANOW, &saved);
}

static void on_end(int sig)
{
    terminal_restore();
    signal(sig, SIG_DFL);
    raise(sig);
}

static void on_resize(int sig)
{
    resized = 1;
}

static void terminal_enter(void)
{
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGABRT, SIGSEGV, SIGPIPE};
    static const char enter[] = "\033[?1049h\033[?25l";
    struct sigaction end = {.sa_handler = on_end}, resize = {.sa_handler = on_resize};
    struct termios raw;
    if (tcgetattr(STDIN_FILENO, &saved))
        return;
    terminal_changed = 1;
    atexit(terminal_restore);
    for (size_t i = 0; i < PM_ARRAY_LEN(ends); i++)
        sigaction(ends[i], &end, NULL);
    sigaction(SIGWINCH, &resize, NULL);
    raw = saved;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    (void)!write(STDOUT_FILENO, enter, sizeof enter - 1);
}

/* ---- looking ---- */

static double seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int ask(struct top *p, const char *cmd, json_t *args, json_t **keep)
{
    json_t *fresh;
    int code = cli_request(&p->client, cmd, args, &fresh, &p->problem);
    if (!code) {
        json_decref(*keep);
        *keep = fresh;
    }
    return code;
}

static int look(struct top *p)
{
    int code = CLI_OK;
    buf_clear(&p->problem);
    if (!p->connected && (code = cli_connect(&p->client, p->socket, &p->problem)))
        return code;
    p->connected = true;
    if ((code = ask(p, "status", NULL, &p->status)) || (code = ask(p, "sites", NULL, &p->sites)) ||
        (code = ask(p, "vips", json_pack("{s:b, s:i}", "problems", 1, "limit", VIPS_SHOWN), &p->vips))) {
        cli_close(&p->client);
        p->connected = false;
        p->rate = NAN;
        p->looked_s = 0;
        return code;
    }
    double total = json_num(json_object_get(json_object_get(p->status, "counters"), API_QUERIES), "total", 0);
    double now = seconds();
    p->rate = p->looked_s > 0 && total >= p->queries && now > p->looked_s ? (total - p->queries) / (now - p->looked_s)
                                                                          : NAN;
    p->queries = total;
    p->looked_s = now;
    return CLI_OK;
}

/* ---- drawing ---- */

static void header(struct top *p, struct text *t)
{
    char age[AGE_TEXT];
    const json_t *vips = json_object_get(p->status, "vips"), *checks = json_object_get(p->status, "checks");
    json_int_t down = json_int(vips, "down"), disabled = json_int(vips, "disabled"),
               drained = json_int(vips, "drained");
    text_add(t, TEXT_BOLD, "pointsman %s", json_text(p->status, "version"));
    text_add(t, TEXT_PLAIN, "  up %s  generation %lld", age_text(json_num(p->status, "uptime-s", 0) * 1000, age),
             (long long)json_int(p->status, "generation"));
    if (isnan(p->rate))
        text_add(t, TEXT_BOLD, "  %.0f queries", p->queries);
    else
        text_add(t, TEXT_BOLD, "  %.0f queries/s", p->rate);
    if (p->paused)
        text_add(t, TEXT_WARN, "  paused");
    text_line(t);
    text_add(t, TEXT_PLAIN, "%lld services  %lld VIPs  %lld checks", (long long)json_int(p->status, "services"),
             (long long)json_int(vips, "total"), (long long)json_int(checks, "total"));
    if (down)
        text_add(t, TEXT_BAD, "  %lld down", (long long)down);
    if (disabled + drained)
        text_add(t, TEXT_WARN, "  %lld disabled or drained", (long long)(disabled + drained));
    if (json_flag(p->status, "hold"))
        text_add(t, TEXT_BAD, "  HELD: the fault is near this node");
    text_line(t);
    if (p->problem.len) {
        text_add(t, TEXT_BAD, "%s; trying again", buf_str(&p->problem));
        text_line(t);
    }
    text_line(t);
}

static unsigned lines_of(const struct buf *b)
{
    unsigned n = 0;
    for (size_t i = 0; i < b->len; i++)
        n += b->data[i] == '\n';
    return n;
}

/* Appends `count` lines of from, after the first `skip`; what stood on the screen there is wiped. */
static void add_lines(struct buf *out, const struct buf *from, unsigned skip, unsigned count, bool live)
{
    const char *at = buf_str(from);
    for (unsigned i = 0; *at && i < skip + count; i++) {
        const char *end = strchr(at, '\n');
        size_t len = end ? (size_t)(end - at) : strlen(at);
        if (i >= skip) {
            buf_add(out, at, len);
            buf_puts(out, live ? "\033[K\r\n" : "\n");
        }
        at += len + (end != NULL);
    }
}

static void draw(struct top *p)
{
    struct text head, body;
    struct winsize w;
    struct buf frame = BUF_INIT;
    bool live = terminal_changed;
    text_init(&head, STDOUT_FILENO);
    body = head;
    header(p, &head);
    cli_render(&body, "sites", p->sites);
    text_line(&body);
    cli_render(&body, "vips", p->vips);
    p->rows = live && ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_row ? w.ws_row : 24;
    p->body_lines = lines_of(&body.out);
    unsigned heads = lines_of(&head.out), room = p->rows > heads + 1 ? p->rows - heads - 1 : 1;
    unsigned last = p->body_lines > room ? p->body_lines - room : 0;
    if (p->scroll > last)
        p->scroll = last;
    if (live)
        buf_puts(&frame, "\033[H");
    add_lines(&frame, &head.out, 0, heads, live);
    add_lines(&frame, &body.out, live ? p->scroll : 0, live ? room : p->body_lines, live);
    if (live)
        buf_puts(&frame, "\033[J\033[2mq quit  p pause  arrows, page up/down, home/end\033[0m");
    buf_fini(&head.out);
    buf_fini(&body.out);
    body.out = frame;
    text_flush(&body, STDOUT_FILENO);
}

/* ---- keys ---- */

static void scroll(struct top *p, int by)
{
    p->scroll = by < 0 && p->scroll < (unsigned)-by ? 0 : (unsigned)((int)p->scroll + by);
}

/* False to end. A key is a byte or an escape sequence; both come in one read. */
static bool keys(struct top *p)
{
    char key[64];
    ssize_t n = read(STDIN_FILENO, key, sizeof key - 1);
    if (n <= 0)
        return n < 0 && (errno == EINTR || errno == EAGAIN);
    key[n] = 0;
    int page = (int)(p->rows > 8 ? p->rows - 6 : 2);
    for (char *k = key; *k; k++) {
        static const struct {
            const char *sequence;
            int lines, pages;
        } moves[] = {{"\033[A", -1, 0},
                     {"\033OA", -1, 0},
                     {"\033[B", 1, 0},
                     {"\033OB", 1, 0},
                     {"\033[5~", 0, -1},
                     {"\033[6~", 0, 1},
                     {"\033[H", 0, -100000},
                     {"\033[1~", 0, -100000},
                     {"\033[F", 0, 100000},
                     {"\033[4~", 0, 100000},
                     {"k", -1, 0},
                     {"j", 1, 0},
                     {" ", 0, 1}};
        if (*k == 'q' || *k == 3)
            return false;
        if (*k == 'p')
            p->paused = !p->paused;
        for (size_t i = 0; i < PM_ARRAY_LEN(moves); i++) {
            size_t len = strlen(moves[i].sequence);
            if (strncmp(k, moves[i].sequence, len) != 0)
                continue;
            scroll(p, moves[i].lines + moves[i].pages * page);
            k += len - 1;
            break;
        }
    }
    return true;
}

static bool wait_and_look(struct top *p)
{
    double until = seconds() + REFRESH_MS / 1000.0, left;
    while ((left = until - seconds()) > 0) {
        struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};
        int n = poll(&fd, 1, (int)(left * 1000) + 1);
        if (n > 0 && !keys(p))
            return false;
        if (n > 0 || resized) {
            resized = 0;
            draw(p);
        }
    }
    if (!p->paused)
        (void)!look(p);
    return true;
}

static int parse(struct top *p, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--once") == 0)
            p->once = true;
        else if (strcmp(argv[i], "--socket") == 0 && i + 1 < argc)
            p->socket = argv[++i];
        else if (strncmp(argv[i], "--socket=", 9) == 0)
            p->socket = argv[i] + 9;
        else
            return cli_error(CLI_USAGE, "top: \"%s\" makes no sense here (see `pointsman help top`)", argv[i]);
    }
    return CLI_OK;
}

int top_main(int argc, char **argv)
{
    struct top p = {.rate = NAN};
    int code = parse(&p, argc, argv);
    if (code)
        return code;
    code = look(&p);
    if (code) {
        cli_error(code, "%s", buf_str(&p.problem));
    } else if (p.once || !isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO)) {
        draw(&p);
    } else {
        terminal_enter();
        do
            draw(&p);
        while (wait_and_look(&p));
        terminal_restore();
    }
    if (p.connected)
        cli_close(&p.client);
    json_decref(p.status);
    json_decref(p.sites);
    json_decref(p.vips);
    buf_fini(&p.problem);
    return code;
}
