/* clients: the lines of CLIENT LIST. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "workers/delivery/clients.h"

/* Redis 7.0.15 */
#define LINE(id, name)                                                                                       \
    "id=" id " addr=/s:0 laddr=/s:0 fd=8 name=" name                                                         \
    " age=1 idle=0 flags=U db=0 cmd=blmove user=default redir=-1\n"

static void test_lines(void **state)
{
    static const char text[] = LINE("3", "")
        LINE("17", "dray:w:N.1.0.7") "nonsense\n\nid=x name=y\n" LINE("18446744073709551616", "z")
            LINE("9", "{dray}:c2luaw==:w:N.1.0.7") "id=5 name=last";
    static const struct {
        uint64_t id;
        const char *name;
        bool is_of;
    } rows[] = {{3, "", false},
                {17, "dray:w:N.1.0.7", true},
                {9, "{dray}:c2luaw==:w:N.1.0.7", true},
                {5, "last", false}};
    const char *at = text, *end = text + strlen(text);
    struct clients_line c;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_true(clients_next(&at, end, &c));
        assert_int_equal(c.id, rows[i].id);
        assert_int_equal(c.name_len, strlen(rows[i].name));
        assert_memory_equal(c.name, rows[i].name, c.name_len);
        assert_int_equal(clients_is_of(&c, "N.1.0.7"), rows[i].is_of);
    }
    assert_false(clients_next(&at, end, &c));
}

static void test_tokens(void **state)
{
    static const struct {
        const char *name, *token;
        bool is_of;
    } rows[] = {
        {"dray:w:N.1.0.7", "N.1.0.7", true},   {"dray:w:N.1.0.77", "N.1.0.7", false},
        {"dray:w:NN.1.0.7", "N.1.0.7", false}, {"N.1.0.7", "N.1.0.7", false},
        {":w:N.1.0.7", "N.1.0.7", true},       {"dray:w:N.1.0.7", "1.0.7", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct clients_line c = {.name = rows[i].name, .name_len = strlen(rows[i].name)};

        if (clients_is_of(&c, rows[i].token) != rows[i].is_of)
            fail_msg("%s %s", rows[i].name, rows[i].token);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lines), cmocka_unit_test(test_tokens)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
