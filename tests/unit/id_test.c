/* id_test - batch ids and uuids: form, order by time, no repetition; randomness below a bound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/id.h"
#include "common/base/map.h"

static uint64_t now_ms = 1800000000000;

static uint64_t fake_wall(void)
{
    return now_ms;
}

static void test_batch_ids(void **state)
{
    (void)state;
    struct map *seen = map_new();
    char before[ID_SIZE] = "", id[ID_SIZE];
    clock_replace(NULL, fake_wall);
    for (int i = 0; i < 20000; i++) {
        if (i % 100 == 0)
            now_ms += 1 + (uint64_t)i * 1000;
        id_new(id);
        assert_int_equal(strlen(id), ID_SIZE - 1);
        assert_true(id_valid(id, strlen(id)));
        assert_int_equal(id[0], 'b');
        assert_null(strchr(id, ':'));
        if (i % 100 == 0)
            assert_true(strncmp(id, before, 10) > 0); /* a later millisecond sorts behind */
        memcpy(before, id, sizeof id);
        assert_null(map_put(seen, id, ID_SIZE - 1, seen));
    }
    clock_replace(NULL, NULL);
    map_free(seen);
}

static void test_validity(void **state)
{
    (void)state;
    char id[ID_SIZE];
    id_new(id);
    assert_false(id_valid(id, ID_SIZE - 2));
    assert_false(id_valid("", 0));
    static const char bad[] = {'\0', ':', 'i', 'l', 'o', 'u', 'A', ' '};
    for (size_t i = 0; i < sizeof bad; i++) {
        char copy[ID_SIZE];
        memcpy(copy, id, sizeof id);
        copy[12] = bad[i];
        assert_false(id_valid(copy, ID_SIZE - 1));
    }
    id[0] = '1'; /* a number at the front could become a number altogether */
    assert_false(id_valid(id, ID_SIZE - 1));
}

static void test_uuids(void **state)
{
    (void)state;
    struct map *seen = map_new();
    for (int i = 0; i < 5000; i++) {
        char u[UUID_SIZE];
        id_uuid4(u);
        assert_int_equal(strlen(u), UUID_SIZE - 1);
        for (int j = 0; j < UUID_SIZE - 1; j++)
            if (j == 8 || j == 13 || j == 18 || j == 23)
                assert_int_equal(u[j], '-');
            else
                assert_true(isxdigit((unsigned char)u[j]) && !isupper((unsigned char)u[j]));
        assert_int_equal(u[14], '4');
        assert_non_null(strchr("89ab", u[19]));
        assert_null(map_put(seen, u, UUID_SIZE - 1, seen));
    }
    map_free(seen);
}

static void test_random(void **state)
{
    (void)state;
    unsigned hits[7] = {0};
    for (int i = 0; i < 7000; i++) {
        uint64_t v = id_random_below(7);
        assert_true(v < 7);
        hits[v]++;
    }
    for (int i = 0; i < 7; i++) /* 1000 expected, deviation 29: ten of them */
        assert_in_range(hits[i], 710, 1290);
    assert_true(id_random_below(1) == 0);
    unsigned char *big = calloc(1, 20000), zero[64] = {0};
    id_random(big, 20000); /* more than one fill of the pool */
    for (size_t i = 0; i + sizeof zero <= 20000; i += sizeof zero)
        assert_memory_not_equal(big + i, zero, sizeof zero);
    free(big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batch_ids),
        cmocka_unit_test(test_validity),
        cmocka_unit_test(test_uuids),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
