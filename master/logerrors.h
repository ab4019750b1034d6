/* logerrors - the last lines of level error and worse, and how often each event was a warning: for `dray status`. */
#ifndef DRAY_MASTER_LOGERRORS_H
#define DRAY_MASTER_LOGERRORS_H

#include <stdint.h>

#include "master/logform.h"

#define LOGERRORS_KEPT   32
#define LOGERRORS_EVENTS 64 /* kinds of warnings that are counted one by one; the rest together, as "other" */

struct logerrors;

struct logerrors_line {
    uint64_t mono_ms;
    enum log_level level;
    char kind[24];
    unsigned slot;
    char event[48], text[240]; /* text: what stands behind the event, cut */
};

struct logerrors *logerrors_new(void);
void logerrors_free(struct logerrors *e);
void logerrors_add(struct logerrors *e, enum log_level level, const struct logsink_origin *o,
                   const char *tail, size_t len);
/* Newest first. */
void logerrors_each(const struct logerrors *e, void (*fn)(const struct logerrors_line *line, void *arg),
                    void *arg);
void logerrors_each_warning(const struct logerrors *e,
                            void (*fn)(const char *event, uint64_t count, uint64_t last_mono_ms, void *arg),
                            void *arg);

/* A line of a predecessor in this process, oldest first. */
void logerrors_restore(struct logerrors *e, const struct logerrors_line *line);

#endif
