/* exitcode_test - the table of exit statuses: unique, classed, named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "common/base/exitcode.h"

static void test_table(void **state)
{
    (void)state;
    static const int codes[] = {
#define X(code, name, class, sentence) code,
#include "common/base/exitcode.def"
#undef X
    };
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        assert_in_range(codes[i], 0, 127); /* above it a shell means signals */
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(codes[i], codes[j]);
        assert_string_not_equal(exitcode_name(codes[i]), "UNKNOWN");
        assert_true(strlen(exitcode_sentence(codes[i])) > 5);
    }
}

static void test_classes(void **state)
{
    (void)state;
    static const int permanent[] = {64, 77, 78, 127}; /* "can never work" */
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(exitcode_class(permanent[i]), EXIT_CLASS_PERMANENT);
    assert_int_equal(exitcode_class(EXIT_CODE_OK), EXIT_CLASS_OK);
    assert_int_equal(exitcode_class(EXIT_CODE_ORPHAN), EXIT_CLASS_OK);
    assert_int_equal(exitcode_class(EXIT_CODE_RETIRED), EXIT_CLASS_IMMEDIATE);
    assert_int_equal(exitcode_class(EXIT_CODE_BUG), EXIT_CLASS_RETRY);
    assert_int_equal(exitcode_class(99), EXIT_CLASS_RETRY);
    assert_int_equal(exitcode_class(-1), EXIT_CLASS_RETRY);
    assert_string_equal(exitcode_name(78), "CONFIG");
    assert_string_equal(exitcode_name(99), "UNKNOWN");
    assert_string_equal(exitcode_sentence(99), "unknown exit code");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_table), cmocka_unit_test(test_classes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
