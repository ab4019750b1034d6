/* quarantine_test - what is put is read back byte for byte; a full one refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/quarantine/quarantine.h"

static char root[64];

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static int setup(void **state)
{
    (void)state;
    strcpy(root, "/tmp/dray-quarantine-XXXXXX");
    return mkdtemp(root) == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static struct quarantine *open_slot(const char *name, uint64_t max_bytes)
{
    char dir[128];
    snprintf(dir, sizeof dir, "%s/%s", root, name);
    return quarantine_open(NULL, dir, max_bytes, 0);
}

struct seen {
    char text[1024];
    int n;
};

static void see(const struct quarantine_record *r, void *arg)
{
    struct seen *seen = arg;
    size_t at = strlen(seen->text);
    snprintf(seen->text + at, sizeof seen->text - at, "[%s|%s|%s|%s|%.*s]", r->reason, r->source, r->queue,
             r->id, (int)r->len, (const char *)r->bytes);
    assert_true(r->wall_ms > 1600000000000ull);
    seen->n++;
}

static int synced_calls;
static void synced(void *arg, int error)
{
    (void)arg;
    assert_int_equal(error, 0);
    synced_calls++;
}

static void test_round_trip(void **state)
{
    (void)state;
    struct quarantine *a = open_slot("ingest.0", 1 << 20), *b = open_slot("ingest.1", 1 << 20);
    synced_calls = 0;
    assert_int_equal(quarantine_put(a, "not_object", "we\"b\n", "", "", "null\n{", 6, synced, NULL), 0);
    assert_int_equal(quarantine_put(b, "poison", "web", "warehouse", "b123", "", 0, synced, NULL), 0);
    assert_int_equal(synced_calls, 2);
    assert_true(quarantine_bytes(a) > 6);
    quarantine_close(a);
    quarantine_close(b);
    struct seen seen = {{0}, 0};
    assert_int_equal(quarantine_read(root, see, &seen), 2);
    assert_int_equal(seen.n, 2);
    assert_string_equal(seen.text, "[not_object|we\"b\n|||null\n{][poison|web|warehouse|b123|]");
}

static void test_full(void **state)
{
    (void)state;
    struct quarantine *q = open_slot("ingest.0", 65536);
    char bytes[1000] = {0};
    int n = 0;
    while (quarantine_put(q, "too_big", "web", "", "", bytes, sizeof bytes, NULL, NULL) == 0)
        n++;
    assert_int_equal(errno, ENOSPC);
    assert_in_range(n, 50, 65);
    quarantine_close(q);
    struct seen seen = {{0}, 0};
    assert_int_equal(quarantine_read(root, NULL, &seen), n);
}

static void test_nothing_there(void **state)
{
    (void)state;
    assert_int_equal(quarantine_read("/tmp/dray-no-such-folder", see, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full, setup, teardown),
        cmocka_unit_test(test_nothing_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
