/* slot - see slot.h. The table is the supervisor: read it before anything else.
 *
 * An empty cell is ignored. NO marks what only a fault of our own could bring: it panics. What a child or the world
 * may do at any time is never NO.
 */
#include "master/slot.h"

#include <stdlib.h>

#include "common/base/fatal.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "ipc/msg.h"
#include "master/slot_act.h"
#include "master/state.h"

static void no(struct slot *s)
{
    panic("slot %s.%u: event in state %s", s->kind->name, s->index, slot_state_name(s->state));
}

#define NO no

/* clang-format off */
static const slot_action_fn table[SLOT_STATES][SLOT_EVENTS] = {
/*               WANT             UNWANT           READY          BEAT             EXTEND             TIMER                  EOF             OK               RETRY            PERMANENT        RETIRED */
[SLOT_IDLE]  = { slot_act_spawn,  NULL,            NO,            NO,              NO,                NO,                    NO,             NO,              NO,              NO,              NO },
[SLOT_BOOT]  = { NULL,            slot_act_term,   slot_act_up,   NULL,            slot_act_extend,   slot_act_boot_late,    slot_act_cut,   slot_act_wait,   slot_act_wait,   slot_act_fail,   slot_act_spawn },
[SLOT_UP]    = { NULL,            slot_act_drain,  slot_act_cut,  slot_act_beat,   NULL,              slot_act_hang,         slot_act_cut,   slot_act_wait,   slot_act_wait,   slot_act_fail,   slot_act_spawn },
[SLOT_DRAIN] = { NULL,            NULL,            NULL,          NULL,            NULL,              slot_act_drain_late,   NULL,           slot_act_gone,   slot_act_gone,   slot_act_gone,   slot_act_gone },
[SLOT_KILL]  = { NULL,            NULL,            NULL,          NULL,            NULL,              slot_act_kill_again,   NULL,           slot_act_wait,   slot_act_wait,   slot_act_fail,   slot_act_spawn },
[SLOT_WAIT]  = { NULL,            slot_act_idle,   NO,            NO,              NO,                slot_act_spawn,        NO,             NO,              NO,              NO,              NO },
[SLOT_FAIL]  = { NULL,            slot_act_idle,   NO,            NO,              NO,                NO,                    NO,             NO,              NO,              NO,              NO },
};
/* clang-format on */

static const char *const state_names[SLOT_STATES] = {"idle", "boot", "up", "drain", "kill", "wait", "fail"};

const char *slot_state_name(enum slot_state st)
{
    return st < SLOT_STATES ? state_names[st] : "?";
}

void slot_event(struct slot *s, enum slot_event e)
{
    slot_action_fn act = table[s->state][e];
    if (act != NULL)
        act(s);
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop;
    (void)revents;
    slot_event(w->data, SLOT_EV_TIMER);
}

struct slot *slot_new(struct master *m, const struct kind *kind, unsigned index)
{
    struct slot *s = xcalloc(1, sizeof *s);
    s->master = m;
    s->kind = kind;
    s->index = index;
    ev_init(&s->timer, on_timer);
    s->timer.data = s;
    buf_init(&s->stats, (size_t)MSG_PART_MAX * MSG_PARTS_MAX);
    buf_init(&s->metrics, (size_t)MSG_PART_MAX * MSG_PARTS_MAX);
    recycle_begin(s);
    obituary_begin(s);
    list_push_back(&m->slots, &s->link);
    return s;
}

void slot_free(struct slot *s)
{
    ASSERT(s->state == SLOT_IDLE && s->pid == 0);
    ev_timer_stop(s->master->loop, &s->timer);
    list_remove(&s->link);
    buf_fini(&s->stats);
    buf_fini(&s->metrics);
    free(s);
}

bool slot_present(const struct slot *s)
{
    return s->pid != 0;
}

void slot_rearm(struct slot *s)
{
    if (ev_is_active(&s->timer) || ev_is_pending(&s->timer))
        slot_act_arm(s);
}

void slot_hurry(struct slot *s)
{
    uint64_t grace = s->master->conf->master.health_kill_grace_ms;
    if (s->state != SLOT_DRAIN || s->drain_ms <= grace)
        return;
    s->drain_ms = grace;
    slot_act_arm(s);
}
