/* segment_file - one file of a store: the form of a record, and the walk over a file that may be damaged. */
#ifndef DRAY_COMMON_SEGMENT_SEGMENT_FILE_H
#define DRAY_COMMON_SEGMENT_SEGMENT_FILE_H

#include <stdbool.h>
#include <sys/uio.h>

#include "common/segment/segment.h"

#define SEGMENT_FILE_HEAD 20 /* magic 4, length 4, wall_ms 8, CRC 4; little-endian */
#define SEGMENT_FILE_NAME 13 /* "00000001.seg" + NUL */

void segment_file_head(unsigned char head[SEGMENT_FILE_HEAD], uint64_t wall_ms, const struct iovec *pieces,
                       size_t n, size_t len);

/* The bytes of a file, malloc'ed; -1 with errno. A file that vanishes meanwhile (ENOENT) has expired. */
int segment_file_load(int dir_fd, uint32_t number, unsigned char **data, size_t *len);
/* Marks the good records at these offsets as removed: they are skipped from now on. One write of four bytes each, so that
 * it can be done beside the writer of the folder. Returns how many were there and not removed before, or -1. */
long segment_file_remove(int dir_fd, uint32_t number, const size_t *offsets, size_t n);

struct segment_file_walk {
    size_t at;    /* inside fn: the record's offset */
    long removed; /* records that were */
    long records;
    uint64_t damaged;  /* stretches of bytes that are no good record */
    size_t good_bytes; /* up to the end of the last good record */
    bool gave_up;      /* too much damage to search through: the rest was counted as one damaged record */
};
/* Visits the good records of a file's bytes. fn may be NULL. */
void segment_file_walk(const unsigned char *data, size_t len, segment_visit_fn fn, void *arg,
                       struct segment_file_walk *out);

/* The numbers of the files in dir, ascending, malloc'ed; -1 with errno. */
long segment_file_list(const char *dir, uint32_t **numbers);
char *segment_file_name(uint32_t number, char dst[SEGMENT_FILE_NAME]);

#endif
