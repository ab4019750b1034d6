/* program_words_test - what a program says: sd_notify's datagrams, and its output cut into lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "workers/program/capture.h"
#include "workers/program/notify.h"

static void test_notify(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ready, stopping, watchdog;
        const char *status;
    } cases[] = {
        {"READY=1", true, false, false, ""},
        {"READY=1\n", true, false, false, ""},
        {"STATUS=a b\nREADY=1\nMAINPID=1", true, false, false, "a b"},
        {"WATCHDOG=1\nSTOPPING=1", false, true, true, ""},
        {"READY=10", false, false, false, ""},
        {"XREADY=1", false, false, false, ""},
        {"READY=", false, false, false, ""},
        {"STATUS=", false, false, false, ""},
        {"", false, false, false, ""},
        {"\n\n\n", false, false, false, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct notify_news n;
        notify_parse(cases[i].text, strlen(cases[i].text), &n);
        assert_int_equal(n.ready, cases[i].ready);
        assert_int_equal(n.stopping, cases[i].stopping);
        assert_int_equal(n.watchdog, cases[i].watchdog);
        assert_string_equal(n.status, cases[i].status);
    }
    char big[8192];
    struct notify_news n;
    memset(big, 'x', sizeof big);
    memcpy(big, "STATUS=", 7);
    notify_parse(big, sizeof big, &n);
    assert_int_equal(strlen(n.status), NOTIFY_STATUS_MAX - 1);
}

struct seen {
    char text[4096];
    unsigned pieces, cut;
};

static void see(const char *text, size_t len, bool goes_on, void *arg)
{
    struct seen *s = arg;
    strncat(s->text, text, len);
    strcat(s->text, goes_on ? "" : "|");
    s->pieces++;
    s->cut += goes_on;
}

static void test_capture(void **state)
{
    (void)state;
    struct capture c = {.len = 0};
    struct seen s = {.pieces = 0};
    capture_feed(&c, "one\ntw", 6, see, &s);
    capture_feed(&c, "o\r\n\n\nthree", 10, see, &s);
    assert_string_equal(s.text, "one|two|");
    capture_flush(&c, see, &s);
    assert_string_equal(s.text, "one|two|three|");
    capture_flush(&c, see, &s);
    assert_int_equal(s.pieces, 3);
    assert_int_equal(s.cut, 0);
}

/* What log_q would write as four bytes counts as four: no piece is cut by it. */
static void test_pieces_fit_a_log_line(void **state)
{
    (void)state;
    char data[2000];
    struct capture c = {.len = 0};
    struct seen s = {.pieces = 0};
    memset(data, 'a', sizeof data);
    capture_feed(&c, data, sizeof data, see, &s);
    capture_flush(&c, see, &s);
    assert_int_equal(s.pieces, 3);
    assert_int_equal(strlen(s.text), sizeof data + 1);
    s = (struct seen){.pieces = 0};
    memset(data, 1, sizeof data);
    capture_feed(&c, data, sizeof data, see, &s);
    capture_flush(&c, see, &s);
    assert_int_equal(s.pieces, (sizeof data * 4 + CAPTURE_COST_MAX - 1) / CAPTURE_COST_MAX);
    assert_int_equal(s.cut, s.pieces - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_notify),
        cmocka_unit_test(test_capture),
        cmocka_unit_test(test_pieces_fit_a_log_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
