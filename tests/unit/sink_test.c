/* sink_book: which events count, which are duplicates, what the record holds. sink_main: wrong command lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <libdeflate.h>
#include <stdio.h>
#include <string.h>

#include "common/base/exitcode.h"
#include "master/cli/cli.h"
#include "master/cli/sink_book.h"

static struct sink_book_request request(const char *body, int status)
{
    return (struct sink_book_request){.wall_ms = 1795230000123u,
                                      .path = "/v1/batch",
                                      .idempotency_key = "b1",
                                      .auth = NULL,
                                      .body = body,
                                      .len = strlen(body),
                                      .status = status,
                                      .outcome = status == 0 ? "hung" : "answered"};
}

static void test_counts(void **state)
{
    static const struct {
        const char *body;
        int status;
        struct sink_book_counts after; /* bytes are not compared */
    } rows[] = {
        {"{\"batch\":[{\"messageId\":\"a\"},{\"messageId\":\"b\"}]}", 200, {1, 2, 2, 0, 0, 0, 0, 0, 0}},
        {"{\"batch\":[{\"messageId\":\"b\"},{\"messageId\":\"c\"}]}", 200, {2, 4, 3, 1, 0, 0, 0, 0, 0}},
        {"{\"batch\":[{\"messageId\":\"d\"}]}", 500, {3, 4, 3, 1, 1, 0, 0, 0, 0}}, /* refused: not taken */
        {"{\"batch\":[{\"messageId\":\"d\"}]}", 0, {4, 4, 3, 1, 1, 1, 0, 0, 0}},
        {"{\"batch\":[{\"messageId\":\"d\"}]}", 204, {5, 5, 4, 1, 1, 1, 0, 0, 0}},
        {"{\"messageId\":\"e\"}", 200, {6, 6, 5, 1, 1, 1, 0, 0, 0}}, /* one event that is no batch */
        {"{\"batch\":[{\"x\":1},7,{\"messageId\":3}]}", 200, {7, 9, 5, 1, 1, 1, 0, 3, 0}},
        {"{\"batch\":[", 200, {8, 9, 5, 1, 1, 1, 1, 3, 0}},
        {"", 200, {9, 9, 5, 1, 1, 1, 2, 3, 0}},
        {"[1,2]", 200, {10, 9, 5, 1, 1, 1, 2, 3, 0}},
        {"{\"batch\":[]}", 200, {11, 9, 5, 1, 1, 1, 2, 3, 0}},
    };
    struct sink_book *b = sink_book_new(true);

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sink_book_request r = request(rows[i].body, rows[i].status);
        struct sink_book_counts c;

        assert_int_equal(sink_book_note(b, &r, NULL), 0);
        c = *sink_book_counts(b);
        c.bytes = 0;
        if (memcmp(&c, &rows[i].after, sizeof(c)) != 0)
            fail_msg("row %zu", i);
    }
    sink_book_free(b);
}

static void test_many_ids(void **state)
{
    struct sink_book *b = sink_book_new(true);
    char body[96];

    (void)state;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < 20000; i++) {
            struct sink_book_request r;

            snprintf(body, sizeof(body), "{\"batch\":[{\"messageId\":\"m-%d\"}]}", i);
            r = request(body, 200);
            assert_int_equal(sink_book_note(b, &r, NULL), 0);
        }
    assert_int_equal(sink_book_counts(b)->events, 40000);
    assert_int_equal(sink_book_counts(b)->distinct, 20000);
    assert_int_equal(sink_book_counts(b)->duplicates, 20000);
    sink_book_free(b);
}

static void test_record(void **state)
{
    struct sink_book *b = sink_book_new(false);
    struct sink_book_request r = request("{\"batch\":[{\"a\" :\n1.0},\"\\u00e9\"] , \"sentAt\":\"S\"}", 200);
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    assert_int_equal(sink_book_note(b, &r, &out), 0);
    assert_string_equal(
        buf_cstr(&out),
        "{\"ts\":\"2026-11-21T03:00:00.123Z\",\"status\":200,\"outcome\":\"answered\",\"path\":\"/v1/batch\","
        "\"idempotency_key\":\"b1\",\"auth\":null,\"user_agent\":null,\"content_type\":null,\"bytes\":47,"
        "\"sent_at\":\"S\",\"events\":[{\"a\" : 1.0},\"\\u00e9\"]}\n");
    buf_reset(&out);
    r = request("nonsense", 0);
    r.auth = "Basic \"x\"";
    assert_int_equal(sink_book_note(b, &r, &out), 0);
    assert_non_null(strstr(buf_cstr(&out), "\"auth\":\"Basic \\\"x\\\"\""));
    assert_non_null(strstr(buf_cstr(&out), "\"malformed\":true,\"events\":[]}\n"));
    buf_fini(&out);
    /* A line that does not fit leaves nothing half-written, and is counted. */
    buf_init(&out, 300);
    r = request("{\"batch\":[\"0123456789012345678901234567890123456789012345678901234567890123456789\","
                "\"0123456789012345678901234567890123456789012345678901234567890123456789\"]}",
                200);
    assert_int_equal(sink_book_note(b, &r, &out), -1);
    assert_int_equal(out.len, 0);
    assert_int_equal(sink_book_counts(b)->requests, 3);
    assert_int_equal(sink_book_counts(b)->distinct, 0);
    buf_fini(&out);
    sink_book_free(b);
}

static void test_gzip(void **state)
{
    static char plain[300000];
    char packed[20000];
    struct libdeflate_compressor *z = libdeflate_alloc_compressor(6);
    struct sink_book *b = sink_book_new(true);
    struct sink_book_request r;

    (void)state;
    strcpy(plain, "{\"batch\":[{\"messageId\":\"z\"}");
    while (strlen(plain) < sizeof(plain) - 64)
        memset(plain + strlen(plain), ' ', 4096 < sizeof(plain) - 64 - strlen(plain) ? 4096 : 1);
    strcat(plain, "]}");
    r = request(plain, 200);
    r.gzip = true;
    r.len = libdeflate_gzip_compress(z, plain, strlen(plain), packed, sizeof(packed));
    assert_true(r.len > 0);
    r.body = packed;
    assert_int_equal(sink_book_note(b, &r, NULL), 0);
    assert_int_equal(sink_book_counts(b)->distinct, 1);
    assert_int_equal(sink_book_counts(b)->bytes, strlen(plain));
    r.len /= 2;
    assert_int_equal(sink_book_note(b, &r, NULL), 0);
    assert_int_equal(sink_book_counts(b)->malformed, 1);
    libdeflate_free_compressor(z);
    sink_book_free(b);
}

static void test_stats(void **state)
{
    struct sink_book *b = sink_book_new(true);
    struct sink_book_request r = request("{\"messageId\":\"a\"}", 200);
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    assert_int_equal(sink_book_note(b, &r, NULL), 0);
    assert_int_equal(sink_book_stats(b, &out), 0);
    assert_string_equal(
        buf_cstr(&out),
        "{\"requests\":1,\"events\":1,\"distinct\":1,\"duplicates\":0,\"failed\":0,\"unanswered\":0,"
        "\"malformed\":0,\"without_id\":0,\"bytes\":17}\n");
    buf_fini(&out);
    sink_book_free(b);
}

static void test_wrong_command_lines(void **state)
{
    static const char *const rows[][3] = {
        {"--fail-rate", "1.5"},  {"--fail-rate", "x"},   {"--status", "99"},        {"--status", "600"},
        {"--delay", "soon"},     {"--retry-after", "x"}, {"--hang-rate", "-1"},     {"--cut-rate", "nan"},
        {"--listen", "nowhere"}, {"surplus", NULL},      {"--no-such-thing", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char name[] = "sink", a[32], b[32], *argv[] = {name, a, b, NULL};
        int argc = rows[i][1] != NULL ? 3 : 2;

        snprintf(a, sizeof(a), "%s", rows[i][0]);
        snprintf(b, sizeof(b), "%s", rows[i][1] != NULL ? rows[i][1] : "");
        argv[argc] = NULL;
        optind = 0;
        if (sink_main(argc, argv) != EXIT_CODE_USAGE)
            fail_msg("%s %s", rows[i][0], b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts), cmocka_unit_test(test_many_ids),
        cmocka_unit_test(test_record), cmocka_unit_test(test_gzip),
        cmocka_unit_test(test_stats),  cmocka_unit_test(test_wrong_command_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
