/* buf_test - growth, the cap that nothing gets past, consuming, JSON strings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"

static void test_append_and_cap(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 10);
    assert_int_equal(buf_append(&b, "abcdef", 6), 0);
    assert_int_equal(buf_append(&b, NULL, 0), 0);
    assert_int_equal(buf_append(&b, "ghijk", 5), -1);
    assert_int_equal(errno, EMSGSIZE);
    assert_int_equal(b.len, 6);
    assert_int_equal(buf_append(&b, "ghij", 4), 0);
    assert_true(b.cap <= 10);
    assert_int_equal(buf_appendc(&b, 'x'), -1);
    assert_memory_equal(b.data, "abcdefghij", 10);
    assert_string_equal(buf_cstr(&b), "abcdefghij"); /* the NUL stands behind a full buffer */
    assert_int_equal(b.len, 10);
    assert_int_equal(buf_append(&b, "x", 1), -1); /* and makes no room in it */
    assert_int_equal(b.len, 10);
    buf_fini(&b);
    assert_int_equal(b.max, 10);
    assert_int_equal(buf_puts(&b, "again"), 0);
    buf_fini(&b);
}

static void test_growth(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1 << 20);
    for (unsigned i = 0; i < 1 << 16; i++)
        assert_int_equal(buf_appendc(&b, (char)(i * 7)), 0);
    for (unsigned i = 0; i < 1 << 16; i++)
        assert_int_equal(b.data[i], (char)(i * 7));
    assert_int_equal(buf_reserve(&b, (1 << 20) - b.len), 0);
    assert_int_equal(b.cap, 1 << 20);
    assert_int_equal(buf_reserve(&b, SIZE_MAX), -1);
    assert_int_equal(errno, EMSGSIZE);
    buf_fini(&b);
}

static void test_printf(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 8);
    assert_int_equal(buf_printf(&b, "%d-%s", 12, "ab"), 0);
    assert_int_equal(buf_printf(&b, "%s", "toolong"), -1);
    assert_int_equal(errno, EMSGSIZE);
    assert_string_equal(buf_cstr(&b), "12-ab");
    buf_fini(&b);
}

static void test_json(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 64);
    assert_int_equal(buf_put_json(&b, "a\"\\\n\0\x1f\x7f\xc3\xa9", 9), 0);
    assert_string_equal(buf_cstr(&b), "\"a\\\"\\\\\\u000a\\u0000\\u001f\x7f\xc3\xa9\"");
    size_t len = b.len;
    char big[64];
    memset(big, 'x', sizeof big);
    assert_int_equal(buf_put_json(&b, big, sizeof big), -1);
    assert_int_equal(b.len, len); /* nothing half-written stays */
    buf_fini(&b);
}

static void test_consume_and_take(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 100);
    assert_int_equal(buf_puts(&b, "abcdef"), 0);
    buf_consume(&b, 0);
    buf_consume(&b, 2);
    assert_string_equal(buf_cstr(&b), "cdef");
    buf_consume(&b, 4);
    assert_int_equal(b.len, 0);
    assert_int_equal(buf_puts(&b, "xyz"), 0);
    size_t len, cap = b.cap;
    buf_reset(&b);
    assert_int_equal(b.cap, cap);
    assert_int_equal(buf_puts(&b, "xyz"), 0);
    char *data = buf_take(&b, &len);
    assert_int_equal(len, 3);
    assert_memory_equal(data, "xyz", 3);
    assert_null(b.data);
    assert_int_equal(b.max, 100);
    free(data);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append_and_cap),   cmocka_unit_test(test_growth),
        cmocka_unit_test(test_printf),           cmocka_unit_test(test_json),
        cmocka_unit_test(test_consume_and_take),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
