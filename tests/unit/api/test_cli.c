/* SPDX-License-Identifier: Apache-2.0 */
/* The command line against a real socket, and what it prints. PM_UPDATE=1 writes the golden text anew. */
#include "../cmocka_pm.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include "api/commands.h"
#include "base/file.h"
#include "fake_world.h"
#include "main/cli.h"
#include "main/docs.h"
#include "server_thread.h"

static int answer_42(int argc, char **argv)
{
    return argc == 2 && strcmp(argv[1], "please") == 0 ? 42 : CLI_USAGE;
}

const struct cli_external cli_externals[] = {
    {"answer", "[please]", "Says 42.", answer_42},
    {"top", "[--once] [--socket PATH]", "Live view.", top_main},
    {NULL, NULL, NULL, NULL},
};

static struct server_thread *server;
static struct buf out, err;

static int setup(void **state)
{
    fake_world_init();
    server = server_thread_start(0);
    return 0;
}
static int teardown(void **state)
{
    server_thread_stop(server);
    fake_world_fini();
    buf_fini(&out);
    buf_fini(&err);
    return 0;
}

static void slurp(FILE *f, struct buf *b)
{
    char chunk[4096];
    size_t n;
    buf_clear(b);
    rewind(f);
    while ((n = fread(chunk, 1, sizeof chunk, f)))
        buf_add(b, chunk, n);
    fclose(f);
}

/* Runs `pointsman line...` (words by blanks), fills out and err, and returns the exit code. */
static int run(const char *line)
{
    char copy[512], program[] = "pointsman", *argv[32] = {program};
    int argc = 1, keep[2] = {dup(1), dup(2)};
    FILE *f[2] = {tmpfile(), tmpfile()};
    snprintf(copy, sizeof copy, "%s", line);
    for (char *w = strtok(copy, " "); w; w = strtok(NULL, " "))
        argv[argc++] = w;
    fflush(stdout);
    dup2(fileno(f[0]), 1);
    dup2(fileno(f[1]), 2);
    int code = cli_main(argc, argv);
    for (int i = 0; i < 2; i++) {
        dup2(keep[i], i + 1);
        close(keep[i]);
    }
    slurp(f[0], &out);
    slurp(f[1], &err);
    return code;
}

static int run_here(const char *line)
{
    setenv(CLI_SOCKET_ENV, server_thread_path(server), 1);
    return run(line);
}

static void assert_has(const struct buf *b, const char *part)
{
    if (!strstr(buf_str(b), part))
        fail_msg("no \"%s\" in:\n%s", part, buf_str(b));
}

/* An answer's text is that of the file beside it, whatever came in its strings. */
static void golden(const char *file, const char *command)
{
    struct buf wanted = BUF_INIT;
    struct text t = {.out = BUF_INIT, .width = 100};
    json_error_t e;
    char json[200], text[200];
    snprintf(json, sizeof json, TEST_DATA "/api/%s.json", file);
    snprintf(text, sizeof text, TEST_DATA "/api/%s.txt", file);
    json_t *data = json_load_file(json, 0, &e);
    assert_non_null(data);
    cli_render(&t, command, data);
    if (getenv("PM_UPDATE"))
        assert_int_equal(file_replace(text, t.out.data, t.out.len, 0644), 0);
    assert_int_equal(file_read(text, 1 << 20, &wanted), 0);
    assert_string_equal(buf_str(&t.out), buf_str(&wanted));
    assert_null(strchr(buf_str(&t.out), '\033')); /* not even those that came in a reason */
    for (const char *line = buf_str(&t.out); *line; line = strchr(line, '\n') + 1) {
        char one[400];
        snprintf(one, sizeof one, "%.*s", (int)strcspn(line, "\n"), line);
        assert_true(text_columns(one) <= 100);
    }
    buf_fini(&wanted);
    buf_fini(&t.out);
    /* Colours, and a narrow terminal, take nothing away but what is cut. */
    t = (struct text){.out = BUF_INIT, .width = 40, .colour = true};
    cli_render(&t, command, data);
    assert_non_null(strstr(buf_str(&t.out), "\033[32m"));
    buf_fini(&t.out);
    json_decref(data);
}

static void test_golden(void **state)
{
    golden("explain", "explain");
    golden("explain_relay", "explain");
    golden("relay", "relay");
    golden("sessions", "sessions");
    golden("catalog", "catalog");
    golden("catalog_plan", "catalog plan");
}

static void test_views(void **state)
{
    fake.held = fake.handoff = true;
    assert_int_equal(run_here("status"), CLI_OK);
    assert_has(&out, "generation 7");
    assert_has(&out, "near this node");
    assert_has(&out, "1 down");
    assert_null(strchr(buf_str(&out), '\033'));
    assert_int_equal(run_here("vips --service www.example.com"), CLI_OK);
    assert_has(&out, "connection refused");
    assert_has(&out, "└ https");
    assert_has(&out, "certificate for 10d");
    assert_int_equal(run_here("sites paris"), CLI_OK);
    assert_has(&out, "mail.example.com");
    assert_int_equal(run_here("drain paris --for=90m"), CLI_OK);
    assert_has(&out, "paris is drained (2 VIPs of 2 services) until 2026-01-01T01:30:00Z");
    assert_has(&out, "may come until 2026-01-01T00:02:00Z");
    assert_int_equal(run_here("overrides"), CLI_OK);
    assert_has(&out, "drained");
    assert_int_equal(run_here("enable paris"), CLI_OK);
    assert_int_equal(run_here("explain alias.example.com --client 192.0.2.0/24 --type AAAA --json"), CLI_OK);
    json_t *j = json_loads(buf_str(&out), 0, NULL);
    assert_string_equal(json_text(json_object_get(j, "explain"), "family"), "IPv6");
    json_decref(j);
    assert_int_equal(run_here("explain www.example.com --at -10m"), CLI_OK);
    assert_int_equal(run_here("explain --url http://www.example.com/"), CLI_OK);
    assert_has(&out, "goes to   a node drawn");
    assert_int_equal(run_here("relay"), CLI_OK);
    assert_has(&out, "relay off: the kernel is too old");
    assert_int_equal(run_here("sessions --server front-end"), CLI_OK);
    assert_has(&out, "no connections");
    assert_int_equal(run_here("catalog"), CLI_OK);
    assert_has(&out, "7 paths");
    assert_int_equal(run_here("catalog plan"), CLI_OK); /* two words, not a path */
    assert_has(&out, "plan 3");
    assert_int_equal(run_here("catalog apply --dry-run"), CLI_OK);
    assert_has(&out, "would order 2");
    assert_int_equal(run_here("help catalog plan"), CLI_OK);
    assert_has(&out, "pointsman catalog plan");
    for (const struct api_command *c = api_commands; c->name; c++) {
        if ((c->arg_count && (c->args[0].flags & API_REQUIRED)) || strcmp(c->name, "explain") == 0)
            continue;
        assert_int_equal(run_here(c->name), CLI_OK);
        assert_true(out.len > 10);
    }
}

static void test_usage(void **state)
{
    static const struct {
        const char *line;
        int code;
        const char *says;
    } cases[] = {
        {"statsu", CLI_USAGE, "did you mean \"status\""},
        {"anser", CLI_USAGE, "did you mean \"answer\""},
        {"explain", CLI_USAGE, "needs a name or a url"},
        {"explain a.example --clinet 192.0.2.1", CLI_USAGE, "did you mean --client"},
        {"explain a.example --client", CLI_USAGE, "needs a value"},
        {"explain a.example b.example", CLI_USAGE, "unexpected argument \"b.example\""},
        {"vips --limit many", CLI_USAGE, "a number from 1"},
        {"vips --limit 1 --limit 2", CLI_USAGE, "twice"},
        {"drain nowhere", CLI_FAILED, "no site, service or address"},
        {"help nothing", CLI_USAGE, "there is no command"},
        {"top --fast", CLI_USAGE, "--fast"},
        {"answer please", 42, ""},
        {"answer", CLI_USAGE, ""},
        {"", CLI_USAGE, "Look"},
    };
    for (size_t i = 0; i < PM_ARRAY_LEN(cases); i++) {
        int code = run_here(cases[i].line);
        if (code != cases[i].code || !strstr(buf_str(&err), cases[i].says))
            fail_msg("%s -> %d: %s", cases[i].line, code, buf_str(&err));
    }
    assert_int_equal(run_here("help explain"), CLI_OK);
    assert_has(&out, "--client");
    assert_int_equal(run_here("drain --help"), CLI_OK);
    assert_has(&out, "layer over what is measured");
    assert_int_equal(run_here("help"), CLI_OK);
    assert_has(&out, "check-now");
    assert_int_equal(run_here("reload"), CLI_OK);
    assert_string_equal(buf_str(&out), "reloaded, generation 8\np.yaml:9:3: warning: old key\n  | zone:\n  |   ^\n");
    fake.reload_err = PM_ECONFIG;
    assert_int_equal(run_here("reload"), CLI_FAILED);
    assert_has(&err, "p.yaml:3:7: error: unknown key 'sits'\n  sits:\n"); /* lines stay lines */
}

static void test_unreachable(void **state)
{
    char path[104], line[200];
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    snprintf(path, sizeof path, "%s.gone", server_thread_path(server));
    snprintf(line, sizeof line, "status --socket %s", path);
    assert_int_equal(run(line), CLI_UNREACHABLE);
    assert_has(&err, path);
    assert_has(&err, "--socket");
    snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    close(fd);
    assert_int_equal(run(line), CLI_UNREACHABLE);
    assert_has(&err, "nobody answers");
    snprintf(line, sizeof line, "top --once --socket=%s", path);
    assert_int_equal(run(line), CLI_UNREACHABLE);
    unlink(path);
}

static void test_top(void **state)
{
    assert_int_equal(run_here("top --once"), CLI_OK);
    assert_has(&out, "120 queries");
    assert_has(&out, "2 services  4 VIPs  3 checks  1 down");
    const char *down = strstr(buf_str(&out), "192.0.2.9"), *up = strstr(buf_str(&out), "192.0.2.1 ");
    assert_true(down && up && down < up); /* problems first */
    assert_null(strchr(buf_str(&out), '\033'));
}

/* Reads from a terminal until text appears; false at its end or after 5 s. */
static bool read_until(int fd, struct buf *b, const char *text)
{
    char chunk[4096];
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (text && strstr(buf_str(b), text))
            return true;
        if (poll(&p, 1, 5000) <= 0)
            return false;
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n <= 0) /* EIO: the other side is gone */
            return false;
        buf_add(b, chunk, (size_t)n);
    }
}

/* Whatever ends it, the screen and the line mode of the terminal come back. */
static void run_on_terminal(int end_signal)
{
    struct winsize w = {.ws_row = 8, .ws_col = 60};
    struct termios before, during, after;
    struct buf b = BUF_INIT;
    int control, terminal, status;
    setenv(CLI_SOCKET_ENV, server_thread_path(server), 1);
    assert_int_equal(openpty(&control, &terminal, NULL, NULL, &w), 0);
    tcgetattr(terminal, &before);
    pid_t pid = fork();
    if (pid == 0) {
        char program[] = "pointsman", top[] = "top", *argv[] = {program, top, NULL};
        dup2(terminal, 0);
        dup2(terminal, 1);
        exit(cli_main(2, argv));
    }
    assert_true(read_until(control, &b, "q quit"));
    tcgetattr(terminal, &during);
    assert_false(during.c_lflag & ICANON);
    assert_has(&b, "\033[?1049h");
    assert_null(strstr(buf_str(&b), "2001:db8::25")); /* below the edge of the screen */
    assert_int_equal(write(control, "\033[F", 3), 3);
    assert_true(read_until(control, &b, "2001:db8::25"));
    if (end_signal)
        kill(pid, end_signal);
    else
        assert_int_equal(write(control, "q", 1), 1);
    assert_true(read_until(control, &b, "\033[?1049l"));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (end_signal)
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == end_signal);
    else
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    tcgetattr(terminal, &after);
    assert_int_equal(after.c_lflag, before.c_lflag);
    close(terminal);
    close(control);
    buf_fini(&b);
}

static void test_terminal(void **state)
{
    run_on_terminal(0);
    run_on_terminal(SIGTERM);
    run_on_terminal(SIGHUP);
}

static void test_docs(void **state)
{
    struct docs_input in = {.metrics = fake.host.metrics};
    struct buf b = BUF_INIT;
    docs_commands(&b);
    for (const struct api_command *c = api_commands; c->name; c++) {
        char head[64];
        snprintf(head, sizeof head, "\n## %s\n", c->name);
        assert_has(&b, head);
    }
    assert_has(&b, "`answer`");
    buf_clear(&b);
    docs_stages(&b);
    assert_has(&b, "### `within`\n");
    assert_has(&b, "| `percent` |");
    assert_has(&b, "worse \\| still");
    assert_has(&b, "| `geo` | `[up, within]` |");
    buf_clear(&b);
    docs_metrics(&in, &b);
    assert_has(&b, "| `" API_QUERIES "` | counter |");
    assert_has(&b, "`pointsman_vip_up`");
    buf_clear(&b);
    docs_man(&b);
    assert_has(&b, ".TH POINTSMAN 8");
    assert_has(&b, "\\fBcheck\\-now\\fR \\fItarget\\fR");
    buf_fini(&b);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_golden), TEST(test_views),    TEST(test_usage), TEST(test_unreachable),
        TEST(test_top),    TEST(test_terminal), TEST(test_docs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
