/* SPDX-License-Identifier: Apache-2.0 */
/* `relay: transfer`: modes and ports that can, what servers say for it, and what is an error. */
#include "../cmocka_pm.h"

#include <stdlib.h>
#include <string.h>
#include "fake_registries.h"
#include "model/holds.h"

static struct conf_diag *diag;

/* front: inside its braces; server: the second one's, behind its address. */
static struct config *load(const char *front, const char *server)
{
    struct buf text = BUF_INIT;
    struct config *c = NULL;
    buf_printf(&text,
               "zones: {example.com: {ns: [ns1.example.com]}}\nsites:\n  paris: {}\nservices:\n  w.example.com:\n    "
               "policy: any\n    front: {policy: any, relay: transfer, %s}\n"
               "    sites: {paris: {vips: 192.0.2.1, servers: {a: 10.0.0.1, b: {address: 10.0.0.2%s}}}}\n",
               front, server);
    diag = conf_diag_new();
    if (config_load_text("t.yaml", buf_str(&text), text.len, &fake_reg, &c, diag) != 0)
        c = NULL;
    buf_fini(&text);
    return c;
}

static void taken(const char *front, const char *server)
{
    struct buf text = BUF_INIT;
    struct config *c = load(front, server);
    conf_diag_print(diag, &text);
    if (!c)
        fail_msg("%s", buf_str(&text));
    buf_fini(&text);
    config_free(c);
    conf_diag_free(diag);
}

static void refused(const char *front, const char *server, const char *why)
{
    struct buf text = BUF_INIT;
    assert_null(load(front, server));
    conf_diag_print(diag, &text);
    if (!strstr(buf_str(&text), why))
        fail_msg("'%s' is not in: %s", why, buf_str(&text));
    buf_fini(&text);
    conf_diag_free(diag);
}

static void test_modes(void **state)
{
    taken("mode: serve", "");
    taken("mode: tcp, ports: [443, 853, 8883]", "");
    refused("mode: tcp", "", "needs 'ports'");
    refused("mode: redirect", "", "by the modes serve (HTTP) and tcp (TLS)");
    refused("mode: ftp", "", "an FTP server speaks first");
    refused("mode: ftp", "", "'relay: clients'");
}

/* R12: where the server has the first word there is nothing to wait for. */
static void test_server_first(void **state)
{
    refused("mode: tcp, ports: [443, 25]", "", "at port 25 (SMTP) the server speaks first");
    refused("mode: tcp, ports: 22", "", "at port 22 (SSH) the server speaks first");
    refused("mode: tcp, ports: 23", "", "use 'relay: packets'");
    refused("mode: tcp, ports: [21]", "", "(FTP)");
    taken("mode: serve, ports: 25", ""); /* HTTP, wherever */
    taken("mode: tcp, ports: [465, 993, 995, 990]", "");
}

static void test_servers(void **state)
{
    struct config *c = load("mode: tcp, ports: 443", ", alpn: [h2, acme-tls/1], holds: [w.example.com/]");
    assert_non_null(c);
    const struct cfg_service_site *at = config_service(c, "w.example.com")->sites.items;
    const struct cfg_server *v = at->servers.items;
    assert_int_equal(v[0].alpn.count, 0);
    assert_int_equal(v[1].alpn.count, 2);
    assert_string_equal(((const char *const *)v[1].alpn.items)[1], "acme-tls/1");
    assert_false(v[1].h2c);
    config_free(c);
    conf_diag_free(diag);
    taken("mode: serve", ", h2c: yes");
    refused("mode: serve", ", alpn: h2", "'alpn' needs a front end with 'mode: tcp' and 'relay: transfer'");
    refused("mode: tcp, ports: 443", ", h2c: yes", "'h2c' needs a front end with 'mode: serve' and 'relay: transfer'");
    refused("mode: tcp, ports: 443", ", alpn: ['']", "1 to 255 bytes");
}

static void test_whole_hosts(void **state)
{
    struct hold h;
    assert_true(hold_parse("www.example.com/", &h) && hold_is_whole(&h) && hold_is_of(&h, "www.example.com"));
    assert_true(hold_parse("/", &h) && hold_is_whole(&h) && hold_is_of(&h, "any.example"));
    assert_true(hold_parse("www.example.com/a/", &h) && !hold_is_whole(&h));
    assert_true(hold_parse("*.php", &h) && !hold_is_whole(&h));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_server_first),
        cmocka_unit_test(test_servers),
        cmocka_unit_test(test_whole_hosts),
    };
    return cmocka_run_group_tests_name("config_transfer", tests, NULL, NULL);
}
