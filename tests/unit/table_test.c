/* table_test - JSON as people read it, and the events of the demo. */
#include "master/cli/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "master/cli/demo_events.h"

static void values_follow_their_unit(void **state)
{
    (void)state;
    static const struct {
        const char *key, *json, *shown;
    } rows[] = {
        {"uptime_ms", "1500", "1.5s"},
        {"uptime_ms", "61500", "1m1s"},
        {"rss_bytes", "4096", "4.0KiB"},
        {"rss_bytes", "3145728", "3.0MiB"},
        {"pid", "4096", "4096"},
        {"state", "\"up\"", "up"},
        {"ready", "true", "yes"},
        {"x", "null", "-"},
        {"x", "\"a\\u001b[2Jb\\n\"", "a?[2Jb?"},
        {"uptime_ms", "0", "0ms"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_t *value = json_loads(rows[i].json, JSON_DECODE_ANY, NULL);
        char text[64];
        assert_non_null(value);
        assert_string_equal(table_format(rows[i].key, value, text, sizeof text), rows[i].shown);
        json_decref(value);
    }
    char text[64];
    assert_string_equal(table_format("x", NULL, text, sizeof text), "-");
}

static char *print(const char *json, const char *const *keys)
{
    char *text;
    size_t len;
    FILE *to = open_memstream(&text, &len);
    json_t *rows = json_loads(json, 0, NULL);
    assert_non_null(rows);
    if (json_is_array(rows))
        table_print(to, rows, keys);
    else
        table_print_pairs(to, rows);
    json_decref(rows);
    fclose(to);
    return text;
}

static void columns_line_up(void **state)
{
    (void)state;
    static const char *const keys[] = {"kind", "pid", "rss_bytes", NULL};
    static const struct {
        const char *json;
        const char *const *keys;
        const char *shown;
    } rows[] = {
        {"[{\"kind\":\"ingest\",\"pid\":7,\"rss_bytes\":1024},{\"kind\":\"x\",\"pid\":12345}]", keys,
         "KIND      PID     RSS\n"
         "ingest      7  1.0KiB\n"
         "x       12345       -\n"},
        {"[{\"name\":\"q\",\"wait\":3,\"deep\":{}}]", NULL,
         "NAME  WAIT\n"
         "q        3\n"},
        {"[]", NULL, ""},
        {"{\"a\":1,\"b\":\"x\",\"c\":[1]}", NULL, "  a 1  b x\n"},
        {"{}", NULL, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *text = print(rows[i].json, rows[i].keys);
        assert_string_equal(text, rows[i].shown);
        free(text);
    }
}

static void demo_events_are_whole_and_distinct(void **state)
{
    (void)state;
    struct buf body;
    json_t *ids = json_object(), *event;
    size_t i, kinds = 0;
    const char *kind;
    json_t *types = json_object(), *unused;
    for (unsigned first = 0; first < 1000; first += 100) {
        buf_init(&body, 1u << 20);
        assert_int_equal(demo_events_body(&body, "t", first, 100), 0);
        json_t *o = json_loadb(body.data, body.len, JSON_ALLOW_NUL, NULL);
        assert_non_null(o);
        assert_int_equal(json_array_size(json_object_get(o, "batch")), 100);
        assert_non_null(json_object_get(o, "sentAt"));
        json_array_foreach(json_object_get(o, "batch"), i, event)
        {
            json_object_set_new(ids, json_string_value(json_object_get(event, "messageId")), json_true());
            json_object_set_new(types, json_string_value(json_object_get(event, "type")), json_true());
        }
        json_decref(o);
        buf_fini(&body);
    }
    json_object_foreach(types, kind, unused) kinds++;
    assert_int_equal(json_object_size(ids), 1000);
    assert_int_equal(kinds, 6);
    json_decref(ids);
    json_decref(types);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_follow_their_unit),
        cmocka_unit_test(columns_line_up),
        cmocka_unit_test(demo_events_are_whole_and_distinct),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
