/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_pm.h"
#include "../../scenario/probe_run.h"
#include "monitor/line_params.h"
#include "scripted.h"

#define SAY(t) {.what = SCRIPT_SEND, .text = (t)}
#define HEAR(t) {.what = SCRIPT_LINE, .text = (t)}
#define DRIP(t, ms) {.what = SCRIPT_DRIP, .text = (t), .number = (ms)}
#define HOLD {.what = SCRIPT_HOLD}

struct talk {
    const char *what;
    const struct monitor_module *module;
    const char *yaml;
    struct script script[12];
    enum probe_status status;
    int code; /* -1 = any */
};

static const struct talk talks[] = {
    {"smtp", &monitor_smtp, "helo: probe.example.com",
     {SAY("220 mail ESMTP\r\n"), HEAR("EHLO probe.example.com\r\n"), SAY("250-mail\r\n250 SIZE 1000\r\n"), HEAR("NOOP"),
      SAY("250 OK\r\n"), HOLD}, PROBE_OK, 250},
    {"smtp, old server", &monitor_smtp, "{}",
     {SAY("220 mail\r\n"), HEAR("EHLO"), SAY("502 what?\r\n"), HEAR("HELO"), SAY("250 mail\r\n"), HEAR("NOOP"),
      SAY("250 OK\r\n"), HOLD}, PROBE_OK, 250},
    {"smtp, dripping", &monitor_smtp, "{}",
     {DRIP("220-long\r\n220 mail\r\n", 2), HEAR("EHLO"), DRIP("250 mail\r\n", 2), HEAR("NOOP"), DRIP("250 OK\r\n", 2), HOLD},
     PROBE_OK, 250},
    {"smtp, busy", &monitor_smtp, "{}", {SAY("421 try later\r\n"), HOLD}, PROBE_FAIL, 421},
    {"smtp, no service", &monitor_smtp, "{}", {SAY("554 no\r\n"), HOLD}, PROBE_FAIL, 554},
    {"smtp, NOOP refused", &monitor_smtp, "{}",
     {SAY("220 mail\r\n"), HEAR("EHLO"), SAY("250 mail\r\n"), HEAR("NOOP"), SAY("451 no\r\n"), HOLD}, PROBE_FAIL, 451},
    {"smtp, closed at once", &monitor_smtp, "{}", {{.what = SCRIPT_CLOSE}}, PROBE_CLOSED, -1},
    {"smtp, closed in the greeting", &monitor_smtp, "{}", {SAY("220 ma")}, PROBE_CLOSED, -1},
    {"smtp, reset", &monitor_smtp, "{}", {SAY("220 mail\r\n"), HEAR("EHLO"), {.what = SCRIPT_RESET}}, PROBE_RESET, -1},
    {"smtp, no STARTTLS", &monitor_smtp, "{tls: starttls, verify: no}",
     {SAY("220 mail\r\n"), HEAR("EHLO"), SAY("250 mail\r\n"), HOLD}, PROBE_TLS, -1},
    {"pop3", &monitor_pop3, "{}",
     {SAY("+OK hello\r\n"), HEAR("CAPA"), SAY("+OK\r\nUSER\r\n.\r\n"), HEAR("QUIT"), SAY("+OK\r\n"), HOLD}, PROBE_OK, -1},
    {"pop3 without CAPA", &monitor_pop3, "{}",
     {SAY("+OK hello\r\n"), HEAR("CAPA"), SAY("-ERR\r\n"), HEAR("QUIT"), SAY("+OK\r\n"), HOLD}, PROBE_OK, -1},
    {"pop3, login", &monitor_pop3, "{user: joe, password: pw}",
     {SAY("+OK hello\r\n"), HEAR("CAPA"), SAY("+OK\r\nUSER\r\n.\r\n"), HEAR("USER joe"), SAY("+OK\r\n"), HEAR("PASS pw"),
      SAY("+OK\r\n"), HEAR("NOOP"), SAY("+OK\r\n"), HOLD}, PROBE_OK, -1},
    {"pop3, wrong password", &monitor_pop3, "{user: joe, password: pw}",
     {SAY("+OK hello\r\n"), HEAR("CAPA"), SAY("+OK\r\nUSER\r\n.\r\n"), HEAR("USER joe"), SAY("+OK\r\n"), HEAR("PASS pw"),
      SAY("-ERR no\r\n"), HOLD}, PROBE_FAIL, -1},
    {"pop3, refusing", &monitor_pop3, "{}", {SAY("-ERR go away\r\n"), HOLD}, PROBE_FAIL, -1},
    {"imap", &monitor_imap, "{}",
     {SAY("* OK hello\r\n"), HEAR("A001 CAPABILITY"), SAY("* CAPABILITY IMAP4rev1\r\nA001 OK\r\n"), HEAR("A002 NOOP"),
      SAY("A002 OK\r\n"), HOLD}, PROBE_OK, -1},
    {"imap, bye", &monitor_imap, "{}", {SAY("* BYE full\r\n"), HOLD}, PROBE_FAIL, -1},
    {"imap, not imap", &monitor_imap, "{}", {SAY("220 mail ESMTP\r\n"), {.what = SCRIPT_CLOSE}}, PROBE_CLOSED, -1},
    {"ftp", &monitor_ftp, "{}",
     {SAY("220 ftp\r\n"), HEAR("USER anonymous"), SAY("331 who?\r\n"), HEAR("PASS "), SAY("230 in\r\n"), HEAR("PWD"),
      SAY("257 \"/\"\r\n"), HOLD}, PROBE_OK, -1},
    {"ftp, no guests", &monitor_ftp, "{}",
     {SAY("220 ftp\r\n"), HEAR("USER anonymous"), SAY("331 who?\r\n"), HEAR("PASS "), SAY("530 no guests\r\n"), HOLD},
     PROBE_OK, 530},
    {"ftp, no guests at USER", &monitor_ftp, "{}",
     {SAY("220 ftp\r\n"), HEAR("USER anonymous"), SAY("530 no guests\r\n"), HOLD}, PROBE_OK, 530},
    {"ftp, wrong password", &monitor_ftp, "{user: joe, password: pw}",
     {SAY("220 ftp\r\n"), HEAR("USER joe"), SAY("331 who?\r\n"), HEAR("PASS pw"), SAY("530 no\r\n"), HOLD}, PROBE_FAIL, 530},
    {"ftp, busy", &monitor_ftp, "{}", {SAY("421 too many\r\n"), HOLD}, PROBE_FAIL, 421},
    {"ftp, file missing", &monitor_ftp, "file: /pub/a",
     {SAY("220 ftp\r\n"), HEAR("USER"), SAY("230 in\r\n"), HEAR("PWD"), SAY("257 \"/\"\r\n"), HEAR("TYPE I"),
      SAY("200 OK\r\n"), HEAR("SIZE /pub/a"), SAY("550 none\r\n"), HOLD}, PROBE_FAIL, -1},
    {"ftp, file", &monitor_ftp, "file: /pub/a",
     {SAY("220 ftp\r\n"), HEAR("USER"), SAY("230 in\r\n"), HEAR("PWD"), SAY("257 \"/\"\r\n"), HEAR("TYPE I"),
      SAY("200 OK\r\n"), HEAR("SIZE /pub/a"), SAY("213 10\r\n"), HEAR("REST 0"), SAY("350 OK\r\n"), HOLD}, PROBE_OK, -1},
};

/* Every HOLD is a server that never answers the goodbye; a check that waited for it would take many seconds. */
static void test_talks(void **state)
{
    for (size_t i = 0; i < PM_ARRAY_LEN(talks); i++) {
        const struct talk *k = &talks[i];
        struct scripted server;
        struct probe_run t;
        scripted_start(&server, k->script);
        probe_run_open(&t, k->module, k->yaml);
        uint64_t t0 = uv_hrtime();
        struct probe_result r = probe_run_once(&t, server.at, "mail.example.com", 5000);
        uint64_t ms = (uv_hrtime() - t0) / 1000000;
        probe_run_close(&t);
        scripted_stop(&server);
        if (r.status != k->status || (k->code >= 0 && r.code != k->code) || ms > 900)
            fail_msg("%s: %s, '%s', code %d, %llu ms; last line heard: %s", k->what, probe_status_name(r.status), r.why,
                     r.code, (unsigned long long)ms, server.line);
        assert_true((r.status == PROBE_OK) == (r.why[0] == '\0'));
    }
}

static void test_goodbye_is_said(void **state)
{
    struct scripted server;
    struct probe_run t;
    scripted_start(&server, talks[0].script);
    probe_run_open(&t, &monitor_smtp, talks[0].yaml);
    assert_int_equal(probe_run_once(&t, server.at, "mail.example.com", 5000).status, PROBE_OK);
    probe_run_close(&t);
    usleep(100000);
    scripted_stop(&server);
    assert_int_equal(server.goodbyes, 1);
}

/* A server that says nothing: cancelled in time, without a wait for anything. */
static void test_silence(void **state)
{
    static const struct script silence[] = {HOLD};
    static const struct monitor_module *const all[] = {&monitor_smtp, &monitor_pop3, &monitor_imap, &monitor_ftp};
    for (size_t i = 0; i < PM_ARRAY_LEN(all); i++) {
        struct scripted server;
        struct probe_run t;
        scripted_start(&server, silence);
        probe_run_open(&t, all[i], "{}");
        uint64_t t0 = uv_hrtime();
        assert_int_equal(probe_run_once(&t, server.at, "mail.example.com", 200).status, PROBE_TIMEOUT);
        assert_in_range((uv_hrtime() - t0) / 1000000, 190, 600);
        probe_run_close(&t);
        scripted_stop(&server);
    }
}

static void test_endless_greeting(void **state)
{
    static const struct script endless[] = {SAY("220-"), {.what = SCRIPT_FILL, .number = 20000000}, HOLD};
    struct scripted server;
    struct probe_run t;
    scripted_start(&server, endless);
    probe_run_open(&t, &monitor_smtp, "{}");
    struct probe_result r = probe_run_once(&t, server.at, "mail.example.com", 1000);
    assert_true(r.status != PROBE_OK);
    probe_run_close(&t);
    scripted_stop(&server);
}

static void test_bad_params(void **state)
{
    static const struct {
        const struct monitor_module *module;
        const char *yaml;
    } bad[] = {
        {&monitor_smtp, "helo: \"a\\r\\nQUIT\""},
        {&monitor_smtp, "{user: \"a\\r\\nb\", password: x}"},
        {&monitor_pop3, "{user: a, password: \"x\\r\\nDELE 1\"}"},
        {&monitor_imap, "password: x"},
        {&monitor_imap, "tls: maybe"},
        {&monitor_ftp, "file: \"a\\r\\nDELE b\""},
        {&monitor_ftp, "file: \"\""},
        {&monitor_ftp, "user: \"\""},
    };
    for (size_t i = 0; i < PM_ARRAY_LEN(bad); i++) {
        struct arena *a = arena_new();
        struct buf errors = BUF_INIT;
        if (probe_run_params(bad[i].module, bad[i].yaml, a, &errors))
            fail_msg("accepted: %s", bad[i].yaml);
        buf_fini(&errors);
        arena_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_talks),           cmocka_unit_test(test_goodbye_is_said), cmocka_unit_test(test_silence),
        cmocka_unit_test(test_endless_greeting), cmocka_unit_test(test_bad_params),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
