/* SPDX-License-Identifier: Apache-2.0 */
/* `catalog`: defaults, what is taken, and what is an error. */
#include "../cmocka_pm.h"

#include <string.h>
#include "fake_registries.h"

static struct conf_diag *diag;

static struct config *load(const char *catalog)
{
    struct buf text = BUF_INIT;
    struct config *c = NULL;
    buf_printf(
        &text,
        "%s\nzones: {example.com: {ns: [ns1.example.com]}}\nsites:\n  paris: {}\nservices:\n  w.example.com:\n    "
        "policy: any\n    sites: {paris: {vips: 192.0.2.1}}\n",
        catalog);
    diag = conf_diag_new();
    if (config_load_text("t.yaml", buf_str(&text), text.len, &fake_reg, &c, diag) != 0)
        c = NULL;
    buf_fini(&text);
    return c;
}

static void refused(const char *catalog, const char *why)
{
    struct buf text = BUF_INIT;
    assert_null(load(catalog));
    conf_diag_print(diag, &text);
    if (!strstr(buf_str(&text), why))
        fail_msg("'%s' is not in: %s", why, buf_str(&text));
    buf_fini(&text);
    conf_diag_free(diag);
}

static void test_defaults(void **state)
{
    struct config *c = load("");
    assert_non_null(c);
    assert_int_equal(c->catalog.copies, 2);
    assert_int_equal(c->catalog.most, 0);
    assert_int_equal(c->catalog.apply, CFG_APPLY_MANUAL);
    assert_int_equal(c->catalog.lost_ms, 600000);
    assert_int_equal(c->catalog.table, 1 << 20);
    assert_int_equal(c->catalog.index.count, 1);
    assert_string_equal(((const char *const *)c->catalog.index.items)[0], "index.html");
    config_free(c);
    conf_diag_free(diag);
}

static void test_taken(void **state)
{
    struct config *c =
        load("catalog: {copies: 3, most: 5, hot: 2.5, cold: off, lost-for: 0, apply: auto, index: [a, b.htm]}");
    assert_non_null(c);
    assert_int_equal(c->catalog.copies, 3);
    assert_int_equal(c->catalog.most, 5);
    assert_true(c->catalog.hot == 2.5);
    assert_int_equal(c->catalog.cold_ms, 0);
    assert_int_equal(c->catalog.lost_ms, 0);
    assert_int_equal(c->catalog.apply, CFG_APPLY_AUTO);
    assert_int_equal(c->catalog.index.count, 2);
    config_free(c);
    conf_diag_free(diag);
}

static void test_refused(void **state)
{
    refused("catalog: {copies: 1}", "copies");
    refused("catalog: {copies: 4, most: 3}", "'most' is less than 'copies'");
    refused("catalog: {apply: sometimes}", "auto");
    refused("catalog: {hot: -1}", "hot");
    refused("catalog: {index: a/b}", "no file's name");
    refused("catalog: {table: 2000000}", "table");
    refused("catalog: {copys: 2}", "copies");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_defaults), cmocka_unit_test(test_taken),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
