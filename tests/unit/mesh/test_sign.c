/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures of records: who is believed, and that a broken certificate never is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cmocka_pm.h"
#include "mesh/keys.h"
#include "mesh/sign.h"

static char dir[64], other[64];
static struct clock_manual clk;
static struct buf why;

static struct mesh_sign *signer(const char *folder, const char *node)
{
    static char ca[128], cert[128];
    struct mesh_sign *s = NULL;
    snprintf(ca, sizeof ca, "%s/ca.pem", folder);
    snprintf(cert, sizeof cert, "%s/%s.pem", folder, node);
    struct tls_files files = {.ca = ca, .cert = cert};
    assert_int_equal(mesh_sign_new(&files, node, &clk.clock, &s, &why), PM_OK);
    return s;
}

static int set_up(void **state)
{
    strcpy(dir, "/tmp/test_sign_XXXXXX");
    strcpy(other, "/tmp/test_sign2_XXXXXX");
    assert_non_null(mkdtemp(dir));
    assert_non_null(mkdtemp(other));
    buf_init(&why);
    clock_manual_init(&clk);
    struct keys_options o = {.dir = dir, .clock = &clk.clock},
                        o2 = {.dir = other, .clock = &clk.clock};
    assert_int_equal(keys_init(&o, "paris", &why), PM_OK);
    assert_int_equal(keys_issue(&o, "lima", &why), PM_OK);
    assert_int_equal(keys_init(&o2, "paris", &why), PM_OK);
    return 0;
}

static int tear_down(void **state)
{
    char cmd[192];
    snprintf(cmd, sizeof cmd, "rm -rf %s %s", dir, other);
    assert_int_equal(system(cmd), 0);
    buf_fini(&why);
    return 0;
}

static struct mesh_record identity_of(const struct mesh_sign *s)
{
    const struct mesh_trust *t = mesh_sign_trust(s);
    return (struct mesh_record){
        .kind = MESH_KIND_IDENTITY, .value = t->identity, .value_len = t->identity_len};
}

static int check(const struct mesh_sign *by, const char *node, const struct mesh_record *id,
                 const char *text, const uint8_t *sig, int n)
{
    const struct mesh_trust *t = mesh_sign_trust(by);
    struct mesh_signed what = {(const uint8_t *)text, (const uint8_t *)text + 4, 4,
                               strlen(text) - 4};
    return t->verify(t->user, mesh_str(node), id, &what, sig, (size_t)n);
}

static int make(const struct mesh_sign *by, const char *text, uint8_t sig[MESH_SIGNATURE_MAX])
{
    const struct mesh_trust *t = mesh_sign_trust(by);
    struct mesh_signed what = {(const uint8_t *)text, (const uint8_t *)text + 4, 4,
                               strlen(text) - 4};
    return t->sign(t->user, &what, sig);
}

static void test_who_is_believed(void **state)
{
    uint8_t sig[MESH_SIGNATURE_MAX], false_sig[MESH_SIGNATURE_MAX];
    struct mesh_sign *paris = signer(dir, "paris"), *lima = signer(dir, "lima"),
                     *stranger = signer(other, "paris");
    struct mesh_record id = identity_of(paris), id_lima = identity_of(lima),
                       id_stranger = identity_of(stranger);
    int n = make(paris, "what paris says", sig), f = make(stranger, "what paris says", false_sig);
    assert_in_range(n, 64, MESH_SIGNATURE_MAX);
    assert_int_equal(check(lima, "paris", &id, "what paris says", sig, n), PM_OK);
    assert_int_equal(check(lima, "paris", &id, "what paris says", sig, n),
                     PM_OK); /* the kept key */
    assert_int_not_equal(check(lima, "paris", &id, "what paris said", sig, n), PM_OK);
    assert_int_not_equal(check(lima, "paris", &id, "what paris says", sig, n - 1), PM_OK);
    assert_int_not_equal(check(lima, "paris", NULL, "what paris says", sig, n), PM_OK);
    assert_int_not_equal(check(lima, "tokyo", &id, "what paris says", sig, n), PM_OK);
    assert_int_not_equal(check(lima, "paris", &id_lima, "what paris says", sig, n), PM_OK);
    assert_int_not_equal(check(lima, "paris", &id_stranger, "what paris says", false_sig, f),
                         PM_OK);
    assert_int_not_equal(check(lima, "paris", &id, "what paris says", false_sig, f), PM_OK);
    sig[10] ^= 1;
    assert_int_not_equal(check(lima, "paris", &id, "what paris says", sig, n), PM_OK);
    sig[10] ^= 1;
    clock_manual_advance_ms(&clk, 91 * 86400000ull); /* the certificate has ended */
    assert_int_not_equal(check(lima, "paris", &id, "what paris says", sig, n), PM_OK);
    mesh_sign_free(paris);
    mesh_sign_free(lima);
    mesh_sign_free(stranger);
}

static void test_broken_identities(void **state)
{
    uint8_t sig[MESH_SIGNATURE_MAX], der[MESH_VALUE_MAX] = {0};
    struct mesh_sign *paris = signer(dir, "paris"), *lima = signer(dir, "lima");
    struct mesh_record id = identity_of(paris), cut = id;
    int n = make(paris, "what paris says", sig);
    cut.value = der;
    for (unsigned len = 0; len <= id.value_len; len++) { /* the last one has a byte behind it */
        memcpy(der, id.value, id.value_len);
        cut.value_len = (uint16_t)(len == id.value_len ? len + 1 : len);
        assert_int_not_equal(check(lima, "paris", &cut, "what paris says", sig, n), PM_OK);
    }
    for (unsigned i = 0; i < id.value_len;
         i++) { /* whatever byte is changed, the authority's signature is not there */
        memcpy(der, id.value, id.value_len);
        der[i] ^= 0x55;
        cut.value_len = id.value_len;
        assert_int_not_equal(check(lima, "paris", &cut, "what paris says", sig, n), PM_OK);
    }
    assert_int_equal(check(lima, "paris", &id, "what paris says", sig, n), PM_OK);
    mesh_sign_free(paris);
    mesh_sign_free(lima);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_who_is_believed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_broken_identities, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
