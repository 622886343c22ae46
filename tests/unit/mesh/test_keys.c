/* SPDX-License-Identifier: Apache-2.0 */
/* Authority and node certificates: what is in them, what is refused, and that nothing is lost. */
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "cmocka_pm.h"
#include "base/file.h"
#include "base/log.h"
#include "mesh/keys.h"
#include "mesh/tls_cert.h"

static char dir[64];
static struct clock_manual clk;
static struct keys_options opt;
static struct buf why;

static int set_up(void **state)
{
    strcpy(dir, "/tmp/test_keys_XXXXXX");
    assert_non_null(mkdtemp(dir));
    clock_manual_init(&clk);
    opt = (struct keys_options){.dir = dir, .clock = &clk.clock};
    buf_init(&why);
    return 0;
}

static int tear_down(void **state)
{
    char cmd[128];
    snprintf(cmd, sizeof cmd, "rm -rf %s", dir);
    assert_int_equal(system(cmd), 0);
    buf_fini(&why);
    return 0;
}

static const char *in_dir(const char *name)
{
    static char path[4][128];
    static unsigned at;
    at = (at + 1) % 4;
    snprintf(path[at], sizeof path[at], "%s/%s", dir, name);
    return path[at];
}

static unsigned mode_of(const char *name)
{
    struct stat st;
    assert_int_equal(stat(in_dir(name), &st), 0);
    return st.st_mode & 07777;
}

static X509 *read_cert(const char *name)
{
    FILE *f = fopen(in_dir(name), "r");
    assert_non_null(f);
    X509 *cert = PEM_read_X509(f, NULL, NULL, NULL);
    fclose(f);
    assert_non_null(cert);
    return cert;
}

static void test_init(void **state)
{
    char name[MESH_NAME_MAX + 1];
    const char *text = NULL;
    assert_int_equal(keys_init(&opt, "paris", &why), PM_OK);
    assert_int_equal(mode_of("ca.key"), 0600);
    assert_int_equal(mode_of("paris.pem"), 0600);
    assert_int_equal(mode_of("ca.pem") & 0133, 0);
    X509 *ca = read_cert("ca.pem"), *node = read_cert("paris.pem");
    assert_int_equal(X509_verify(node, X509_get0_pubkey(ca)), 1);
    assert_int_equal(X509_check_ca(ca), 1);
    assert_int_equal(X509_get_pathlen(ca), 0);
    assert_int_equal(X509_check_ca(node), 0);
    assert_int_equal(X509_check_purpose(node, X509_PURPOSE_SSL_CLIENT, 0), 1);
    assert_int_equal(X509_check_purpose(node, X509_PURPOSE_SSL_SERVER, 0), 1);
    assert_int_equal(tls_cert_name(node, name, &text), PM_OK);
    assert_string_equal(name, "paris");
    int64_t now = (int64_t)(clk.now_wall_ms / 1000);
    assert_int_equal(tls_cert_time(X509_get0_notBefore(node)), now - 3600);
    assert_int_equal(tls_cert_time(X509_get0_notAfter(node)), now + 90 * 86400);
    assert_int_equal(tls_cert_time(X509_get0_notAfter(ca)), now + 3650 * 86400LL);
    X509_free(ca);
    X509_free(node);
}

static void test_nothing_is_overwritten(void **state)
{
    struct buf before = BUF_INIT, after = BUF_INIT;
    assert_int_equal(keys_issue(&opt, "paris", &why), PM_ENOTFOUND); /* no authority yet */
    assert_int_equal(keys_init(&opt, "paris", &why), PM_OK);
    assert_int_equal(file_read(in_dir("paris.pem"), 65536, &before), PM_OK);
    assert_int_equal(keys_init(&opt, "tokyo", &why), PM_EEXISTS);
    assert_int_not_equal(access(in_dir("tokyo.pem"), F_OK), 0);
    assert_int_equal(keys_issue(&opt, "paris", &why), PM_EEXISTS);
    assert_int_equal(file_read(in_dir("paris.pem"), 65536, &after), PM_OK);
    assert_string_equal(buf_str(&before), buf_str(&after));
    opt.force = true;
    assert_int_equal(keys_issue(&opt, "paris", &why), PM_OK);
    buf_clear(&after);
    assert_int_equal(file_read(in_dir("paris.pem"), 65536, &after), PM_OK);
    assert_string_not_equal(buf_str(&before), buf_str(&after));
    assert_non_null(strstr(buf_str(&why), "already exists"));
    buf_fini(&before);
    buf_fini(&after);
}

static void test_names(void **state)
{
    static const char *const bad[] = {"", "ca", "../x", "a/b", "-a", "a-", ".a", "a b", "*", "a,DNS:b", "\xc3\xa9"};
    char longest[MESH_NAME_MAX + 2];
    memset(longest, 'n', sizeof longest);
    longest[MESH_NAME_MAX + 1] = 0;
    assert_false(keys_name_ok(longest));
    longest[MESH_NAME_MAX] = 0;
    assert_true(keys_name_ok(longest));
    assert_true(keys_name_ok("dns-1.paris_2"));
    for (size_t i = 0; i < PM_ARRAY_LEN(bad); i++)
        assert_false(keys_name_ok(bad[i]));
    assert_int_equal(keys_init(&opt, "a,DNS:b", &why), PM_EINVAL);
    assert_int_not_equal(access(in_dir("ca.key"), F_OK), 0);
    assert_int_equal(keys_init(&opt, longest, &why), PM_OK);
}

static void test_renew(void **state)
{
    bool renewed = true;
    assert_int_equal(keys_init(&opt, "paris", &why), PM_OK);
    assert_int_equal(chmod(in_dir("paris.pem"), 0640), 0);
    X509 *old = read_cert("paris.pem");
    assert_int_equal(keys_renew(&opt, "paris", &renewed, &why), PM_OK);
    assert_false(renewed); /* fresh */
    clock_manual_advance_ms(&clk, 59 * 86400000ull);
    assert_int_equal(keys_renew(&opt, "paris", &renewed, &why), PM_OK);
    assert_false(renewed);
    clock_manual_advance_ms(&clk, 2 * 86400000ull);
    assert_int_equal(keys_renew(&opt, "paris", &renewed, &why), PM_OK);
    assert_true(renewed);
    assert_int_equal(mode_of("paris.pem"), 0640); /* the daemon's group still reads it */
    X509 *fresh = read_cert("paris.pem");
    assert_int_equal(tls_cert_time(X509_get0_notAfter(fresh)), (int64_t)(clk.now_wall_ms / 1000) + 90 * 86400);
    assert_int_not_equal(EVP_PKEY_eq(X509_get0_pubkey(old), X509_get0_pubkey(fresh)), 1);
    assert_int_equal(keys_renew(&opt, "tokyo", &renewed, &why), PM_ENOTFOUND);
    /* A node's certificate never outlives the authority; an authority that has ended signs nothing. */
    clock_manual_advance_ms(&clk, (3650 - 61 - 10) * 86400000ull);
    opt.force = true;
    assert_int_equal(keys_renew(&opt, "paris", &renewed, &why), PM_OK);
    X509 *last = read_cert("paris.pem"), *ca = read_cert("ca.pem");
    assert_int_equal(tls_cert_time(X509_get0_notAfter(last)), tls_cert_time(X509_get0_notAfter(ca)));
    assert_int_equal(X509_verify(last, X509_get0_pubkey(ca)), 1);
    clock_manual_advance_ms(&clk, 10 * 86400000ull + 1000);
    assert_int_equal(keys_renew(&opt, "paris", &renewed, &why), PM_ETLS);
    X509_free(old);
    X509_free(fresh);
    X509_free(last);
    X509_free(ca);
}

struct seen {
    unsigned count, problems;
    char names[256];
};

static void see(void *ctx, const struct keys_entry *e)
{
    struct seen *s = ctx;
    s->count++;
    s->problems += *e->problem != 0;
    strcat(strcat(s->names, e->name), " ");
}

static void test_show(void **state)
{
    struct seen s = {0};
    assert_int_equal(keys_show(&opt, see, &s, &why), PM_ENOTFOUND);
    assert_int_equal(keys_init(&opt, "paris", &why), PM_OK);
    opt.days = 10;
    assert_int_equal(keys_issue(&opt, "lima", &why), PM_OK);
    assert_int_equal(keys_show(&opt, see, &s, &why), PM_OK);
    assert_string_equal(s.names, "Pointsman fleet lima paris ");
    assert_int_equal(s.problems, 0);
    clock_manual_advance_ms(&clk, 11 * 86400000ull);
    assert_int_equal(file_replace(in_dir("junk.pem"), "junk", 4, 0600), PM_OK);
    assert_int_equal(rename(in_dir("paris.pem"), in_dir("oslo.pem")), 0);
    s = (struct seen){0};
    assert_int_equal(keys_show(&opt, see, &s, &why), PM_OK);
    assert_string_equal(s.names, "Pointsman fleet junk lima oslo ");
    assert_int_equal(s.problems, 3); /* unreadable, expired, another's name */
}

static void test_context(void **state)
{
    SSL_CTX *ctx = NULL;
    char other[] = "/tmp/test_keys2_XXXXXX", ca2[64], cmd[64];
    opt.clock = NULL;
    assert_int_equal(keys_init(&opt, "paris", &why), PM_OK);
    struct tls_files files = {.ca = in_dir("ca.pem"), .cert = in_dir("paris.pem")};
    assert_int_equal(tls_context(&files, "paris", &ctx, &why), PM_OK);
    SSL_CTX_free(ctx);
    assert_int_equal(tls_context(&files, "tokyo", &ctx, &why), PM_ETLS);
    assert_non_null(strstr(buf_str(&why), "this node is \"tokyo\""));
    assert_non_null(mkdtemp(other));
    struct keys_options o2 = {.dir = other};
    assert_int_equal(keys_init(&o2, "paris", &why), PM_OK);
    snprintf(ca2, sizeof ca2, "%s/ca.pem", other);
    files.ca = ca2;
    buf_clear(&why);
    assert_int_equal(tls_context(&files, "paris", &ctx, &why), PM_ETLS);
    assert_non_null(strstr(buf_str(&why), "not signed by the authority"));
    files.ca = "/nonexistent";
    assert_int_equal(tls_context(&files, "paris", &ctx, &why), PM_ETLS);
    snprintf(cmd, sizeof cmd, "rm -rf %s", other);
    assert_int_equal(system(cmd), 0);
}

static void test_age(void **state)
{
    opt.days = 90;
    assert_int_equal(keys_init(&opt, "paris", &why), PM_OK);
    opt.days = 3;
    assert_int_equal(keys_issue(&opt, "lima", &why), PM_OK);
    X509 *node = read_cert("paris.pem"), *brief = read_cert("lima.pem");
    int64_t now = (int64_t)(clk.now_wall_ms / 1000);
    assert_int_equal(tls_cert_age(node, now + 82 * 86400), TLS_FRESH);
    assert_int_equal(tls_cert_age(node, now + 84 * 86400), TLS_ENDS_SOON);
    assert_int_equal(tls_cert_age(node, now + 90 * 86400 - 1), TLS_ENDS_SOON);
    assert_int_equal(tls_cert_age(node, now + 90 * 86400), TLS_ENDED);
    assert_int_equal(tls_cert_age(brief, now + 86400), TLS_FRESH); /* not all its life */
    assert_int_equal(tls_cert_age(brief, now + 2 * 86400 + 3600), TLS_ENDS_SOON);
    X509_free(node);
    X509_free(brief);
}

static void test_remind(void **state)
{
    SSL_CTX *ctx = NULL;
    struct buf text = BUF_INIT;
    int64_t told = 0, now = (int64_t)(clock_wall_ms(&clock_system) / 1000);
    opt.clock = NULL;
    assert_int_equal(keys_init(&opt, "paris", &why), PM_OK);
    struct tls_files files = {.ca = in_dir("ca.pem"), .cert = in_dir("paris.pem")};
    assert_int_equal(tls_context(&files, "paris", &ctx, &why), PM_OK);
    int fd = open(in_dir("log"), O_CREAT | O_RDWR | O_APPEND, 0600);
    log_init(LOG_INFO, fd);
    assert_int_equal(tls_context_remind(ctx, "paris", now, &told) / 86400, (now + 90 * 86400) / 86400);
    assert_int_equal(told, 0);
    for (unsigned h = 0; h < 24; h++) /* the last day but two: once, however often it is asked */
        (void)!tls_context_remind(ctx, "paris", now + 87 * 86400 + h * 3600, &told);
    assert_int_equal(told, now + 87 * 86400);
    (void)!tls_context_remind(ctx, "paris", now + 91 * 86400, &told);
    log_init(LOG_INFO, -1);
    close(fd);
    assert_int_equal(file_read(in_dir("log"), 65536, &text), PM_OK);
    const char *first = strstr(buf_str(&text), "ends soon");
    assert_non_null(first);
    assert_null(strstr(first + 1, "ends soon"));
    assert_non_null(strstr(first, "has expired"));
    SSL_CTX_free(ctx);
    buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_init, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nothing_is_overwritten, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_renew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_show, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_context, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_age, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_remind, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
