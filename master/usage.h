/* usage - what each child uses of the machine, as the kernel says, looked at each second. */
#ifndef DRAY_MASTER_USAGE_H
#define DRAY_MASTER_USAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct master;
struct slot;

/* Of one incarnation. */
struct usage {
    uint64_t at_ms; /* monotonic; 0: not looked at yet */
    uint64_t rss_bytes, peak_bytes;
    uint64_t cpu_ms;  /* user and system, since its start */
    double cpu_share; /* of one CPU, between the last two looks */
};

/* Looks at every child, and counts dray_process_cpu_seconds_total. */
void usage_tick(struct master *m);
/* A new incarnation. */
void usage_begin(struct slot *s);

/* The pieces. Resident bytes and CPU time from the text of /proc/PID/stat; pure: 0, or -1. */
int usage_parse_stat(const char *text, long ticks_per_second, long page_bytes, uint64_t *cpu_ms,
                     uint64_t *rss_bytes);
int usage_read(pid_t pid, uint64_t *cpu_ms, uint64_t *rss_bytes);
/* CPU time so far, in steps of the kernel's tick (10 ms); with its children's, of a keeper of programs. 0 when it cannot be
 * read. */
uint64_t usage_cpu_ms(pid_t pid, bool children);

#endif
