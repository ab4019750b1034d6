/* pause - see pause.h. The names are kept here, because children come and go. */
#include "master/pause.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "ipc/chan.h"
#include "master/slot.h"
#include "master/state.h"

struct paused {
    struct list link; /* master.paused */
    char *name;
};

static struct paused *find(const struct master *m, const char *name)
{
    struct paused *p;
    list_foreach(p, &m->paused, struct paused, link)
    {
        if (strcmp(p->name, name) == 0)
            return p;
    }
    return NULL;
}

static bool is_known(const struct conf *c, const char *name)
{
    bool known = conf_find_destination(c, name) != NULL;
    for (size_t i = 0; i < c->n_takeovers && !known; i++)
        known = strcmp(c->takeovers[i].id, name) == 0;
    return known;
}

static void tell(struct slot *s, const char *name, bool paused)
{
    struct msg msg = {.type = MSG_PAUSE, .generation = s->generation, .u.pause.paused = paused};
    str_copy(msg.u.pause.queue, name, sizeof msg.u.pause.queue);
    if (s->kind->hands_back && s->chan != NULL && chan_send(s->chan, &msg, NULL, 0) < 0)
        log_warn("pause_unsent", "child_kind=%s child_slot=%u child_gen=%u", s->kind->name, s->index,
                 s->generation);
}

void pause_restore(struct master *m, const char *name)
{
    struct paused *p = xcalloc(1, sizeof *p);
    p->name = xstrdup(name);
    list_push_back(&m->paused, &p->link);
}

void pause_each(const struct master *m, void (*fn)(const char *name, void *arg), void *arg)
{
    const struct paused *p;
    list_foreach(p, &m->paused, const struct paused, link) fn(p->name, arg);
}

int pause_set(struct master *m, const char *name, bool paused)
{
    struct paused *p = find(m, name);
    struct slot *s;
    if (p == NULL && !is_known(m->conf, name))
        return -1;
    if (p == NULL && paused) {
        pause_restore(m, name);
    } else if (p != NULL && !paused) {
        list_remove(&p->link);
        free(p->name);
        free(p);
    }
    log_info(paused ? "queue_paused_here" : "queue_resumed_here", "queue=%s", log_q(name));
    list_foreach(s, &m->slots, struct slot, link)
    {
        if (s->configured) /* another learns it then */
            tell(s, name, paused);
    }
    return 0;
}

bool pause_is(const struct master *m, const char *name)
{
    return find(m, name) != NULL;
}

void pause_tell(struct slot *s)
{
    const struct paused *p;
    s->configured = true;
    list_foreach(p, &s->master->paused, struct paused, link) tell(s, p->name, true);
}

void pause_free(struct master *m)
{
    struct paused *p;
    list_foreach(p, &m->paused, struct paused, link)
    {
        free(p->name);
        free(p);
    }
    list_init(&m->paused);
}
