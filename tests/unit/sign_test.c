/* sign: Standard Webhooks signatures against known values, and against OpenSSL's own verification. */
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/str.h"
#include "common/conf/conf.h"
#include "workers/delivery/sign.h"

#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

static const char *sign(const char *const *secrets, const char *id, uint64_t at, const char *const *parts)
{
    static char text[1024];
    struct http_piece pieces[4];
    size_t n = 0;
    struct sign *s = sign_new((char *const *)secrets);
    struct buf out;

    buf_init(&out, sizeof(text));
    for (; parts[n] != NULL; n++)
        pieces[n] = (struct http_piece){.data = parts[n], .len = strlen(parts[n])};
    assert_int_equal(sign_put(s, id, at, pieces, n, &out), 0);
    str_copy(text, buf_cstr(&out), sizeof(text));
    buf_fini(&out);
    sign_free(s);
    return text;
}

/* The values of the reference library's own test. */
static void test_known_values(void **state)
{
    const char *one[] = {SECRET, NULL}, *body[] = {"{\"test\": 2432232314}", NULL},
               *pieces[] = {"{\"test\"", ": 24322", "32314}", NULL};

    (void)state;
    assert_string_equal(sign(one, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body),
                        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    assert_string_equal(sign(one, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, pieces),
                        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

static void test_ed25519(void **state)
{
    unsigned char seed[32], public[32], raw[96];
    size_t public_len = sizeof(public);
    char secret[80] = "whsk_";
    const char *secrets[] = {SECRET, secret, NULL}, *body[] = {"{\"a\":", "1}", NULL}, *text, *v1a;
    static const char message[] = "msg_1.1700000000.{\"a\":1}";
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY *key;

    (void)state;
    for (size_t i = 0; i < sizeof(seed); i++)
        seed[i] = (unsigned char)(i * 7 + 1);
    str_base64_encode(seed, sizeof(seed), secret + 5, sizeof(secret) - 5);
    text = sign(secrets, "msg_1", 1700000000, body);
    v1a = strstr(text, " v1a,");
    assert_true(strncmp(text, "v1,", 3) == 0 && v1a != NULL);
    assert_int_equal(str_base64_decode(v1a + 5, strlen(v1a + 5), raw, sizeof(raw)), 64);
    key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof(seed));
    assert_int_equal(EVP_PKEY_get_raw_public_key(key, public, &public_len), 1);
    EVP_PKEY_free(key);
    key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public, sizeof(public));
    assert_int_equal(EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key), 1);
    assert_int_equal(EVP_DigestVerify(ctx, raw, 64, (const unsigned char *)message, sizeof(message) - 1), 1);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
}

static void test_secrets(void **state)
{
    static const struct {
        const char *text;
        long len;
    } table[] = {
        {SECRET, 24},
        {"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", 32},
        {"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", -1}, /* 23 bytes */
        {"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==",
         64},
        {"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
         -1},
        {"whsec_", -1},
        {"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", -1}, /* not whole */
        {"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa w", -1},
        {"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", -1},
        {"whpk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", -1},
        {"whsk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", 32},
        {"whsk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==", 32},
        {"whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", -1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        unsigned char key[64];
        bool asymmetric;
        const char *why = NULL;
        long len = conf_signing_secret(table[i].text, key, &asymmetric, &why);

        if (len != table[i].len)
            fail_msg("%s: %ld", table[i].text, len);
        assert_true((len < 0) == (why != NULL));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_known_values), cmocka_unit_test(test_ed25519),
                                       cmocka_unit_test(test_secrets)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
