/* cpus - see cpus.h. */
#include "common/base/cpus.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/cgroup.h"
#include "common/base/str.h"

#define MOST_CPUS 65536 /* beyond any kernel's */

/* One number of microseconds at the beginning of text; what follows it is *rest. */
static int take_number(const char *text, uint64_t *out, const char **rest)
{
    char number[24];
    size_t n = strspn(text, "0123456789");
    if (n == 0 || n >= sizeof number)
        return -1;
    memcpy(number, text, n);
    number[n] = '\0';
    *rest = text + n;
    return str_parse_u64(number, out);
}

static bool is_end(const char *s)
{
    return s[strspn(s, "\n ")] == '\0';
}

int cpus_parse_max(const char *text, struct cpus_quota *out)
{
    const char *rest = text;
    *out = (struct cpus_quota){0};
    if (str_starts(text, "max"))
        return 0;
    if (take_number(text, &out->quota_us, &rest) < 0 || out->quota_us == 0 || *rest != ' ' ||
        take_number(rest + 1, &out->period_us, &rest) < 0 || out->period_us == 0 || !is_end(rest)) {
        *out = (struct cpus_quota){0};
        return -1;
    }
    return 0;
}

int cpus_parse_cfs(const char *quota, const char *period, struct cpus_quota *out)
{
    const char *rest = quota;
    *out = (struct cpus_quota){0};
    if (quota[0] == '-')
        return 0;
    if (take_number(quota, &out->quota_us, &rest) < 0 || out->quota_us == 0 || !is_end(rest) ||
        take_number(period, &out->period_us, &rest) < 0 || out->period_us == 0 || !is_end(rest)) {
        *out = (struct cpus_quota){0};
        return -1;
    }
    return 0;
}

static unsigned whole(const struct cpus_quota *q)
{
    uint64_t n = q->quota_us / q->period_us + (q->quota_us % q->period_us != 0);
    return n > MOST_CPUS ? MOST_CPUS : (unsigned)n;
}

void cpus_judge(unsigned online, unsigned affinity, const struct cpus_quota *q, const char *from,
                struct cpus *out)
{
    out->online = online > 0 ? online : affinity > 0 ? affinity : 1;
    out->usable = affinity > 0 ? affinity : out->online;
    if (q->quota_us > 0 && whole(q) < out->usable) {
        out->usable = whole(q);
        snprintf(out->why, sizeof out->why, "%u of %u CPUs: cgroup %s %llu/%llu", out->usable, out->online,
                 from, (unsigned long long)q->quota_us, (unsigned long long)q->period_us);
    } else if (out->usable < out->online) {
        snprintf(out->why, sizeof out->why, "%u of %u CPUs: the others are outside of its affinity",
                 out->usable, out->online);
    } else {
        snprintf(out->why, sizeof out->why, "all of %u CPUs", out->usable);
    }
}

static int read_quota(const struct cgroup *g, struct cpus_quota *q)
{
    char text[128], period[128];
    if (g->v2)
        return cgroup_read(g, "cpu.max", text, sizeof text) == 0 ? cpus_parse_max(text, q) : -1;
    if (cgroup_read(g, "cpu.cfs_quota_us", text, sizeof text) < 0 ||
        cgroup_read(g, "cpu.cfs_period_us", period, sizeof period) < 0)
        return -1;
    return cpus_parse_cfs(text, period, q);
}

/* The smallest quota from the own group upwards. */
static struct cpus_quota smallest(struct cgroup *g)
{
    struct cpus_quota least = {0}, q;
    do {
        if (read_quota(g, &q) < 0 || q.quota_us == 0)
            continue;
        if (least.quota_us == 0 ||
            (double)q.quota_us / (double)q.period_us < (double)least.quota_us / (double)least.period_us)
            least = q;
    } while (cgroup_up(g));
    return least;
}

static unsigned affinity(void)
{
    for (size_t n = 1024; n <= MOST_CPUS;
         n *= 4) { /* the kernel refuses a set that is smaller than its own */
        cpu_set_t *set = CPU_ALLOC(n);
        if (set == NULL)
            return 0;
        int result = sched_getaffinity(0, CPU_ALLOC_SIZE(n), set), error = errno;
        int count = result == 0 ? CPU_COUNT_S(CPU_ALLOC_SIZE(n), set) : 0;
        CPU_FREE(set);
        if (result == 0)
            return count > 0 ? (unsigned)count : 1;
        if (error != EINVAL)
            return 0;
    }
    return 0;
}

void cpus_look(const char *root, struct cpus *out)
{
    struct cpus_quota q = {0};
    struct cgroup g;
    const char *from = "cpu.max";
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    if (cgroup_find(root, 0, "cpu", &g) == 0) {
        from = g.v2 ? "cpu.max" : "cpu.cfs_quota_us";
        q = smallest(&g);
    }
    cpus_judge(online > 0 && online <= MOST_CPUS ? (unsigned)online : 0, affinity(), &q, from, out);
}
