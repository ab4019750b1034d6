/* logerrors - see logerrors.h. */
#include "master/logerrors.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "master/logline.h"

struct warning {
    char event[48];
    uint64_t count, last_ms;
};

struct logerrors {
    struct logerrors_line lines[LOGERRORS_KEPT];
    uint64_t n; /* ever */
    struct warning warnings[LOGERRORS_EVENTS];
    size_t n_warnings;
};

struct logerrors *logerrors_new(void)
{
    return xcalloc(1, sizeof(struct logerrors));
}

void logerrors_free(struct logerrors *e)
{
    free(e);
}

static void count_warning(struct logerrors *e, const char *event)
{
    size_t i = 0;
    while (i < e->n_warnings && strcmp(e->warnings[i].event, event) != 0)
        i++;
    if (i == LOGERRORS_EVENTS) {
        i--;
        str_copy(e->warnings[i].event, "other", sizeof e->warnings[i].event);
    } else if (i == e->n_warnings) {
        e->n_warnings++;
        str_copy(e->warnings[i].event, event, sizeof e->warnings[i].event);
    }
    e->warnings[i].count++;
    e->warnings[i].last_ms = clock_mono_ms();
}

void logerrors_add(struct logerrors *e, enum log_level level, const struct logsink_origin *o,
                   const char *tail, size_t len)
{
    char event[sizeof e->lines[0].event];
    if (level > LOGL_WARN)
        return;
    logline_event(tail, len, event, sizeof event);
    if (level == LOGL_WARN) {
        count_warning(e, event);
        return;
    }
    struct logerrors_line *l = &e->lines[e->n++ % LOGERRORS_KEPT];
    const char *rest = memchr(tail, ' ', len);
    size_t n = rest != NULL ? len - (size_t)(rest + 1 - tail) : 0;
    *l = (struct logerrors_line){.mono_ms = clock_mono_ms(), .level = level, .slot = o->slot};
    str_copy(l->kind, o->kind, sizeof l->kind);
    str_copy(l->event, event, sizeof l->event);
    n = n < sizeof l->text ? n : sizeof l->text - 1;
    while (n > 0 && rest + 1 + n < tail + len && ((unsigned char)rest[1 + n] & 0xc0) == 0x80)
        n--; /* not within a character */
    memcpy(l->text, rest != NULL ? rest + 1 : "", n);
}

void logerrors_each(const struct logerrors *e, void (*fn)(const struct logerrors_line *line, void *arg),
                    void *arg)
{
    for (uint64_t i = 0; i < LOGERRORS_KEPT && i < e->n; i++)
        fn(&e->lines[(e->n - 1 - i) % LOGERRORS_KEPT], arg);
}

void logerrors_each_warning(const struct logerrors *e,
                            void (*fn)(const char *event, uint64_t count, uint64_t last_mono_ms, void *arg),
                            void *arg)
{
    for (size_t i = 0; i < e->n_warnings; i++)
        fn(e->warnings[i].event, e->warnings[i].count, e->warnings[i].last_ms, arg);
}

void logerrors_restore(struct logerrors *e, const struct logerrors_line *line)
{
    e->lines[e->n++ % LOGERRORS_KEPT] = *line;
}
