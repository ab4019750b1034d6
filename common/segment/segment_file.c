/* segment_file - see segment_file.h.
 *
 * What is read here may be anything: a length is checked against the bytes that remain before it is used, and the
 * search for the next good record behind damage is bounded (the bytes of a record come from outside, and may hold
 * thousands of things that look like a head).
 */
#include "common/segment/segment_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/mem.h"
#include "common/segment/crc32c.h"

#define CRC_AT     16
#define SEARCH_MAX 16 /* times the file's size, in bytes checked while searching */

static const unsigned char magic[4] = {0xd7, 'S', 'E', 'G'};
static const unsigned char gone[4] = {0xd7, 'D', 'E',
                                      'L'}; /* of a record that was removed; its CRC is as it was */

static void put_le(unsigned char *p, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        p[i] = (unsigned char)(v >> (8 * i));
}

static uint64_t get_le(const unsigned char *p, int bytes)
{
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

void segment_file_head(unsigned char head[SEGMENT_FILE_HEAD], uint64_t wall_ms, const struct iovec *pieces,
                       size_t n, size_t len)
{
    memcpy(head, magic, sizeof magic);
    put_le(head + 4, len, 4);
    put_le(head + 8, wall_ms, 8);
    uint32_t crc = crc32c_add(0, head, CRC_AT);
    for (size_t i = 0; i < n; i++)
        crc = crc32c_add(crc, pieces[i].iov_base, pieces[i].iov_len);
    put_le(head + CRC_AT, crc, 4);
}

static bool is_removed(const unsigned char *p)
{
    return memcmp(p, gone, sizeof gone) == 0;
}

/* Length of the good record at p, removed or not; 0 when there is none. *checked grows by the bytes looked at. */
static size_t good_record(const unsigned char *p, size_t left, uint64_t *checked)
{
    if (left < SEGMENT_FILE_HEAD || (memcmp(p, magic, sizeof magic) != 0 && !is_removed(p)))
        return 0;
    size_t len = (size_t)get_le(p + 4, 4);
    if (len > left - SEGMENT_FILE_HEAD)
        return 0;
    *checked += len + SEGMENT_FILE_HEAD;
    uint32_t crc = crc32c_add(0, magic, sizeof magic);
    crc = crc32c_add(crc, p + sizeof magic, CRC_AT - sizeof magic);
    crc = crc32c_add(crc, p + SEGMENT_FILE_HEAD, len);
    return crc == get_le(p + CRC_AT, 4) ? SEGMENT_FILE_HEAD + len : 0;
}

/* First good record at or behind `at`; len when there is none. */
static size_t search(const unsigned char *data, size_t at, size_t len, uint64_t budget, bool *gave_up)
{
    uint64_t checked = 0;
    while (at < len) {
        const unsigned char *p = memmem(data + at, len - at, magic, sizeof magic);
        if (p == NULL)
            return len;
        at = (size_t)(p - data);
        if (good_record(p, len - at, &checked) > 0)
            return at;
        if (checked > budget) {
            *gave_up = true;
            return len;
        }
        at++;
    }
    return len;
}

void segment_file_walk(const unsigned char *data, size_t len, segment_visit_fn fn, void *arg,
                       struct segment_file_walk *out)
{
    *out = (struct segment_file_walk){0};
    uint64_t checked = 0;
    for (size_t at = 0; at < len;) {
        size_t n = good_record(data + at, len - at, &checked);
        if (n == 0) {
            out->damaged++;
            at = search(data, at + 1, len, (uint64_t)len * SEARCH_MAX, &out->gave_up);
            continue;
        }
        out->at = at;
        if (is_removed(data + at)) {
            out->removed++;
        } else {
            if (fn != NULL)
                fn(get_le(data + at + 8, 8), data + at + SEGMENT_FILE_HEAD, n - SEGMENT_FILE_HEAD, arg);
            out->records++;
        }
        at += n;
        out->good_bytes = at;
    }
}

int segment_file_load(int dir_fd, uint32_t number, unsigned char **data, size_t *len)
{
    char name[SEGMENT_FILE_NAME];
    struct stat st;
    int fd = openat(dir_fd, segment_file_name(number, name), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    *data = NULL;
    if (fstat(fd, &st) < 0)
        goto fail;
    if (st.st_size > (off_t)SEGMENT_FILE_MAX) {
        errno = EFBIG;
        goto fail;
    }
    *len = (size_t)st.st_size;
    *data = mem_try(*len);
    if (*data == NULL || fd_read_full(fd, *data, *len) < 0)
        goto fail;
    fd_close(&fd);
    return 0;
fail:
    fd_close(&fd);
    free(*data);
    return -1;
}

long segment_file_remove(int dir_fd, uint32_t number, const size_t *offsets, size_t n)
{
    char name[SEGMENT_FILE_NAME];
    unsigned char *data;
    size_t len;
    uint64_t checked = 0;
    long done = 0;
    int error = 0;
    if (segment_file_load(dir_fd, number, &data, &len) < 0)
        return -1;
    int fd = openat(dir_fd, segment_file_name(number, name), O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        error = errno;
    for (size_t i = 0; i < n && error == 0; i++) {
        const unsigned char *p = data + offsets[i];
        if (offsets[i] >= len || good_record(p, len - offsets[i], &checked) == 0 || is_removed(p))
            continue;
        ssize_t w = pwrite(fd, gone, sizeof gone, (off_t)offsets[i]);
        if (w != (ssize_t)sizeof gone)
            error = w < 0 ? errno : EIO;
        else
            done++;
    }
    if (error == 0 && done > 0 && fdatasync(fd) < 0)
        error = errno;
    free(data);
    fd_close(&fd);
    errno = error;
    return error == 0 ? done : -1;
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static bool number_of(const char *name, uint32_t *out)
{
    if (strlen(name) != SEGMENT_FILE_NAME - 1 || strcmp(name + 8, ".seg") != 0)
        return false;
    uint32_t v = 0;
    for (int i = 0; i < 8; i++) {
        if (name[i] < '0' || name[i] > '9')
            return false;
        v = v * 10 + (uint32_t)(name[i] - '0');
    }
    *out = v;
    return true;
}

long segment_file_list(const char *dir, uint32_t **numbers)
{
    *numbers = NULL;
    DIR *d = opendir(dir);
    if (d == NULL)
        return -1;
    size_t n = 0, cap = 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        uint32_t number;
        if (!number_of(e->d_name, &number))
            continue;
        if (n == cap) {
            cap = cap > 0 ? cap * 2 : 16;
            *numbers = xrealloc(*numbers, cap * sizeof **numbers);
        }
        (*numbers)[n++] = number;
    }
    closedir(d);
    if (n > 1)
        qsort(*numbers, n, sizeof **numbers, by_number);
    return (long)n;
}

char *segment_file_name(uint32_t number, char dst[SEGMENT_FILE_NAME])
{
    snprintf(dst, SEGMENT_FILE_NAME, "%08u.seg", number % 100000000u);
    return dst;
}
