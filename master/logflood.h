/* logflood - how much of what one child says is written: a rate with a burst, and equal lines in a row counted. Pure:
 * the caller brings the clock. */
#ifndef DRAY_MASTER_LOGFLOOD_H
#define DRAY_MASTER_LOGFLOOD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/log.h"

/* ---- rate */

#define LOGFLOOD_TELL_MS 5000

struct logflood {
    double tokens;
    uint64_t last_ms; /* 0: full */
    uint64_t dropped, since_ms;
};

/* May this line be written? per_ms 0: always. Errors may also use up as much as the burst again. */
bool logflood_take(struct logflood *f, uint64_t now_ms, uint64_t count, uint64_t per_ms, uint64_t burst,
                   enum log_level level);
/* Lines dropped that are to be told now (0: none, or not yet), over how long. last: no more will come. */
uint64_t logflood_tell(struct logflood *f, uint64_t now_ms, bool last, uint64_t *over_ms);

/* ---- repetition */

#define LOGREPEAT_FIRST_MS 1000 /* the count is told after so long, and then each LOGREPEAT_NEXT_MS */
#define LOGREPEAT_NEXT_MS  5000

struct logrepeat {
    char line[LOG_LINE_MAX];
    size_t len;
    enum log_level level;
    uint64_t held, since_ms, due_ms;
    bool told; /* once */
};

/* Events each of which counts: what happened to processes, and who asked for what. */
bool logrepeat_is_exempt(const char *tail, size_t len);
/* True: this is the line before once more, and held back. Call logrepeat_tell first when it is not. */
bool logrepeat_is_same(const struct logrepeat *r, enum log_level level, const char *tail, size_t len);
void logrepeat_hold(struct logrepeat *r, uint64_t now_ms);
void logrepeat_remember(struct logrepeat *r, enum log_level level, const char *tail, size_t len);
/* Times the line was held back that are to be told now; last: another line comes, or none. */
uint64_t logrepeat_tell(struct logrepeat *r, uint64_t now_ms, bool last, uint64_t *over_ms);

#endif
