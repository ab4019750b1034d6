/* metrics: counting, label bounds, wire form against broken bytes, merging over processes, Prometheus text. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/metrics/metrics.h"

#define BIG (8u << 20)

static struct buf encode(const struct metrics *m)
{
    struct buf b;
    buf_init(&b, BIG);
    assert_int_equal(metrics_encode(m, &b), 0);
    return b;
}

static void merge(struct metrics *sum, const char *who, uint32_t generation, const struct metrics *m)
{
    struct buf b = encode(m);
    assert_int_equal(metrics_merge(sum, who, generation, b.data, b.len), 0);
    buf_fini(&b);
}

static void assert_renders(const struct metrics *m, const char *wanted)
{
    struct buf b;
    buf_init(&b, BIG);
    assert_int_equal(metrics_render(m, &b), 0);
    assert_string_equal(buf_cstr(&b), wanted);
    buf_fini(&b);
}

static void test_series_are_found_again(void **state)
{
    (void)state;
    struct metrics *m = metrics_new();
    struct metric *a = metrics_series(m, METRIC_INGEST_REQUESTS, "web", "200", NULL);
    assert_ptr_equal(a, metrics_series(m, METRIC_INGEST_REQUESTS, "web", "200", NULL));
    assert_ptr_not_equal(a, metrics_series(m, METRIC_INGEST_REQUESTS, "web", "503", NULL));
    metric_add(a, 2);
    metric_add(a, 3);
    assert_int_equal(metric_count(a), 5);
    metric_add(metrics_series(m, METRIC_INGEST_REQUESTS, "web", "503", NULL), 7);
    metric_add(metrics_series(m, METRIC_INGEST_REQUESTS, "app", "200", NULL), 11);
    static const struct {
        const char *source, *code;
        double want;
    } cases[] = {{"", "", 23}, {"web", "", 12}, {"", "200", 16}, {"web", "503", 7}, {"none", "", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_true(metrics_value(m, METRIC_INGEST_REQUESTS, cases[i].source, cases[i].code, NULL) ==
                    cases[i].want);
    metrics_free(m);
}

static void test_label_sets_are_bounded(void **state)
{
    (void)state;
    struct metrics *m = metrics_new();
    for (int i = 0; i < METRICS_SERIES_MAX + 500; i++) {
        char source[16];
        (void)snprintf(source, sizeof source, "s%d", i);
        metric_add(metrics_series(m, METRIC_INGEST_REQUESTS, source, "200", NULL), 1);
    }
    assert_true(metrics_value(m, METRIC_INGEST_REQUESTS, "other", "other", NULL) == 500);
    assert_true(metrics_value(m, METRIC_INGEST_REQUESTS, NULL) == METRICS_SERIES_MAX + 500);
    struct metrics *sum = metrics_new();
    merge(sum, "ingest.0", 1, m);
    assert_true(metrics_value(sum, METRIC_INGEST_REQUESTS, NULL) == METRICS_SERIES_MAX + 500);
    metrics_free(sum);
    metrics_free(m);
}

static void test_renders_each_type(void **state)
{
    (void)state;
    struct metrics *m = metrics_new();
    metric_set(metrics_series(m, METRIC_BUILD_INFO, "0.1", NULL), 1);
    metric_set(metrics_series(m, METRIC_CPU_SECONDS, "ingest", NULL), 1.25);
    metric_add(metrics_series(m, METRIC_LOG_DROPPED, NULL), 4);
    metric_set(metrics_series(m, METRIC_INGEST_IN_FLIGHT, NULL), 0.1);
    metric_set(metrics_series(m, METRIC_INGEST_CONNECTIONS, NULL), 3);
    metric_unset(metrics_series(m, METRIC_INGEST_CONNECTIONS, NULL));
    assert_renders(m, "# HELP dray_build_info always 1\n# TYPE dray_build_info gauge\n"
                      "dray_build_info{version=\"0.1\"} 1\n"
                      "# HELP dray_process_cpu_seconds_total processor time of the processes of a kind\n"
                      "# TYPE dray_process_cpu_seconds_total counter\n"
                      "dray_process_cpu_seconds_total{role=\"ingest\"} 1.25\n"
                      "# HELP dray_log_dropped_total log lines lost because a sink did not read\n"
                      "# TYPE dray_log_dropped_total counter\ndray_log_dropped_total 4\n"
                      "# HELP dray_ingest_in_flight requests not answered yet\n"
                      "# TYPE dray_ingest_in_flight gauge\ndray_ingest_in_flight 0.1\n");
    metrics_free(m);
}

static void test_renders_histogram_cumulative(void **state)
{
    (void)state;
    struct metrics *m = metrics_new();
    struct metric *s = metrics_series(m, METRIC_REDIS_DURATION, "add", NULL);
    static const uint64_t seen[] = {1, 50, 51, 900, 1000000, 1000001};
    for (size_t i = 0; i < sizeof seen / sizeof *seen; i++)
        metric_observe_us(s, seen[i]);
    struct buf b;
    buf_init(&b, BIG);
    assert_int_equal(metrics_render(m, &b), 0);
    static const char *const lines[] = {"_bucket{script=\"add\",le=\"5e-05\"} 2\n",
                                        "_bucket{script=\"add\",le=\"0.0001\"} 3\n",
                                        "_bucket{script=\"add\",le=\"0.001\"} 4\n",
                                        "_bucket{script=\"add\",le=\"1\"} 5\n",
                                        "_bucket{script=\"add\",le=\"+Inf\"} 6\n",
                                        "_sum{script=\"add\"} 2.001003\n",
                                        "_count{script=\"add\"} 6\n"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (strstr(buf_cstr(&b), lines[i]) == NULL)
            fail_msg("missing: %s in:\n%s", lines[i], buf_cstr(&b));
    buf_fini(&b);
    metrics_free(m);
}

static void test_label_values_are_tamed(void **state)
{
    (void)state;
    static const struct {
        const char *given, *rendered;
    } cases[] = {
        {"a\"b\\c", "a\\\"b\\\\c"},
        {"two\nlines\x01", "two_lines_"},
        {"", ""},
        /* 62 bytes and a two-byte character: it is left out whole. */
        {"12345678901234567890123456789012345678901234567890123456789012\xc3\xa9z",
         "12345678901234567890123456789012345678901234567890123456789012"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct metrics *m = metrics_new();
        metric_add(metrics_series(m, METRIC_QUEUE_ADDED, cases[i].given, NULL), 1);
        struct buf b;
        char want[200];
        buf_init(&b, BIG);
        assert_int_equal(metrics_render(m, &b), 0);
        (void)snprintf(want, sizeof want, "dray_queue_added_total{queue=\"%s\"} 1\n", cases[i].rendered);
        if (strstr(buf_cstr(&b), want) == NULL)
            fail_msg("case %zu: no %s in:\n%s", i, want, buf_cstr(&b));
        buf_fini(&b);
        metrics_free(m);
    }
}

static void test_merge_keeps_what_the_dead_counted(void **state)
{
    (void)state;
    struct metrics *sum = metrics_new();
    struct metrics *a = metrics_new(), *b = metrics_new(), *next = metrics_new();
    metric_add(metrics_series(a, METRIC_QUEUE_ADDED, "q", NULL), 10);
    metric_add(metrics_series(b, METRIC_QUEUE_ADDED, "q", NULL), 100);
    merge(sum, "delivery.0", 1, a);
    merge(sum, "delivery.1", 1, b);
    assert_true(metrics_value(sum, METRIC_QUEUE_ADDED, "q", NULL) == 110);
    metric_add(metrics_series(a, METRIC_QUEUE_ADDED, "q", NULL), 5);
    merge(sum, "delivery.0", 1, a); /* the same process again: replaces, does not add */
    assert_true(metrics_value(sum, METRIC_QUEUE_ADDED, "q", NULL) == 115);
    metric_add(metrics_series(next, METRIC_QUEUE_ADDED, "q", NULL), 1);
    merge(sum, "delivery.0", 2, next); /* its successor: adds */
    assert_true(metrics_value(sum, METRIC_QUEUE_ADDED, "q", NULL) == 116);
    metrics_forget(sum, "delivery.0");
    metrics_forget(sum, "delivery.0"); /* not known any more: nothing happens */
    assert_true(metrics_value(sum, METRIC_QUEUE_ADDED, "q", NULL) == 116);
    merge(sum, "delivery.0", 3, next);
    assert_true(metrics_value(sum, METRIC_QUEUE_ADDED, "q", NULL) == 117);
    metrics_free(sum);
    metrics_free(a);
    metrics_free(b);
    metrics_free(next);
}

static void test_merge_of_histograms(void **state)
{
    (void)state;
    struct metrics *sum = metrics_new(), *a = metrics_new();
    struct metric *s = metrics_series(a, METRIC_DELIVERY_DURATION, "d", NULL);
    metric_observe_us(s, 500);
    merge(sum, "x", 1, a);
    metric_observe_us(s, 20000000);
    merge(sum, "x", 1, a);
    merge(sum, "y", 1, a);
    assert_int_equal(metric_count(metrics_series(sum, METRIC_DELIVERY_DURATION, "d", NULL)), 4);
    struct buf b;
    buf_init(&b, BIG);
    assert_int_equal(metrics_render(sum, &b), 0);
    assert_non_null(strstr(buf_cstr(&b), "_bucket{dest=\"d\",le=\"10\"} 2\n"));
    assert_non_null(strstr(buf_cstr(&b), "_sum{dest=\"d\"} 40.001\n"));
    buf_fini(&b);
    metrics_free(sum);
    metrics_free(a);
}

static void test_merge_of_gauges(void **state)
{
    (void)state;
    struct metrics *sum = metrics_new(), *a = metrics_new(), *b = metrics_new();
    metric_set(metrics_series(sum, METRIC_INGEST_CONNECTIONS, NULL), 1); /* the merging process' own */
    metric_set(metrics_series(a, METRIC_INGEST_CONNECTIONS, NULL), 10);
    metric_set(metrics_series(b, METRIC_INGEST_CONNECTIONS, NULL), 0.3);
    metric_set(metrics_series(a, METRIC_QUEUE_OLDEST, "q", "wait", NULL), 7);
    metric_set(metrics_series(b, METRIC_QUEUE_OLDEST, "q", "wait", NULL), 9);
    merge(sum, "a", 1, a);
    merge(sum, "b", 1, b);
    for (int i = 0; i < 1000; i++)
        merge(sum, "b", (uint32_t)i, b);
    assert_true(metrics_value(sum, METRIC_INGEST_CONNECTIONS, NULL) == 1 + (10 + 0.3) ||
                metrics_value(sum, METRIC_INGEST_CONNECTIONS, NULL) == 1 + (0.3 + 10));
    assert_true(metrics_value(sum, METRIC_QUEUE_OLDEST, "q", "wait", NULL) == 9); /* the largest */
    metrics_forget(sum, "b");
    assert_true(metrics_value(sum, METRIC_INGEST_CONNECTIONS, NULL) == 11);
    assert_true(metrics_value(sum, METRIC_QUEUE_OLDEST, "q", "wait", NULL) == 7);
    metrics_forget(sum, "a");
    assert_renders(sum, "# HELP dray_ingest_connections open connections\n"
                        "# TYPE dray_ingest_connections gauge\ndray_ingest_connections 1\n");
    metrics_free(sum);
    metrics_free(a);
    metrics_free(b);
}

static struct metrics *sample(void)
{
    struct metrics *m = metrics_new();
    metric_add(metrics_series(m, METRIC_QUEUE_FINISHED, "q", "completed", NULL), 3);
    metric_set(metrics_series(m, METRIC_INGEST_IN_FLIGHT, NULL), 2);
    metric_observe_us(metrics_series(m, METRIC_LOOP_LAG, "ingest", NULL), 70);
    return m;
}

static void test_every_cut_and_every_flip_is_survived(void **state)
{
    (void)state;
    struct metrics *m = sample(), *sum = metrics_new();
    merge(sum, "a", 1, m);
    struct buf b = encode(m), before, after;
    buf_init(&before, BIG);
    assert_int_equal(metrics_render(sum, &before), 0);
    for (size_t len = 0; len < b.len; len++) {
        errno = 0;
        assert_int_equal(metrics_merge(sum, "a", 1, b.data, len), -1);
        assert_int_equal(errno, EPROTO);
    }
    buf_init(&after, BIG);
    assert_int_equal(metrics_render(sum, &after), 0);
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.data, after.data, before.len);
    for (size_t i = 0; i < b.len * 8; i++) {
        struct metrics *other = metrics_new();
        b.data[i / 8] = (char)(b.data[i / 8] ^ (1 << (i % 8)));
        (void)metrics_merge(other, "a", 1, b.data, b.len); /* the sanitizers judge */
        b.data[i / 8] = (char)(b.data[i / 8] ^ (1 << (i % 8)));
        metrics_free(other);
    }
    buf_fini(&before);
    buf_fini(&after);
    buf_fini(&b);
    metrics_free(m);
    metrics_free(sum);
}

static void test_counts_are_checked_before_they_are_used(void **state)
{
    (void)state;
#define GROUP                                                                                                \
    "DM1\x01\x00\x16"                                                                                        \
    "dray_log_dropped_total"
    static const struct {
        const char *what, *bytes;
        size_t len;
    } cases[] = {
#define CASE(what, text) {what, text, sizeof(text) - 1}
        CASE("nothing", ""),
        CASE("another magic", "DM2\x00\x00"),
        CASE("bytes left over", "DM1\x00\x00\x00"),
        CASE("groups that are not there", "DM1\xff\xff"),
        CASE("four thousand million series", GROUP "\x00\x00\x00\xff\xff\xff\xff"
                                                   "\x01\x00\x00\x00\x00\x00\x00\x00"),
        CASE("an unknown type", GROUP "\x09\x00\x00\x00\x00\x00\x00"),
        CASE("too many labels", GROUP "\x00\x04\x00\x00\x00\x00\x00"),
        CASE("bounds on a counter", GROUP "\x00\x00\x01\x00\x00\x00\x00"),
        CASE("a name with a NUL", "DM1\x01\x00\x02"
                                  "a\0"
                                  "\x00\x00\x00\x00\x00\x00\x00"),
#undef CASE
    };
    struct metrics *sum = metrics_new();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (metrics_merge(sum, "a", 1, cases[i].bytes, cases[i].len) != -1)
            fail_msg("taken: %s", cases[i].what);
    assert_renders(sum, "");
    metrics_free(sum);
}

static void test_metrics_of_another_release_are_skipped(void **state)
{
    (void)state;
    static const char bytes[] = "DM1\x02\x00"
                                "\x08"
                                "dray_new"
                                "\x00\x01\x00\x01\x00\x00\x00"
                                "\x01x"
                                "\x05\0\0\0\0\0\0\0"
                                "\x16"
                                "dray_log_dropped_total"
                                "\x00\x00\x00\x01\x00\x00\x00"
                                "\x06\0\0\0\0\0\0\0";
    struct metrics *sum = metrics_new();
    assert_int_equal(metrics_merge(sum, "a", 1, bytes, sizeof bytes - 1), 0);
    assert_true(metrics_value(sum, METRIC_LOG_DROPPED, NULL) == 6);
    metrics_free(sum);
}

static void test_a_full_buffer_is_told(void **state)
{
    (void)state;
    struct metrics *m = sample();
    struct buf whole = encode(m);
    for (size_t max = 0; max < whole.len; max++) {
        struct buf b;
        buf_init(&b, max);
        assert_int_equal(metrics_encode(m, &b), -1);
        assert_int_equal(b.len, 0);
        buf_fini(&b);
    }
    struct buf small;
    buf_init(&small, 100);
    assert_int_equal(metrics_render(m, &small), -1);
    assert_int_equal(small.len, 0);
    buf_fini(&small);
    buf_fini(&whole);
    metrics_free(m);
}

static void count_visit(const char *const labels[METRICS_LABELS_MAX], double value, void *arg)
{
    double *sum = arg;
    assert_string_equal(labels[0], "q");
    assert_null(labels[2]);
    *sum += value;
}

static void test_visit(void **state)
{
    (void)state;
    struct metrics *m = sample();
    metric_add(metrics_series(m, METRIC_QUEUE_FINISHED, "q", "failed", NULL), 4);
    double sum = 0;
    metrics_visit(m, METRIC_QUEUE_FINISHED, count_visit, &sum);
    assert_true(sum == 7);
    metrics_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_series_are_found_again),
        cmocka_unit_test(test_label_sets_are_bounded),
        cmocka_unit_test(test_renders_each_type),
        cmocka_unit_test(test_renders_histogram_cumulative),
        cmocka_unit_test(test_label_values_are_tamed),
        cmocka_unit_test(test_merge_keeps_what_the_dead_counted),
        cmocka_unit_test(test_merge_of_histograms),
        cmocka_unit_test(test_merge_of_gauges),
        cmocka_unit_test(test_every_cut_and_every_flip_is_survived),
        cmocka_unit_test(test_counts_are_checked_before_they_are_used),
        cmocka_unit_test(test_metrics_of_another_release_are_skipped),
        cmocka_unit_test(test_a_full_buffer_is_told),
        cmocka_unit_test(test_visit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
