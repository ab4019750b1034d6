/* usage - see usage.h. */
#include "master/usage.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/fd.h"
#include "master/slot.h"
#include "master/state.h"

int usage_parse_stat(const char *text, long ticks_per_second, long page_bytes, uint64_t *cpu_ms,
                     uint64_t *rss_bytes)
{
    unsigned long long user, system;
    long pages;
    const char *rest = strrchr(text, ')'); /* the name may hold anything */
    if (rest == NULL || ticks_per_second <= 0 ||
        sscanf(rest + 1,
               " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d %*u %*u %ld",
               &user, &system, &pages) != 3 ||
        pages < 0)
        return -1;
    *cpu_ms = (user + system) * 1000 / (unsigned long)ticks_per_second;
    *rss_bytes = (uint64_t)pages * (uint64_t)page_bytes;
    return 0;
}

int usage_read(pid_t pid, uint64_t *cpu_ms, uint64_t *rss_bytes)
{
    char path[32], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = read(fd, text, sizeof text - 1);
    fd_close(&fd);
    if (n <= 0)
        return -1;
    text[n] = '\0';
    return usage_parse_stat(text, sysconf(_SC_CLK_TCK), sysconf(_SC_PAGESIZE), cpu_ms, rss_bytes);
}

uint64_t usage_cpu_ms(pid_t pid, bool children)
{
    char path[64];
    int child;
    uint64_t sum = 0, cpu, rss;
    if (usage_read(pid, &cpu, &rss) == 0)
        sum = cpu;
    if (!children)
        return sum;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    FILE *f = fopen(path, "re");
    while (f != NULL && fscanf(f, "%d", &child) == 1)
        if (usage_read(child, &cpu, &rss) == 0)
            sum += cpu;
    if (f != NULL)
        fclose(f);
    return sum;
}

void usage_begin(struct slot *s)
{
    s->usage = (struct usage){0};
}

static void look(struct slot *s, uint64_t now)
{
    struct usage *u = &s->usage;
    uint64_t cpu, rss, before = u->cpu_ms;
    if (usage_read(s->pid, &cpu, &rss) < 0)
        return;
    if (u->at_ms != 0 && now > u->at_ms)
        u->cpu_share = cpu > before ? (double)(cpu - before) / (double)(now - u->at_ms) : 0;
    u->at_ms = now;
    u->cpu_ms = cpu;
    u->rss_bytes = rss;
    if (rss > u->peak_bytes)
        u->peak_bytes = rss;
    if (cpu > before)
        metric_add(metrics_series(s->master->own, METRIC_CPU_SECONDS, s->kind->name, NULL),
                   (cpu - before) * 1000);
}

void usage_tick(struct master *m)
{
    struct slot *s;
    uint64_t now = clock_mono_ms();
    list_foreach(s, &m->slots, struct slot, link) if (s->pid != 0) look(s, now);
}
