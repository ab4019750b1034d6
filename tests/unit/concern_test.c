/* concern_test - every part of the configuration has its row, and a key that rolls rolls somebody. */
#include "master/concern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/conf/internal.h"

static void key_of(const struct conf_section *s, const struct conf_row *row, char *dst, size_t size)
{
    snprintf(dst, size, "%s%s.%s", s->name, CONF_IS_LIST(s) ? "[]" : "", row->path);
}

static void test_every_key(void **state)
{
    (void)state;
    char key[128];
    for (size_t i = 0; i < CONF_SECTIONS; i++) {
        const struct conf_section *s = &conf_sections[i];
        if (concern_row(s->name) == NULL)
            fail_msg("no row for %s", s->name);
        for (size_t j = 0; j < s->n; j++) {
            key_of(s, &s->rows[j], key, sizeof key);
            if (s->rows[j].apply == CONF_APPLY_ROLL && concern_kinds(key) == 0)
                fail_msg("%s rolls nobody", key);
        }
        if (CONF_IS_LIST(s) && s->rows[0].apply == CONF_APPLY_ROLL)
            assert_int_not_equal(concern_kinds(s->name), 0);
    }
}

static void test_rows(void **state)
{
    (void)state;
    const unsigned ingest = CONCERN_BIT(KIND_INGEST), delivery = CONCERN_BIT(KIND_DELIVERY),
                   console = CONCERN_BIT(KIND_CONSOLE), spool = CONCERN_BIT(KIND_SPOOL),
                   program = CONCERN_BIT(KIND_PROGRAM);
    const struct {
        const char *key;
        unsigned kinds;
    } rows[] = {
        {"delivery.response_store", delivery},
        {"ingest.flush_at", ingest},
        {"ingest.listeners", ingest},
        {"ingest.listeners[].address", ingest},
        {"console.address", console},
        {"redis.url", delivery},
        {"redis.managed.maxmemory", program},
        {"redis.managed", program},
        {"redis.managedx", delivery}, /* no part of a word */
        {"destinations", ingest | delivery | spool},
        {"spool.max_size", ingest | delivery | spool},
        {"master.memory.spool", spool},
        {"destinations[].url", delivery},
        {"destinations[].partitions", ingest | delivery | spool},
        {"sources", ingest | delivery},
        {"nonsense", ingest | delivery | spool | console | program},
        {"ingestion.flush_at", ingest | delivery | spool | console | program},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (concern_kinds(rows[i].key) != rows[i].kinds)
            fail_msg("%s: %x, wanted %x", rows[i].key, concern_kinds(rows[i].key), rows[i].kinds);
    assert_string_equal(concern_row("destinations[].ordering"), "destinations[].ordering");
    assert_null(concern_row("nonsense"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_key), cmocka_unit_test(test_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
