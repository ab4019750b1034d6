/* store_marks - see store_marks.h. */
#include "workers/spool/store_marks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/hook.h"
#include "common/base/mem.h"
#include "common/segment/crc32c.h"

#define ENTRY    8
#define OUT_MAX  (64u << 20)
#define FILE_MAX (64u << 20) /* an entry for each of more records than a file can have */

static void put_le(unsigned char *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (unsigned char)(v >> (8 * i));
}

static uint32_t get_le(const unsigned char *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t check_of(uint32_t number, uint32_t offset)
{
    unsigned char both[8];
    put_le(both, number);
    put_le(both + 4, offset);
    return crc32c_add(0, both, sizeof both);
}

static char *name_of(uint32_t number, char dst[32])
{
    snprintf(dst, 32, "%08u.done", number);
    return dst;
}

void store_marks_init(struct store_marks *m)
{
    *m = (struct store_marks){.fd = -1};
    buf_init(&m->out, OUT_MAX);
}

void store_marks_fini(struct store_marks *m)
{
    fd_close(&m->fd);
    buf_fini(&m->out);
    store_marks_forget(m);
}

void store_marks_add(struct store_marks *m, uint32_t offset)
{
    unsigned char entry[4];
    put_le(entry, offset);
    (void)buf_append(&m->out, entry, sizeof entry); /* no memory: it will come again, as a duplicate */
}

static int open_marks(struct store_marks *m, int dir_fd, uint32_t number)
{
    char name[32];
    struct stat st;
    if (m->fd >= 0)
        return 0;
    m->fd = openat(dir_fd, name_of(number, name), O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (m->fd < 0)
        return -1;
    /* A torn entry at the end must not shift those behind it. */
    if (fstat(m->fd, &st) == 0 && st.st_size % ENTRY != 0 && ftruncate(m->fd, st.st_size / ENTRY * ENTRY) < 0)
        return -1;
    return 0;
}

int store_marks_write(struct store_marks *m, int dir_fd, uint32_t number)
{
    unsigned char block[512 * ENTRY];
    while (m->out.len > 0) {
        size_t n = 0;
        HOOK_POINT(spool_unmarked);
        if (open_marks(m, dir_fd, number) < 0)
            return -1;
        for (size_t at = 0; at < m->out.len && n < sizeof block; at += 4, n += ENTRY) {
            uint32_t offset = get_le((const unsigned char *)m->out.data + at);
            put_le(block + n, offset);
            put_le(block + n + 4, check_of(number, offset));
        }
        ssize_t w = write(m->fd, block, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w != (ssize_t)n) { /* cut at an entry when it is opened again */
            int error = w < 0 ? errno : ENOSPC;
            fd_close(&m->fd);
            errno = error;
            return -1;
        }
        buf_consume(&m->out, n / 2);
        HOOK_POINT(spool_marked);
    }
    return 0;
}

static int by_offset(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

void store_marks_read(struct store_marks *m, int dir_fd, uint32_t number)
{
    char name[32];
    struct stat st;
    int fd = openat(dir_fd, name_of(number, name), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    unsigned char *data = NULL;
    if (fd < 0 || fstat(fd, &st) < 0 || st.st_size < ENTRY || st.st_size > (off_t)FILE_MAX ||
        (data = mem_try((size_t)st.st_size)) == NULL || fd_read_full(fd, data, (size_t)st.st_size) < 0) {
        fd_close(&fd);
        free(data);
        return;
    }
    fd_close(&fd);
    size_t n = (size_t)st.st_size / ENTRY;
    m->offsets = mem_try(n * sizeof *m->offsets);
    for (size_t i = 0; m->offsets != NULL && i < n; i++) {
        uint32_t offset = get_le(data + i * ENTRY);
        if (get_le(data + i * ENTRY + 4) == check_of(number, offset))
            m->offsets[m->n++] = offset;
    }
    free(data);
    if (m->n > 1)
        qsort(m->offsets, m->n, sizeof *m->offsets, by_offset);
}

bool store_marks_has(const struct store_marks *m, uint32_t offset)
{
    return m->n > 0 && bsearch(&offset, m->offsets, m->n, sizeof offset, by_offset) != NULL;
}

void store_marks_forget(struct store_marks *m)
{
    free(m->offsets);
    m->offsets = NULL;
    m->n = 0;
}

void store_marks_remove(int dir_fd, uint32_t number)
{
    char name[32];
    (void)unlinkat(dir_fd, name_of(number, name), 0);
}
