/* endpoint_test - routes, write keys, gzip and bodies: what a request is, before anything is taken of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "workers/ingest/auth.h"
#include "workers/ingest/body.h"
#include "workers/ingest/endpoint.h"
#include "workers/ingest/inflate.h"

static void test_routes(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        int kind; /* -1: none */
        const char *type;
    } rows[] = {
        {"/v1/batch", ENDPOINT_BATCH, NULL},
        {"/v1/track", ENDPOINT_EVENT, "track"},
        {"/v1/identify", ENDPOINT_EVENT, "identify"},
        {"/v1/page", ENDPOINT_EVENT, "page"},
        {"/v1/screen", ENDPOINT_EVENT, "screen"},
        {"/v1/group", ENDPOINT_EVENT, "group"},
        {"/v1/alias", ENDPOINT_EVENT, "alias"},
        {"/v1/merge", ENDPOINT_EVENT, "merge"},
        {"/v1/import", ENDPOINT_BATCH, NULL},
        {"/v1/audiencelist", ENDPOINT_EVENT, "audiencelist"},
        {"/beacon/v1/batch", ENDPOINT_BATCH, NULL},
        {"/health", ENDPOINT_HEALTH, NULL},
        {"/", ENDPOINT_HEALTH, NULL},
        {"/v1/batch/", -1, NULL},
        {"/v1", -1, NULL},
        {"/V1/BATCH", -1, NULL},
        {"", -1, NULL},
        {"/v1/batchx", -1, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct endpoint *e = endpoint_find(rows[i].path);
        if (rows[i].kind < 0) {
            assert_null(e);
            continue;
        }
        assert_non_null(e);
        assert_int_equal(e->kind, rows[i].kind);
        if (rows[i].type != NULL)
            assert_string_equal(e->type, rows[i].type);
        assert_true(endpoint_allows(e, e->kind == ENDPOINT_HEALTH ? "GET" : "POST"));
        assert_false(endpoint_allows(e, e->kind == ENDPOINT_HEALTH ? "POST" : "GET"));
        assert_false(endpoint_allows(e, "PO"));
        assert_false(endpoint_allows(e, ""));
    }
    assert_true(endpoint_allows(endpoint_find("/health"), "HEAD"));
    assert_null(endpoint_row(1000));
}

static void test_basic(void **state)
{
    (void)state;
    static const struct {
        const char *header, *key;
    } rows[] = {
        {"Basic a2V5Og==", "key"},
        {"basic   a2V5OnB3", "key"},
        {"Basic a2V5", "key"},
        {"Basic OnB3", NULL}, /* :pw */
        {"Basic !!!!", NULL}, /* not base64 */
        {"Basic ", NULL},
        {"Basic", NULL},
        {"Bearer a2V5Og==", NULL},
        {"Basic a2UAeTo=", NULL}, /* NUL inside */
        {NULL, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char key[AUTH_KEY_MAX];
        assert_int_equal(auth_basic_user(rows[i].header, key), rows[i].key != NULL);
        if (rows[i].key != NULL)
            assert_string_equal(key, rows[i].key);
    }
    char *huge = xmalloc(100001), key[AUTH_KEY_MAX];
    memset(huge, 'a', 100000);
    memcpy(huge, "Basic ", 6);
    huge[100000] = '\0';
    assert_false(auth_basic_user(huge, key));
    free(huge);
}

static void test_bodies(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
        size_t n, surplus;
        const char *key; /* with its quotes */
    } rows[] = {
        {"{\"batch\":[{\"a\":1},{\"b\":2}]}", NULL, 2, 0, NULL},
        {" { \"sentAt\" : 1 , \"batch\" : [ null , 3 ] , \"writeKey\" : \"k\" } ", NULL, 2, 0, "\"k\""},
        {"{\"batch\":[1,2,3,4,5]}", NULL, 3, 2, NULL},
        {"{\"batch\":[1],\"batch\":[2,3]}", NULL, 2, 0, NULL},
        {"{\"batch\":[1],\"batch\":7}", "empty batch payload", 0, 0, NULL},
        {"{\"b\\u0061tch\":[1]}", NULL, 1, 0, NULL},
        {"{\"batch\":[]}", "empty batch payload", 0, 0, NULL},
        {"{}", "empty batch payload", 0, 0, NULL},
        {"{\"writeKey\":\"k\"}", "empty batch payload", 0, 0, "\"k\""},
        {"{\"batch\":[{\"batch\":[1]}]}", NULL, 1, 0, NULL},
        {"", "invalid json", 0, 0, NULL},
        {"[]", "invalid json", 0, 0, NULL},
        {"null", "invalid json", 0, 0, NULL},
        {"{\"batch\":[1]", "invalid json", 0, 0, NULL},
        {"{\"batch\":[1}}", "invalid json", 0, 0, NULL},
        {"{\"batch\":[1,]}", "invalid json", 0, 0, NULL},
        {"{\"batch\":[1] \"x\":2}", "invalid json", 0, 0, NULL},
        {"{\"batch\":[1]}x", "invalid json", 0, 0, NULL},
        {"{\"batch\":[1,2,3,4,]}", "invalid json", 0, 0, NULL},
        {"{batch:[1]}", "invalid json", 0, 0, NULL},
        {"{\"batch\":[{\"a\":\"\xff\"}]}", "invalid json", 0, 0, NULL},
    };
    struct body b;
    body_init(&b, 3);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t len = strlen(rows[i].text);
        char *exact = xmalloc(len); /* without a NUL: a read past the end is seen */
        memcpy(exact, rows[i].text, len);
        const char *why = body_scan_batch(&b, exact, len);
        if (rows[i].why != NULL)
            assert_string_equal(why, rows[i].why);
        else
            assert_null(why);
        if (why != body_invalid) {
            assert_int_equal(b.n, rows[i].n);
            assert_int_equal(b.n_surplus, rows[i].surplus);
            assert_int_equal(b.write_key.len, rows[i].key != NULL ? strlen(rows[i].key) : 0);
            if (rows[i].key != NULL)
                assert_memory_equal(b.write_key.text, rows[i].key, b.write_key.len);
        }
        if (rows[i].surplus == 2)
            assert_memory_equal(b.surplus, "4,5", b.surplus_len);
        free(exact);
    }
    body_fini(&b);
}

static void test_single(void **state)
{
    (void)state;
    struct body b;
    body_init(&b, 3);
    static const char one[] = "{\"userId\":\"u\",\"writeKey\":\"k\"}";
    assert_null(body_scan_event(&b, one, sizeof one - 1));
    assert_int_equal(b.n, 1);
    assert_int_equal(b.write_key.len, 3);
    assert_null(body_scan_event(&b, "[1]", 3));
    assert_int_equal(b.write_key.len, 0);
    assert_ptr_equal(body_scan_event(&b, "{", 1), body_invalid);
    assert_ptr_equal(body_scan_event(&b, "{} {}", 5), body_invalid);
    body_fini(&b);
}

static size_t zip(const char *text, size_t len, unsigned char *out, size_t size)
{
    struct libdeflate_compressor *c = libdeflate_alloc_compressor(6);
    size_t n = libdeflate_gzip_compress(c, text, len, out, size);
    libdeflate_free_compressor(c);
    assert_true(n > 0);
    return n;
}

static void test_inflate(void **state)
{
    (void)state;
    struct http_budget budget = {0, 4 << 20};
    struct inflate *z = inflate_new(1 << 20, &budget);
    unsigned char in[8192];
    const char *out;
    size_t len;
    size_t n = zip("hello", 5, in, sizeof in);
    assert_int_equal(inflate_gzip(z, in, n, &out, &len), INFLATE_OK);
    assert_int_equal(len, 5);
    assert_memory_equal(out, "hello", 5);
    size_t two = n + zip(", world", 7, in + n, sizeof in - n); /* a second member */
    assert_int_equal(inflate_gzip(z, in, two, &out, &len), INFLATE_OK);
    assert_int_equal(len, 12);
    assert_memory_equal(out, "hello, world", 12);
    for (size_t cut = 0; cut < two; cut++) /* a cut body is never taken, but where a member ends */
        assert_int_equal(inflate_gzip(z, in, cut, &out, &len), cut == n ? INFLATE_OK : INFLATE_BROKEN);
    in[two] = 0;
    assert_int_equal(inflate_gzip(z, in, two + 1, &out, &len), INFLATE_BROKEN);
    in[n - 5] ^= 1; /* the check sum */
    assert_int_equal(inflate_gzip(z, in, n, &out, &len), INFLATE_BROKEN);
    inflate_free(z);
    assert_int_equal(budget.used, 0);
}

static void test_bomb(void **state)
{
    (void)state;
    struct http_budget budget = {0, 64 << 20};
    struct inflate *z = inflate_new(1 << 20, &budget);
    size_t big = 8 << 20;
    char *zeros = xcalloc(1, big);
    unsigned char *in = xmalloc(64 << 10);
    const char *out;
    size_t len, n = zip(zeros, big, in, 64 << 10);
    assert_true(n < 16 << 10);
    assert_int_equal(inflate_gzip(z, in, n, &out, &len), INFLATE_TOO_BIG);
    memset(in + n - 4, 1, 4); /* the trailer says little, the check fails later: it is a hint only */
    assert_int_equal(inflate_gzip(z, in, n, &out, &len), INFLATE_TOO_BIG);
    assert_true(budget.used <= 1 << 20);
    inflate_done(z);
    assert_int_equal(budget.used, 0);
    n = zip(zeros, 1 << 20, in, 64 << 10); /* exactly the cap */
    assert_int_equal(inflate_gzip(z, in, n, &out, &len), INFLATE_OK);
    assert_int_equal(len, 1 << 20);
    inflate_done(z);
    budget.used = budget.max - (300 << 10); /* others hold the rest */
    assert_int_equal(inflate_gzip(z, in, n, &out, &len), INFLATE_NO_ROOM);
    budget.used -= budget.max - (300 << 10);
    inflate_free(z);
    assert_int_equal(budget.used, 0);
    free(zeros);
    free(in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_routes), cmocka_unit_test(test_basic),   cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_single), cmocka_unit_test(test_inflate), cmocka_unit_test(test_bomb),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
