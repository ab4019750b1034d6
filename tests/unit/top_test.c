/* top_test - what dray top makes of two answers: rates, order, filter; pages of any size. */
#include "master/cli/top_page.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static json_t *answer(int clock_ms, int run, int accepted, int cpu)
{
    json_t *o = json_pack("{s:s,s:s,s:i,s:i,s:s,s:i,s:s,s:i,s:{s:i,s:i,s:i},s:{s:i,s:i,s:i,s:i}}", "name",
                          "host", "node", "n", "run", run, "clock_ms", clock_ms, "state", "ok", "epoch", 1,
                          "version", "1", "uptime_ms", clock_ms, "ingest", "accepted_events", accepted,
                          "requests", accepted / 10, "bytes", accepted * 100, "delivery", "delivered_events",
                          accepted / 2, "completed_jobs", 0, "failed_jobs", 3, "retried_jobs", 0);
    static const struct {
        const char *kind, *state, *doing;
        int slot, rss, restarts;
    } rows[] = {{"master", "up", "", 0, 9, 0},
                {"delivery", "up", "takes from \"sink\"", 0, 12, 5},
                {"ingest", "up", "", 0, 30, 0},
                {"delivery", "wait", "caf\xc3\xa9 \xe6\x97\xa5\xe6\x9c\xac", 1, 11, 9}};
    json_t *list = json_array();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        json_array_append_new(
            list, json_pack("{s:s,s:i,s:i,s:s,s:i,s:i,s:i,s:i,s:s,s:i}", "kind", rows[i].kind, "slot",
                            rows[i].slot, "pid", (int)i + 100, "state", rows[i].state, "restarts",
                            rows[i].restarts, "rss_bytes", rows[i].rss << 20, "cpu_ms", i == 1 ? cpu : 0,
                            "loop_lag_ms", (int)i, "doing", rows[i].doing, "uptime_ms", 1000));
    json_object_set_new(o, "processes", list);
    json_object_set_new(o, "queues",
                        json_pack("[{s:s,s:i,s:i,s:i}]", "name", "sink", "wait", 4, "active", 1,
                                  "delivered_events", accepted / 2));
    json_object_set_new(o, "alarms", json_pack("[s]", "delivery: 1 of 2 up"));
    json_object_set_new(o, "errors",
                        json_pack("[{s:i,s:s,s:i,s:s,s:s}]", "ms_ago", 12000, "kind", "delivery", "slot", 1,
                                  "event", "redis_down", "text", "why=\"x\""));
    return o;
}

static void rates_of_two_answers(void **state)
{
    (void)state;
    struct top_model m;
    top_model_init(&m);
    top_model_take(&m, answer(1000, 1, 100, 50));
    assert_true(m.rates.accepted < 0 && m.rates.cpu_percent < 0); /* one answer is no rate */
    top_model_take(&m, answer(3000, 1, 500, 1050));
    assert_true(m.rates.accepted == 200 && m.rates.delivered == 100 && m.rates.requests == 20 &&
                m.rates.failed == 0);
    assert_true(m.rates.cpu_percent == 50);
    assert_true(top_model_queue_rate(&m, "sink") == 100 && top_model_queue_rate(&m, "other") < 0);
    json_t *o = top_model_json(&m);
    assert_true(json_real_value(json_object_get(json_object_get(o, "rates"), "accepted_events")) == 200);
    json_decref(o);
    top_model_take(&m, answer(500, 2, 10, 0)); /* another master: its counters began anew */
    assert_true(m.rates.accepted < 0 && m.rates.cpu_percent < 0);
    top_model_fini(&m);
}

static void order_and_filter(void **state)
{
    (void)state;
    static const struct {
        enum top_column sort;
        bool reverse;
        const char *filter, *want;
    } rows[] = {
        {TOP_NAME, false, "", "master delivery.0 delivery.1 ingest.0 "},
        {TOP_NAME, true, "", "ingest.0 delivery.1 delivery.0 master "},
        {TOP_RSS, false, "", "ingest.0 delivery.0 delivery.1 master "},
        {TOP_RESTARTS, false, "kind:del", "delivery.1 delivery.0 "},
        {TOP_CPU, false, "", "delivery.0 master delivery.1 ingest.0 "},
        {TOP_NAME, false, "state:w", "delivery.1 "},
        {TOP_NAME, false, "SINK", "delivery.0 "},
        {TOP_NAME, false, "102", "ingest.0 "},
        {TOP_NAME, false, "nothing of it", ""},
    };
    struct top_model m;
    top_model_init(&m);
    top_model_take(&m, answer(1000, 1, 100, 50));
    top_model_take(&m, answer(2000, 1, 100, 150));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char got[200] = "";
        top_model_arrange(&m, rows[i].sort, rows[i].reverse, rows[i].filter);
        for (size_t k = 0; k < m.n; k++)
            snprintf(got + strlen(got), sizeof got - strlen(got), "%s ", m.rows[k].who);
        assert_string_equal(got, rows[i].want);
    }
    top_model_fini(&m);
}

/* Every view at every size: no more lines and columns than there are, the keys at the bottom. */
static void pages_of_any_size(void **state)
{
    (void)state;
    struct top_model m;
    struct top_page p = {0};
    setlocale(LC_CTYPE, "C.UTF-8");
    top_model_init(&m);
    top_model_take(&m, answer(1000, 1, 100, 50));
    for (int width = 1; width <= 130; width += 3)
        for (int height = 1; height <= 30; height++)
            for (int tab = TOP_PROCESSES; tab <= TOP_HELP + 1; tab++) {
                struct top_view v = {
                    .tab = tab > TOP_HELP ? TOP_PROCESSES : (enum top_tab)tab, .interval_s = 1, .scroll = 99};
                strcpy(v.selected, "delivery.1");
                v.details = tab > TOP_HELP;
                top_model_arrange(&m, TOP_NAME, false, "");
                top_page_make(&p, &m, &v, width, height);
                assert_int_equal(p.n, height);
                for (size_t i = 0; i < p.n; i++)
                    assert_true(mbstowcs(NULL, p.lines[i].text, 0) <= (size_t)width);
            }
    struct top_view v = {.tab = TOP_PROCESSES, .interval_s = 1};
    top_page_make(&p, &m, &v, 40, 10);
    assert_string_equal(p.lines[0].text, "dray host: ok, up 1.0s, epoch 1, 1");
    assert_non_null(strstr(p.lines[4].text, "PROCESS"));
    assert_non_null(strstr(p.lines[9].text, "q quit"));
    top_page_make(&p, &m, &v, 100, 0); /* all of it */
    assert_non_null(strstr(p.lines[p.n - 1].text, "redis_down"));
    top_page_fini(&p);
    top_model_fini(&m);
}

static void numbers_are_short(void **state)
{
    (void)state;
    static const struct {
        double n;
        const char *want;
    } rows[] = {{-1, "-"},        {0, "0"},         {1, "1"},       {0.25, "0.2"}, {9999, "9999"},
                {10000, "10.0k"}, {123456, "123k"}, {5e6, "5000k"}, {5e7, "50.0M"}};
    char b[16];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(top_page_number(rows[i].n, b), rows[i].want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_of_two_answers),
        cmocka_unit_test(order_and_filter),
        cmocka_unit_test(pages_of_any_size),
        cmocka_unit_test(numbers_are_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
