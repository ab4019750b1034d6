/* cidr_test - addresses and networks: their forms, and who is inside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "common/base/cidr.h"

static void test_forms(void **state)
{
    (void)state;
    static const char *const good[] = {"10.0.0.0/8", "0.0.0.0/0", "10.1.2.3",  "10.1.2.3/32",  "::/0",
                                       "::1",        "::1/128",   "fe80::/10", "2001:db8::/32"};
    static const char *const bad[] = {
        "",        "/",           "10.0.0.0/",    "10.0.0.0/33", "10.0.0.1/8",     "10.0.0/8",
        "::/129",  "10.0.0.0/-1", "::1/64",       "10.0.0.0/ 8", "10.0.0.0/08888", "unix",
        "a.b.c.d", " 10.0.0.1",   "10.0.0.0/8/8", "[::1]",       "10.0.0.0/8x",    "300.0.0.1",
        "1::2::3", "fe80::1%eth0"};
    struct cidr c;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(cidr_parse(good[i], &c), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(cidr_parse(bad[i], &c), -1);
}

static void test_inside(void **state)
{
    (void)state;
    static const struct {
        const char *network, *address;
        bool inside;
    } rows[] = {
        {"10.0.0.0/8", "10.255.0.1", true},
        {"10.0.0.0/8", "11.0.0.1", false},
        {"10.0.0.0/8", "::ffff:10.1.1.1", true},
        {"192.168.4.0/22", "192.168.7.255", true},
        {"192.168.4.0/22", "192.168.8.0", false},
        {"0.0.0.0/0", "1.2.3.4", true},
        {"0.0.0.0/0", "::1", false},
        {"::/0", "::1", true},
        {"::/0", "1.2.3.4", false},
        {"2001:db8::/33", "2001:db8:7fff::1", true},
        {"2001:db8::/33", "2001:db8:8000::1", false},
        {"10.1.2.3", "10.1.2.3", true},
        {"10.1.2.3", "10.1.2.2", false},
        {"::ffff:10.0.0.0/104", "10.3.0.1", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct cidr n, a;
        assert_int_equal(cidr_parse(rows[i].network, &n), 0);
        assert_int_equal(cidr_parse_address(rows[i].address, strlen(rows[i].address), &a), 0);
        assert_int_equal(cidr_contains(&n, &a), rows[i].inside);
    }
}

static void test_text(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
    } rows[] = {{"10.1.2.3", "10.1.2.3"}, {"::ffff:10.1.2.3", "10.1.2.3"}, {"2001:DB8:0::1", "2001:db8::1"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct cidr a;
        char text[CIDR_TEXT_SIZE];
        assert_int_equal(cidr_parse_address(rows[i].from, strlen(rows[i].from), &a), 0);
        assert_string_equal(cidr_format_address(&a, text), rows[i].to);
    }
    struct cidr a;
    assert_int_equal(cidr_parse_address("10.1.2.3 and more", 8, &a), 0);
    assert_int_equal(cidr_parse_address("10.1.2.3\0x", 10, &a), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_forms), cmocka_unit_test(test_inside),
                                       cmocka_unit_test(test_text)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
