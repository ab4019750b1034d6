/* flush - see flush.h. */
#include "master/flush.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "ipc/chan.h"
#include "master/state.h"

struct flush {
    struct list link; /* master.flushes */
    uint32_t id;
    bool said;   /* by one of those asked last: it is not just gone */
    bool second; /* what ingest held may lie in the spool by now: that is asked */
    size_t n; /* generations that have not answered */
    uint32_t *generations;
    void (*done)(void *arg);
    void *arg;
};

/* First all that send and receive from nobody, then those that also receive: what goes from the first to the second is
 * waited for there. */
static void ask(struct master *m, struct flush *f)
{
    struct slot *s;
    size_t slots = 0;
    list_foreach(s, &m->slots, struct slot, link) slots++;
    free(f->generations);
    f->generations = xcalloc(slots + 1, sizeof *f->generations);
    f->id = ++m->last_flush;
    list_foreach(s, &m->slots, struct slot, link)
    {
        const struct msg msg = {.type = MSG_FLUSH, .generation = s->generation, .u.flush.id = f->id};
        /* One that was never ready has taken in nothing; one that does not read any more is about to be ended. */
        if (!s->kind->sends || s->kind->receives != f->second || s->ready_ms == 0 || s->chan == NULL)
            continue;
        f->generations[f->n++] = s->generation;
        if (chan_send(s->chan, &msg, NULL, 0) < 0)
            log_warn("flush_unsent", "child_kind=%s child_slot=%u child_gen=%u", s->kind->name, s->index,
                     s->generation);
    }
}

struct flush *flush_start(struct master *m, void (*done)(void *arg), void *arg)
{
    struct flush *f = xcalloc(1, sizeof *f);
    f->done = done;
    f->arg = arg;
    ask(m, f);
    list_push_back(&m->flushes, &f->link);
    return f;
}

uint32_t flush_save(const struct flush *f, const uint32_t **generations, size_t *n)
{
    *generations = f->generations;
    *n = f->n;
    return f->id;
}

struct flush *flush_restore(struct master *m, uint32_t id, const uint32_t *generations, size_t n,
                            void (*done)(void *arg), void *arg)
{
    struct flush *f = xcalloc(1, sizeof *f);
    f->generations = xcalloc(n + 1, sizeof *f->generations);
    if (n > 0)
        memcpy(f->generations, generations, n * sizeof *generations);
    f->n = n;
    f->id = id;
    f->done = done;
    f->arg = arg;
    list_push_back(&m->flushes, &f->link);
    return f;
}

void flush_cancel(struct flush *f)
{
    if (f == NULL)
        return;
    list_remove(&f->link);
    free(f->generations);
    free(f);
}

static void forget(struct flush *f, uint32_t generation)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->generations[i] == generation)
            f->generations[i--] = f->generations[--f->n];
}

void flush_said(struct slot *s, uint32_t id)
{
    struct flush *f;
    list_foreach(f, &s->master->flushes, struct flush, link)
    {
        if (f->id != id)
            continue;
        forget(f, s->generation);
        f->said = true;
    }
}

static bool is_there(const struct master *m, uint32_t generation)
{
    struct slot *s;
    list_foreach(s, &m->slots, struct slot, link)
    {
        if (s->generation == generation && slot_present(s))
            return true;
    }
    return false;
}

static struct flush *find_done(struct master *m)
{
    struct flush *f;
    list_foreach(f, &m->flushes, struct flush, link)
    {
        for (size_t i = 0; i < f->n;) {
            if (is_there(m, f->generations[i]))
                i++;
            else
                forget(f, f->generations[i]);
        }
        /* What a dead spool held it still holds: its successor is asked. */
        if (f->n == 0 && (!f->second || (!f->said && m->wanted[KIND_SPOOL] > 0))) {
            f->second = true;
            f->said = false;
            ask(m, f);
            if (f->n == 0 && m->wanted[KIND_SPOOL] > 0)
                continue;
        }
        if (f->n == 0)
            return f;
    }
    return NULL;
}

void flush_look(struct master *m)
{
    struct flush *f;
    while ((f = find_done(m)) != NULL) {
        void (*done)(void *) = f->done;
        void *arg = f->arg;
        flush_cancel(f);
        done(arg);
    }
}
