/* netset: which addresses are in which set, whatever form they hide in. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/netset.h"

static bool has(const struct netset *s, const char *text)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    struct sockaddr_in four = {.sin_family = AF_INET};

    if (inet_pton(AF_INET, text, &four.sin_addr) == 1)
        return netset_has(s, (const struct sockaddr *)&four);
    assert_int_equal(inet_pton(AF_INET6, text, &six.sin6_addr), 1);
    return netset_has(s, (const struct sockaddr *)&six);
}

static void test_private(void **state)
{
    static char *words[] = {(char *)"private", NULL};
    static const char *const in[] = {"0.0.0.0",
                                     "10.1.2.3",
                                     "100.64.0.1",
                                     "127.0.0.1",
                                     "127.255.255.254",
                                     "169.254.169.254",
                                     "172.16.0.1",
                                     "172.31.255.255",
                                     "192.0.0.8",
                                     "192.168.0.1",
                                     "198.18.0.1",
                                     "224.0.0.1",
                                     "240.0.0.1",
                                     "255.255.255.255",
                                     "::",
                                     "::1",
                                     "fc00::1",
                                     "fd00:ec2::254",
                                     "fe80::1",
                                     "fec0::1",
                                     "ff02::1",
                                     "::ffff:127.0.0.1",
                                     "::ffff:10.0.0.1",
                                     "::127.0.0.1",
                                     "64:ff9b::10.0.0.1",
                                     "64:ff9b:1::1",
                                     "2002:7f00:1::",
                                     "::ffff:169.254.1.1"};
    static const char *const out[] = {
        "1.1.1.1",         "9.255.255.255",  "11.0.0.0",         "100.63.255.255",
        "100.128.0.0",     "128.0.0.1",      "172.15.255.255",   "172.32.0.0",
        "192.0.1.1",       "192.167.0.1",    "198.17.255.255",   "223.255.255.255",
        "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::"};
    struct netset *s = netset_new(words);

    (void)state;
    for (size_t i = 0; i < sizeof(in) / sizeof(in[0]); i++)
        if (!has(s, in[i]))
            fail_msg("%s is let through", in[i]);
    for (size_t i = 0; i < sizeof(out) / sizeof(out[0]); i++)
        if (has(s, out[i]))
            fail_msg("%s is refused", out[i]);
    netset_free(s);
}

static void test_words(void **state)
{
    static char *words[] = {(char *)"192.0.2.1", (char *)"2001:db8::/32", (char *)"nonsense", NULL},
                *all[] = {(char *)"all", NULL}, *none[] = {NULL};
    static const char *const wrong[] = {"",     "10.0.0.1/8", "10.0.0.0/33", "::/129",
                                        "host", "10.0.0.0/",  "Private"};
    struct netset *s = netset_new(words), *every = netset_new(all);

    (void)state;
    assert_true(has(s, "192.0.2.1"));
    assert_true(has(s, "::ffff:192.0.2.1"));
    assert_false(has(s, "192.0.2.2"));
    assert_true(has(s, "2001:db8:1::"));
    assert_true(has(every, "8.8.8.8") && has(every, "::1"));
    assert_null(netset_new(none));
    assert_false(has(NULL, "8.8.8.8"));
    assert_false(netset_has(every, &(struct sockaddr){.sa_family = AF_UNIX}));
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_non_null(netset_check(wrong[i]));
    assert_null(netset_check("all"));
    netset_free(s);
    netset_free(every);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_private), cmocka_unit_test(test_words)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
