/* store_marks - which records of one file are done: NNNNNNNN.done, an entry of eight bytes each (offset and CRC32C of
 * file number and offset; little-endian). Used by store.c alone. */
#ifndef DRAY_WORKERS_SPOOL_STORE_MARKS_H
#define DRAY_WORKERS_SPOOL_STORE_MARKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"

struct store_marks {
    struct buf out;    /* offsets that are not written yet */
    uint32_t *offsets; /* read back; ascending */
    size_t n;
    int fd;
};

void store_marks_init(struct store_marks *m);
void store_marks_fini(struct store_marks *m);
void store_marks_add(struct store_marks *m, uint32_t offset);
/* -1 with errno: what is not written is kept for the next call. */
int store_marks_write(struct store_marks *m, int dir_fd, uint32_t number);
/* What is damaged in the file counts for nothing. */
void store_marks_read(struct store_marks *m, int dir_fd, uint32_t number);
bool store_marks_has(const struct store_marks *m, uint32_t offset);
void store_marks_forget(struct store_marks *m); /* what was read */
void store_marks_remove(int dir_fd, uint32_t number);

#endif
