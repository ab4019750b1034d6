/* segment_test - records survive; torn, flipped and full files harm nothing but themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/segment/crc32c.h"
#include "common/segment/segment.h"
#include "common/segment/segment_file.h"

static char dir[64];
static uint64_t now_ms;

static uint64_t wall(void)
{
    return now_ms;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void quiet(enum log_level level, const char *line, void *arg)
{
    (void)level;
    (void)line;
    (void)arg;
}

static int setup(void **state)
{
    (void)state;
    log_to_writer(quiet, NULL);
    strcpy(dir, "/tmp/dray-segment-XXXXXX");
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    segment_replace(NULL, NULL);
    clock_replace(NULL, NULL);
    return nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static struct segment *open_small(struct ev_loop *loop)
{
    struct segment_options o = {
        .dir = dir, .segment_bytes = 400, .max_bytes = 4000, .max_age_ms = 0, .record_max = 1000};
    struct segment *s = segment_open(loop, &o);
    assert_non_null(s);
    return s;
}

struct seen {
    char text[4096];
    long records;
};

static void see(uint64_t wall_ms, const void *data, size_t len, void *arg)
{
    struct seen *seen = arg;
    (void)wall_ms;
    size_t at = strlen(seen->text);
    assert_true(at + len + 2 < sizeof seen->text);
    memcpy(seen->text + at, data, len);
    strcpy(seen->text + at + len, " ");
    seen->records++;
}

static uint64_t read_all(struct seen *seen)
{
    uint64_t damaged;
    memset(seen, 0, sizeof *seen);
    long records = segment_read(dir, see, seen, &damaged);
    assert_int_equal(records, seen->records);
    return damaged;
}

static void path_of(unsigned number, char *dst, size_t size)
{
    snprintf(dst, size, "%s/%08u.seg", dir, number);
}

static void put(struct segment *s, const char *text)
{
    assert_int_equal(segment_append(s, text, strlen(text), NULL, NULL), 0);
}

static void test_crc(void **state)
{
    (void)state;
    assert_int_equal(crc32c_add(0, "123456789", 9), 0xe3069283u);
    char bytes[300];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 7);
    for (size_t from = 0; from < 9; from++)
        for (size_t len = 0; len + from < sizeof bytes; len++)
            assert_int_equal(crc32c_add(5, bytes + from, len), crc32c_add_table(5, bytes + from, len));
    assert_int_equal(crc32c_add(crc32c_add(0, "1234", 4), "56789", 5), 0xe3069283u);
}

static void test_round_trip_and_rotation(void **state)
{
    (void)state;
    struct seen seen;
    struct segment *s = open_small(NULL);
    char text[64];
    for (int i = 0; i < 30; i++) {
        snprintf(text, sizeof text, "record-%02d-..................................", i);
        put(s, text);
    }
    uint64_t bytes = segment_bytes(s);
    segment_close(s);
    assert_int_equal(read_all(&seen), 0);
    assert_int_equal(seen.records, 30);
    assert_non_null(strstr(seen.text, "record-00"));
    assert_true(strstr(seen.text, "record-09") < strstr(seen.text, "record-10"));
    struct stat st;
    path_of(2, text, sizeof text);
    assert_int_equal(stat(text, &st), 0);
    s = open_small(NULL);
    assert_int_equal(segment_bytes(s), bytes);
    assert_int_equal(segment_damaged(s), 0);
    segment_close(s);
}

static void test_one_writer(void **state)
{
    (void)state;
    struct segment *s = open_small(NULL);
    struct segment_options o = {.dir = dir, .segment_bytes = 400, .max_bytes = 4000, .record_max = 1000};
    assert_null(segment_open(NULL, &o));
    assert_int_equal(errno, EWOULDBLOCK);
    segment_close(s);
}

/* The last file, cut at every length, gives back exactly the whole records before the cut, and takes new ones. */
static void test_truncated_everywhere(void **state)
{
    (void)state;
    char path[96], whole[200];
    struct segment *s = open_small(NULL);
    put(s, "aaa");
    put(s, "bbbb");
    put(s, "cc");
    segment_close(s);
    path_of(1, path, sizeof path);
    int fd = open(path, O_RDONLY);
    ssize_t len = read(fd, whole, sizeof whole);
    close(fd);
    assert_int_equal(len, 3 * SEGMENT_FILE_HEAD + 9);
    for (ssize_t cut = 0; cut < len; cut++) {
        fd = open(path, O_WRONLY | O_TRUNC);
        assert_int_equal(write(fd, whole, (size_t)cut), cut);
        close(fd);
        s = open_small(NULL);
        int records = cut >= 2 * SEGMENT_FILE_HEAD + 7 ? 2 : cut >= SEGMENT_FILE_HEAD + 3 ? 1 : 0;
        bool torn = cut != 0 && cut != SEGMENT_FILE_HEAD + 3 && cut != 2 * SEGMENT_FILE_HEAD + 7;
        assert_int_equal(segment_damaged(s), torn);
        put(s, "new");
        segment_close(s);
        struct seen seen;
        assert_int_equal(read_all(&seen), 0);
        assert_string_equal(seen.text, records == 2 ? "aaa bbbb new " : records == 1 ? "aaa new " : "new ");
    }
}

/* One flipped bit anywhere costs the record it is in, and no other. */
static void test_flipped_everywhere(void **state)
{
    (void)state;
    char path[96], whole[200];
    struct segment *s = open_small(NULL);
    put(s, "aaa");
    put(s, "bbbb");
    put(s, "cc");
    segment_close(s);
    path_of(1, path, sizeof path);
    int fd = open(path, O_RDWR);
    ssize_t len = read(fd, whole, sizeof whole);
    for (ssize_t at = 0; at < len; at++) {
        for (int bit = 0; bit < 8; bit++) {
            char bad = (char)(whole[at] ^ (1 << bit));
            assert_int_equal(pwrite(fd, &bad, 1, at), 1);
            struct seen seen;
            assert_int_equal(read_all(&seen), 1);
            int in = at < SEGMENT_FILE_HEAD + 3 ? 0 : at < 2 * SEGMENT_FILE_HEAD + 7 ? 1 : 2;
            assert_string_equal(seen.text, in == 0 ? "bbbb cc " : in == 1 ? "aaa cc " : "aaa bbbb ");
        }
        assert_int_equal(pwrite(fd, whole + at, 1, at), 1);
    }
    close(fd);
}

/* Bytes that look like thousands of records cost bounded time, and records behind them are found while it lasts. */
static void test_hostile_content(void **state)
{
    (void)state;
    size_t len = 1 << 20;
    unsigned char *data = xmalloc(len);
    unsigned char fake[SEGMENT_FILE_HEAD];
    struct iovec piece = {data, 300000};
    segment_file_head(fake, 1, &piece, 1, 300000);
    fake[16] ^= 1;
    for (size_t i = 0; i < len; i++)
        data[i] = fake[i % sizeof fake];
    struct segment_file_walk walk;
    segment_file_walk(data, len, NULL, NULL, &walk);
    assert_int_equal(walk.records, 0);
    assert_int_equal(walk.damaged, 1);
    assert_true(walk.gave_up);
    free(data);
}

static void test_bounds(void **state)
{
    (void)state;
    struct segment *s = open_small(NULL);
    char big[1001] = {0};
    errno = 0;
    assert_int_equal(segment_append(s, big, sizeof big, NULL, NULL), -1);
    assert_int_equal(errno, EMSGSIZE);
    int n = 0;
    while (segment_append(s, big, 400, NULL, NULL) == 0)
        n++;
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(n, 4000 / 420);
    assert_true(segment_bytes(s) <= 4000);
    segment_close(s);
}

static void test_age(void **state)
{
    (void)state;
    struct seen seen;
    now_ms = 2000000000000ull;
    clock_replace(NULL, wall);
    struct segment_options o = {
        .dir = dir, .segment_bytes = 20, .max_bytes = 4000, .max_age_ms = 1000, .record_max = 1000};
    struct segment *s = segment_open(NULL, &o);
    put(s, "old");
    now_ms += 600;
    put(s, "newer");
    now_ms += 600;
    segment_expire(s);
    read_all(&seen);
    assert_string_equal(seen.text, "newer ");
    now_ms += 1000;
    put(s, "last");
    read_all(&seen);
    assert_string_equal(seen.text, "last ");
    assert_int_equal(segment_bytes(s), SEGMENT_FILE_HEAD + 4);
    segment_close(s);
}

static int writes_left;
static ssize_t full_write(int fd, const struct iovec *iov, int n)
{
    (void)n;
    if (writes_left-- > 0)
        return write(fd, iov[0].iov_base, iov[0].iov_len > 7 ? 7 : iov[0].iov_len); /* short writes */
    errno = ENOSPC;
    return -1;
}

static int sync_result;
static int bad_sync(int fd)
{
    (void)fd;
    errno = EIO;
    return sync_result;
}

static void test_disk_full(void **state)
{
    (void)state;
    struct seen seen;
    struct segment *s = open_small(NULL);
    put(s, "before");
    for (int after = 0; after < 5; after++) {
        segment_replace(full_write, NULL);
        writes_left = after;
        assert_int_equal(segment_append(s, "does not fit in here", 20, NULL, NULL), -1);
        assert_int_equal(errno, ENOSPC);
        segment_replace(NULL, NULL);
    }
    writes_left = 100;
    segment_replace(full_write, NULL);
    put(s, "in pieces");
    segment_replace(NULL, NULL);
    put(s, "after");
    segment_close(s);
    assert_int_equal(read_all(&seen), 0);
    assert_string_equal(seen.text, "before in pieces after ");
}

struct synced {
    int calls, error;
};

static void on_synced(void *arg, int error)
{
    struct synced *y = arg;
    y->calls++;
    if (error != 0)
        y->error = error;
}

static void wait_for(struct ev_loop *loop, const int *value, int want)
{
    ev_ref(loop); /* the store's watchers do not keep the loop alive */
    while (*value < want)
        ev_run(loop, EVRUN_ONCE);
    ev_unref(loop);
}

static void test_helper_thread(void **state)
{
    (void)state;
    struct seen seen;
    struct ev_loop *loop = ev_loop_new(0);
    struct synced y = {0, 0};
    struct segment *s = open_small(loop);
    for (int i = 0; i < 50; i++)
        assert_int_equal(segment_append(s, "threaded", 8, on_synced, &y), 0);
    assert_int_equal(y.calls, 0); /* never from inside */
    wait_for(loop, &y.calls, 50);
    assert_int_equal(y.error, 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(segment_append(s, "closing", 7, on_synced, &y), 0);
    segment_close(s);
    assert_int_equal(y.calls, 55);
    ev_loop_destroy(loop);
    assert_int_equal(read_all(&seen), 0);
    assert_int_equal(seen.records, 55);
}

/* After a failed fsync nothing more goes to that file; the next record is durable in another one. */
static void test_failed_sync(void **state)
{
    (void)state;
    char path[96];
    struct stat st;
    struct ev_loop *loop = ev_loop_new(0);
    struct synced y = {0, 0};
    sync_result = -1;
    segment_replace(NULL, bad_sync);
    struct segment *s = open_small(loop);
    assert_int_equal(segment_append(s, "lost", 4, on_synced, &y), 0);
    wait_for(loop, &y.calls, 1);
    assert_int_equal(y.error, EIO);
    sync_result = 0;
    y = (struct synced){0, 0};
    assert_int_equal(segment_append(s, "kept", 4, on_synced, &y), 0);
    wait_for(loop, &y.calls, 1);
    assert_int_equal(y.error, 0);
    segment_close(s);
    path_of(2, path, sizeof path);
    assert_int_equal(stat(path, &st), 0);
    ev_loop_destroy(loop);
}

/* kill -9 while writing: every record told to be durable is there. */
static void test_killed(void **state)
{
    (void)state;
    for (int round = 0; round < 10; round++) {
        int pipes[2];
        assert_int_equal(pipe(pipes), 0);
        pid_t pid = fork();
        if (pid == 0) {
            struct segment_options o = {
                .dir = dir, .segment_bytes = 4000, .max_bytes = 1 << 30, .record_max = 1000};
            struct segment *s = segment_open(NULL, &o);
            for (unsigned i = 0; s != NULL; i++) {
                char text[32];
                int n = snprintf(text, sizeof text, "r%d-%u;", round, i);
                if (segment_append(s, text, (size_t)n, NULL, NULL) < 0 || write(pipes[1], &i, sizeof i) < 0)
                    break;
            }
            _exit(1);
        }
        close(pipes[1]);
        unsigned last = 0;
        while (read(pipes[0], &last, sizeof last) == sizeof last && last < 20u + (unsigned)round * 7)
            ;
        kill(pid, SIGKILL);
        while (read(pipes[0], &last, sizeof last) == sizeof last)
            ;
        close(pipes[0]);
        int status;
        waitpid(pid, &status, 0);
        assert_true(WIFSIGNALED(status));
        long before = 0;
        uint64_t damaged;
        before = segment_read(dir, NULL, NULL, &damaged);
        assert_true(before >= (long)last + 1);
        assert_true(damaged <= 1);
        uint32_t *numbers;
        long n = segment_file_list(dir, &numbers);
        for (long i = 0; i < n; i++) {
            char path[96];
            path_of(numbers[i], path, sizeof path);
            unlink(path);
        }
        free(numbers);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_crc, setup, teardown),
        cmocka_unit_test_setup_teardown(test_round_trip_and_rotation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_writer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_truncated_everywhere, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flipped_everywhere, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hostile_content, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_age, setup, teardown),
        cmocka_unit_test_setup_teardown(test_disk_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_helper_thread, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failed_sync, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
