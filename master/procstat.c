/* procstat - see procstat.h. */
#include "master/procstat.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static uint64_t cpu_ms(pid_t pid)
{
    char path[64], text[1024];
    unsigned long long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return 0;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = '\0';
    const char *rest = strrchr(text, ')'); /* the name may hold anything */
    if (rest == NULL ||
        sscanf(rest, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &system) != 2)
        return 0;
    return (user + system) * 1000 / (unsigned long long)sysconf(_SC_CLK_TCK);
}

uint64_t procstat_cpu_ms(pid_t pid, bool children)
{
    char path[64];
    int child;
    uint64_t sum = cpu_ms(pid);
    if (!children)
        return sum;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    FILE *f = fopen(path, "re");
    while (f != NULL && fscanf(f, "%d", &child) == 1)
        sum += cpu_ms(child);
    if (f != NULL)
        fclose(f);
    return sum;
}
