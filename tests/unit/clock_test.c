/* clock_test - the seam, the text form, and that the clocks run forward. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <time.h>

#include "common/base/clock.h"

static uint64_t five(void)
{
    return 5000;
}

static uint64_t seven(void)
{
    return 7;
}

static void test_seam(void **state)
{
    (void)state;
    clock_replace(five, seven);
    assert_int_equal(clock_mono_us(), 5000);
    assert_int_equal(clock_mono_ms(), 5);
    assert_int_equal(clock_wall_ms(), 7);
    clock_replace(NULL, NULL);
    uint64_t mono = clock_mono_us();
    assert_true(mono != 5000);
    assert_true(clock_mono_us() >= mono);
    time_t now = time(NULL);
    uint64_t wall = clock_wall_ms() / 1000;
    assert_true(wall + 2 >= (uint64_t)now && wall <= (uint64_t)now + 2);
    uint64_t cpu = clock_cpu_us();
    assert_true(cpu > 0 && clock_cpu_us() >= cpu);
}

static void test_format(void **state)
{
    (void)state;
    static const struct {
        uint64_t ms;
        const char *text;
    } rows[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {951782400007, "2000-02-29T00:00:00.007Z"},
        {1795228888123, "2026-11-21T02:41:28.123Z"},
        {253402300799999, "9999-12-31T23:59:59.999Z"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[CLOCK_TEXT_SIZE];
        assert_string_equal(clock_format_wall(rows[i].ms, text), rows[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_seam), cmocka_unit_test(test_format)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
