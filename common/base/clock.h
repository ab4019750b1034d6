/* clock - the only reader of clocks. Supervision and time-outs use the monotonic clock; the wall clock is for what
 * people and other hosts read. Both go through one pointer each, so that tests can move time. */
#ifndef DRAY_COMMON_BASE_CLOCK_H
#define DRAY_COMMON_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

uint64_t clock_mono_us(void);
uint64_t clock_mono_ms(void);
uint64_t clock_wall_ms(void); /* since 1970, UTC */
uint64_t clock_cpu_us(void);  /* user + system time of this process */

#define CLOCK_TEXT_SIZE 25 /* "2026-11-21T02:41:28.123Z" + NUL */
/* RFC 3339 UTC with milliseconds. Returns dst. */
char *clock_format_wall(uint64_t wall_ms, char dst[CLOCK_TEXT_SIZE]);

/* The seam: replace what is read (tests). NULL restores the system clock. */
typedef uint64_t (*clock_fn)(void);
void clock_replace(clock_fn mono_us, clock_fn wall_ms);

#endif
