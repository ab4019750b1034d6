/* logform_test - a line in each of its forms, whatever it holds; which text of a child is a line at all. */
#include "master/logform.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "common/base/str.h"
#include "master/logline.h"

static struct logform_line line_of(const char *tail)
{
    return (struct logform_line){.wall_ms = 1795251600123,
                                 .level = LOGL_WARN,
                                 .origin = {.kind = "delivery", .slot = 1, .generation = 7, .pid = 99},
                                 .tail = tail,
                                 .len = strlen(tail)};
}

static char *formed(enum logform_style style, const char *tail)
{
    struct buf b;
    struct logform_line line = line_of(tail);
    buf_init(&b, LOGFORM_MAX);
    logform_put(&b, style, &line);
    char *copy = strdup(buf_cstr(&b));
    buf_fini(&b);
    return copy;
}

static void each_style(void **state)
{
    (void)state;
    static const struct {
        enum logform_style style;
        const char *want;
    } rows[] = {
        {LOGFORM_LOGFMT,
         "ts=2026-11-21T09:00:00.123Z level=warn kind=delivery slot=1 gen=7 pid=99 event=redis_down why=\"a b\" n=2\n"},
        {LOGFORM_JSON,
         "{\"ts\":\"2026-11-21T09:00:00.123Z\",\"level\":\"warn\",\"kind\":\"delivery\",\"slot\":1,\"gen\":7,"
         "\"pid\":99,\"event\":\"redis_down\",\"why\":\"a b\",\"n\":\"2\"}\n"},
        {LOGFORM_COLUMNS, "09:00:00.123 WARN  delivery.1  redis_down  why=\"a b\" n=2\n"},
        {LOGFORM_COLOURS,
         "\x1b[2m09:00:00.123\x1b[0m \x1b[33mWARN \x1b[0m delivery.1  \x1b[1mredis_down\x1b[0m  "
         "why=\"a b\" n=2\n"},
    };
    setenv("TZ", "UTC", 1);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *got = formed(rows[i].style, "event=redis_down why=\"a b\" n=2");
        assert_string_equal(got, rows[i].want);
        free(got);
    }
}

/* Nothing that a line holds ends it, steers a terminal or is no UTF-8. */
static void whatever_it_holds(void **state)
{
    (void)state;
    static const char *const tails[] = {"event=x a=\x1b[2J",
                                        "event=x \xff\xfe\xc3",
                                        "event=x a=\"\xc2\x9b\"",
                                        "event=x \x01\x7f\x08",
                                        "event=x msg=\"\\xff\\x00\\n\\x1b\"",
                                        "event=x \xed\xa0\x80"};
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        char *text = formed(LOGFORM_LOGFMT, tails[i]), *columns = formed(LOGFORM_COLUMNS, tails[i]),
             *json = formed(LOGFORM_JSON, tails[i]);
        assert_true(str_is_plain(text, strlen(text) - 1));
        assert_true(str_is_plain(columns, strlen(columns) - 1));
        assert_true(str_is_plain(json, strlen(json) - 1));
        json_t *o = json_loads(json, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
        assert_non_null(o);
        json_decref(o);
        free(text);
        free(columns);
        free(json);
    }
}

static void a_syslog_packet(void **state)
{
    (void)state;
    struct buf b;
    struct logform_line line = line_of("event=x");
    buf_init(&b, LOGFORM_MAX);
    logform_put_syslog(&b, LOGFORM_LOGFMT, 16, 42, &line);
    assert_string_equal(buf_cstr(&b),
                        "<132>Nov 21 09:00:00 dray[42]: ts=2026-11-21T09:00:00.123Z level=warn kind=delivery "
                        "slot=1 gen=7 pid=99 event=x");
    buf_reset(&b);
    line.level = LOGL_CRIT;
    logform_put_priority(&b, line.level, 0);
    assert_string_equal(buf_cstr(&b), "<2>");
    buf_fini(&b);
}

static void fields_for_the_journal(void **state)
{
    (void)state;
    struct buf b;
    struct logform_line line = line_of("event=x two=\"a\\nb\" z.9=c");
    buf_init(&b, LOGFORM_MAX);
    logform_put_journal(&b, 3, &line);
    static const char want[] =
        "PRIORITY=4\nSYSLOG_IDENTIFIER=dray\nSYSLOG_FACILITY=3\nDRAY_KIND=delivery\nDRAY_SLOT=1\n"
        "DRAY_GENERATION=7\nDRAY_PID=99\nMESSAGE=delivery.1: event=x two=\"a\\nb\" z.9=c\n"
        "DRAY_EVENT=x\nDRAY_TWO\n\3\0\0\0\0\0\0\0a\nb\nDRAY_Z_9=c\n";
    assert_int_equal(b.len, sizeof want - 1);
    assert_memory_equal(b.data, want, b.len);
    buf_fini(&b);
}

static void what_is_a_line(void **state)
{
    (void)state;
    static const struct {
        const char *tail;
        bool valid;
    } rows[] = {
        {"event=x", true},
        {"event=x_1 a=b c=\"d \\\" e\" f= g=\"\"", true},
        {"event=x a=\xc3\xa9", true},
        {"", false},
        {"event=", false},
        {"event= a=b", false},
        {"a=b event=x", false},
        {"event=x words without keys", false},
        {"event=x a=\"open", false},
        {"event=x a=\"b\"c", false},
        {"event=x a=b\"c", false},
        {"event=x  a=b", false},
        {"event=x a=b ", true},
        {"event=x level=crit", false}, /* only the master says who and when */
        {"event=x pid=1", false},
        {"event=x a=\x1b[2J", false},
        {"event=x a=\xff", false},
        {"event=x 1a=b", false},
        {"event=x =b", false},
        {"event=x a=\"\\", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (logline_is_valid(rows[i].tail, strlen(rows[i].tail)) != rows[i].valid)
            fail_msg("%s is %sa line", rows[i].tail, rows[i].valid ? "" : "not ");
}

/* What is quoted comes back, in as many pieces as it takes. */
static void quoting_in_pieces(void **state)
{
    (void)state;
    char text[3000], back[3000], piece[101];
    size_t at = 0, n = 0;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(i * 7);
    while (at < sizeof text) {
        size_t used, len = log_quote(piece, sizeof piece, text + at, sizeof text - at, &used);
        assert_true(used > 0 && len < sizeof piece && piece[len] == '\0' && str_is_plain(piece, len));
        struct logline_pair pair = {.value = piece + 1, .value_len = len - 2, .quoted = true};
        n += logline_value(&pair, back + n, sizeof back - n);
        at += used;
    }
    assert_int_equal(n, sizeof text);
    assert_memory_equal(back, text, n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_style),      cmocka_unit_test(whatever_it_holds),
        cmocka_unit_test(a_syslog_packet), cmocka_unit_test(fields_for_the_journal),
        cmocka_unit_test(what_is_a_line),  cmocka_unit_test(quoting_in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
