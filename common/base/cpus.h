/* cpus - how many CPUs this process may use, and why: its affinity and the quota of its control group, or of one above
 * it, whichever is less. A quota that is no whole number counts as the next one: 1.5 CPUs are used by two processes. */
#ifndef DRAY_COMMON_BASE_CPUS_H
#define DRAY_COMMON_BASE_CPUS_H

#include <stdint.h>

struct cpus {
    unsigned usable, online; /* 1 or more each */
    char why[160];           /* "2 of 64 CPUs: cgroup cpu.max 150000/100000" */
};

/* A quota: so much time in each period, both in microseconds; quota 0: none is set. */
struct cpus_quota {
    uint64_t quota_us, period_us;
};

/* Looks. root: "" or, in tests, where /proc and /sys are instead. Never fails: what cannot be read limits nothing. */
void cpus_look(const char *root, struct cpus *out);

/* The pieces, pure. The text of cpu.max, or of cpu.cfs_quota_us and cpu.cfs_period_us: 0, or -1. */
int cpus_parse_max(const char *text, struct cpus_quota *out);
int cpus_parse_cfs(const char *quota, const char *period, struct cpus_quota *out);
/* affinity 0: unknown. from: the file's name, for why. */
void cpus_judge(unsigned online, unsigned affinity, const struct cpus_quota *q, const char *from,
                struct cpus *out);

#endif
