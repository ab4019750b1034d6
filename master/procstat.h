/* procstat - what the kernel says about a process. */
#ifndef DRAY_MASTER_PROCSTAT_H
#define DRAY_MASTER_PROCSTAT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Processor time so far, user and system, in steps of the kernel's tick (10 ms); with its children's, of a keeper of
 * programs. 0 when it cannot be read. */
uint64_t procstat_cpu_ms(pid_t pid, bool children);

#endif
