/* clock - see clock.h. */
#include "common/base/clock.h"

#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

static uint64_t read_clock(clockid_t id, uint64_t per_second)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * per_second + (uint64_t)ts.tv_nsec / (1000000000u / per_second);
}

static uint64_t system_mono_us(void)
{
    return read_clock(CLOCK_MONOTONIC, 1000000);
}

static uint64_t system_wall_ms(void)
{
    return read_clock(CLOCK_REALTIME, 1000);
}

static struct {
    clock_fn mono_us, wall_ms;
} source = {system_mono_us, system_wall_ms};

uint64_t clock_mono_us(void)
{
    return source.mono_us();
}

uint64_t clock_mono_ms(void)
{
    return source.mono_us() / 1000;
}

uint64_t clock_wall_ms(void)
{
    return source.wall_ms();
}

uint64_t clock_cpu_us(void)
{
    struct rusage ru;
    getrusage(RUSAGE_SELF, &ru);
    return (uint64_t)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000000 +
           (uint64_t)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec);
}

char *clock_format_wall(uint64_t wall_ms, char dst[CLOCK_TEXT_SIZE])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    size_t n = strftime(dst, CLOCK_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(dst + n, CLOCK_TEXT_SIZE - n, ".%03uZ", (unsigned)(wall_ms % 1000));
    return dst;
}

void clock_replace(clock_fn mono_us, clock_fn wall_ms)
{
    source.mono_us = mono_us != NULL ? mono_us : system_mono_us;
    source.wall_ms = wall_ms != NULL ? wall_ms : system_wall_ms;
}
