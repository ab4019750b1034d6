/* queue - see queue.h. The object, its scripts, and the end of a loop turn. */
#include "common/queue/internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fatal.h"
#include "common/base/mem.h"

#define SCRIPT(script) struct redis_script queue_script_##script = {.name = #script, .text = script##_text}

static const char add_text[] = "#!lua\n"
#include "common/queue/lua/heard.lua.h"
#include "common/queue/lua/add.lua.h"
    ;
/* help, made at its first use. */
#define HELP_OPEN  "local helpers\nlocal function help()\nif helpers then return helpers end\n"
#define HELP_CLOSE "helpers = " HELPERS " return helpers\nend\n"
#define HELPERS                                                                                              \
    "{ fail_ghost = fail_ghost, forget = forget, trim = trim, target = target, priority_of = priority_of, "  \
    "push_by_priority = push_by_priority }"
static const char take_text[] =
#include "common/queue/lua/head.lua.h"
    HELP_OPEN
#include "common/queue/lua/help.lua.h"
        HELP_CLOSE
#include "common/queue/lua/heard.lua.h"
#include "common/queue/lua/clock.lua.h"
#include "common/queue/lua/take.lua.h"
    ;
static const char settle_text[] =
#include "common/queue/lua/head.lua.h"
    HELP_OPEN
#include "common/queue/lua/help.lua.h"
        HELP_CLOSE
#include "common/queue/lua/heard.lua.h"
#include "common/queue/lua/clock.lua.h"
#include "common/queue/lua/settle.lua.h"
    ;
static const char turn_text[] =
#include "common/queue/lua/head.lua.h"
    HELP_OPEN
#include "common/queue/lua/help.lua.h"
        HELP_CLOSE
#include "common/queue/lua/heard.lua.h"
#include "common/queue/lua/clock.lua.h"
    "local function settle(ARGV)\n"
#include "common/queue/lua/settle.lua.h"
    "end\nlocal function take(ARGV)\n"
#include "common/queue/lua/take.lua.h"
    "end\n"
#include "common/queue/lua/turn.lua.h"
    ;
static const char renew_text[] =
#include "common/queue/lua/head.lua.h"
#include "common/queue/lua/help.lua.h"
#include "common/queue/lua/renew.lua.h"
    ;
static const char release_text[] =
#include "common/queue/lua/head.lua.h"
#include "common/queue/lua/help.lua.h"
#include "common/queue/lua/release.lua.h"
    ;
static const char tokens_text[] =
#include "common/queue/lua/head.lua.h"
#include "common/queue/lua/help.lua.h"
#include "common/queue/lua/tokens.lua.h"
    ;
static const char tick_text[] =
#include "common/queue/lua/head.lua.h"
#include "common/queue/lua/help.lua.h"
#include "common/queue/lua/tick.lua.h"
    ;
static const char untick_text[] =
#include "common/queue/lua/head.lua.h"
#include "common/queue/lua/help.lua.h"
#include "common/queue/lua/untick.lua.h"
    ;
static const char stalled_text[] =
#include "common/queue/lua/head.lua.h"
#include "common/queue/lua/help.lua.h"
#include "common/queue/lua/stalled_out.lua.h"
#include "common/queue/lua/stalled.lua.h"
    ;
static const char sweep_text[] =
#include "common/queue/lua/head.lua.h"
#include "common/queue/lua/help.lua.h"
#include "common/queue/lua/sweep.lua.h"
    ;
static const char counts_text[] =
#include "common/queue/lua/head.lua.h"
#include "common/queue/lua/help.lua.h"
#include "common/queue/lua/counts.lua.h"
    ;
/* Ordered queues need more of what is rare. */
#define ORDERED_OPEN  "local helpers\nlocal function help()\nif helpers then return helpers end\n"
#define ORDERED_CLOSE "helpers = " ORDERED_HELPERS " return helpers\nend\n"
#define ORDERED_HELPERS                                                                                      \
    "{ fail_ghost = fail_ghost, forget = forget, trim = trim, target = target, priority_of = priority_of, "  \
    "push_by_priority = push_by_priority, count_stall = count_stall, fail_stalled = fail_stalled, "          \
    "put_in_front = put_in_front }"
static const char take_ordered_text[] =
#include "common/queue/lua/head.lua.h"
    ORDERED_OPEN
#include "common/queue/lua/help.lua.h"
#include "common/queue/lua/stalled_out.lua.h"
#include "common/queue/lua/order.lua.h"
        ORDERED_CLOSE
#include "common/queue/lua/heard.lua.h"
#include "common/queue/lua/clock.lua.h"
#include "common/queue/lua/take_ordered.lua.h"
    ;
static const char settle_ordered_text[] =
#include "common/queue/lua/head.lua.h"
    ORDERED_OPEN
#include "common/queue/lua/help.lua.h"
#include "common/queue/lua/stalled_out.lua.h"
#include "common/queue/lua/order.lua.h"
        ORDERED_CLOSE
#include "common/queue/lua/heard.lua.h"
#include "common/queue/lua/clock.lua.h"
    "local function settle()\n"
#include "common/queue/lua/settle.lua.h"
    "end\n"
#include "common/queue/lua/settle_ordered.lua.h"
    ;
static const char turn_ordered_text[] =
#include "common/queue/lua/head.lua.h"
    ORDERED_OPEN
#include "common/queue/lua/help.lua.h"
#include "common/queue/lua/stalled_out.lua.h"
#include "common/queue/lua/order.lua.h"
        ORDERED_CLOSE
#include "common/queue/lua/heard.lua.h"
#include "common/queue/lua/clock.lua.h"
    "local function settle(ARGV)\nlocal function settle()\n"
#include "common/queue/lua/settle.lua.h"
    "end\n"
#include "common/queue/lua/settle_ordered.lua.h"
    "end\nlocal function take(ARGV)\n"
#include "common/queue/lua/take_ordered.lua.h"
    "end\n"
#include "common/queue/lua/turn.lua.h"
    ;
static const char outcome_text[] =
#include "common/queue/lua/head.lua.h"
#include "common/queue/lua/outcome.lua.h"
    ;
static const char lease_text[] =
#include "common/queue/lua/head.lua.h"
#include "common/queue/lua/help.lua.h"
#include "common/queue/lua/lease.lua.h"
    ;
static const char progress_text[] =
#include "common/queue/lua/head.lua.h"
#include "common/queue/lua/progress.lua.h"
    ;
static const char share_text[] =
#include "common/queue/lua/head.lua.h"
#include "common/queue/lua/help.lua.h"
#include "common/queue/lua/share.lua.h"
    ;
static const char protocol_text[] =
#include "common/queue/lua/head.lua.h"
#include "common/queue/lua/help.lua.h"
#include "common/queue/lua/protocol.lua.h"
    ;
static const char split_text[] =
#include "common/queue/lua/head.lua.h"
#include "common/queue/lua/help.lua.h"
#include "common/queue/lua/order.lua.h"
#include "common/queue/lua/split.lua.h"
    ;
static const char repeat_text[] =
#include "common/queue/lua/head.lua.h"
#include "common/queue/lua/help.lua.h"
#include "common/queue/lua/repeat.lua.h"
    ;
static const char repeat_remove_text[] =
#include "common/queue/lua/head.lua.h"
#include "common/queue/lua/help.lua.h"
#include "common/queue/lua/repeat_remove.lua.h"
    ;
static const char repeat_list_text[] =
#include "common/queue/lua/head.lua.h"
#include "common/queue/lua/help.lua.h"
#include "common/queue/lua/repeat_list.lua.h"
    ;
static const char repeat_add_text[] =
#include "common/queue/lua/repeat_add.lua.h"
    ;

SCRIPT(add);
SCRIPT(take);
SCRIPT(settle);
SCRIPT(turn);
SCRIPT(turn_ordered);
SCRIPT(renew);
SCRIPT(progress);
SCRIPT(release);
SCRIPT(tokens);
SCRIPT(tick);
SCRIPT(untick);
SCRIPT(stalled);
SCRIPT(sweep);
SCRIPT(counts);
SCRIPT(take_ordered);
SCRIPT(settle_ordered);
SCRIPT(outcome);
SCRIPT(lease);
SCRIPT(share);
SCRIPT(protocol);
SCRIPT(split);
SCRIPT(repeat);
SCRIPT(repeat_add);
SCRIPT(repeat_remove);
SCRIPT(repeat_list);

void queue_register_scripts(void)
{
    struct redis_script *const all[] = {
        &queue_script_add,          &queue_script_take,           &queue_script_settle,
        &queue_script_renew,        &queue_script_release,        &queue_script_tokens,
        &queue_script_tick,         &queue_script_untick,         &queue_script_stalled,
        &queue_script_sweep,        &queue_script_counts,         &queue_script_repeat,
        &queue_script_repeat_add,   &queue_script_repeat_remove,  &queue_script_repeat_list,
        &queue_script_take_ordered, &queue_script_settle_ordered, &queue_script_lease,
        &queue_script_share,        &queue_script_protocol,       &queue_script_turn,
        &queue_script_turn_ordered, &queue_script_outcome,        &queue_script_progress,
        &queue_script_split,
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        redis_script_register(all[i]);
}

void queue_enter(struct queue *q)
{
    q->depth++;
}

void queue_leave(struct queue *q)
{
    if (--q->depth > 0 || !q->freed)
        return;
    free((char *)(uintptr_t)q->o.prefix);
    free((char *)(uintptr_t)q->o.name);
    free((char *)(uintptr_t)q->o.token);
    free(q->base);
    free(q->seen.known);
    free(q);
}

/* ---- calls */

/* The ACL says no: somebody can mend that, and until then a batch is not worth less. */
static bool is_denied(const struct redisReply *reply)
{
    char word[16];
    redis_error_word(reply, word, sizeof word);
    return strcmp(word, "NOPERM") == 0 || strcmp(word, "NOAUTH") == 0;
}

enum queue_status queue_status_of(enum redis_status status, const struct redisReply *reply, const char **why)
{
    switch (status) {
    case REDIS_OK:
        *why = NULL;
        return QUEUE_OK;
    case REDIS_ERROR:
        *why = reply->str;
        return redis_error_is_temporary(reply) || is_denied(reply) ? QUEUE_REFUSED : QUEUE_BROKEN;
    case REDIS_UNKNOWN:
        *why = "the connection to Redis was lost";
        return QUEUE_UNKNOWN;
    case REDIS_AWAY:
        break;
    }
    *why = "no connection to Redis";
    return QUEUE_AWAY;
}

void queue_call_begin(struct queue *q, struct queue_call *c)
{
    ASSERT(c->finish != NULL);
    c->q = q;
    list_push_back(&q->calls, &c->link);
}

void queue_call_reply(enum redis_status status, const struct redisReply *reply, void *arg)
{
    struct queue_call *c = arg;
    if (c->q != NULL) {
        const char *why;
        enum queue_status s = queue_status_of(status, reply, &why);
        struct queue *q = c->q;
        list_remove(&c->link);
        queue_enter(q);
        c->finish(c, s, why, reply);
        queue_leave(q);
    }
    free(c);
}

void queue_call_script(struct queue *q, struct queue_call *c, const struct redis_script *s, int argc,
                       const char *const *argv, const size_t *lens)
{
    const char **all = xcalloc((size_t)argc + 1, sizeof *all);
    size_t *all_lens = xcalloc((size_t)argc + 1, sizeof *all_lens);
    all[0] = q->base;
    all_lens[0] = strlen(q->base);
    for (int i = 0; i < argc; i++) {
        all[i + 1] = argv[i];
        all_lens[i + 1] = lens != NULL ? lens[i] : strlen(argv[i]);
    }
    queue_call_begin(q, c);
    redis_script_call(q->r, s, queue_call_reply, c, 1, argc + 1, all, all_lens);
    free(all);
    free(all_lens);
}

const char *queue_alone(struct queue *q)
{
    return redis_is_alone(q->r) ? "1" : "";
}

/* ---- the end of a turn */

static bool something_to_send(const struct queue *q)
{
    return (!list_empty(&q->adds) && q->adds_flying < QUEUE_FLYING_MAX) ||
           (!list_empty(&q->settles) && q->settles_flying < QUEUE_FLYING_MAX) ||
           (!list_empty(&q->takes) && (!q->o.ordered || list_empty(&q->settles)));
}

static void on_prepare(struct ev_loop *loop, ev_prepare *w, int events)
{
    (void)events;
    struct queue *q = w->data;
    queue_enter(q);
    if (q->memory != NULL) {
        queue_memory_turn(q->memory);
        queue_leave(q);
        return;
    }
    queue_flush_adds(q);
    queue_flush_settles(q);
    queue_flush_lease(q);
    queue_flush_takes(q);
    if (!q->freed && something_to_send(q) && redis_unsent(q->r) < QUEUE_UNSENT_MAX)
        ev_idle_start(loop, &q->idle);
    queue_leave(q);
}

static void on_idle(struct ev_loop *loop, ev_idle *w, int events)
{
    (void)events;
    ev_idle_stop(loop, w);
}

struct queue *queue_new(struct ev_loop *loop, struct redis *r, const struct queue_options *o)
{
    ASSERT(strcmp(o->token, "0") != 0 && *o->token != '\0');
    struct queue *q = xcalloc(1, sizeof *q);
    q->loop = loop;
    q->r = r;
    q->o = *o;
    q->o.prefix = xstrdup(o->prefix);
    q->o.name = xstrdup(o->name);
    q->o.token = xstrdup(o->token);
    if (q->o.tombstone_ms == 0)
        q->o.tombstone_ms = QUEUE_TOMBSTONE_MS;
    if (o->ordered) {
        ASSERT(o->lease_ms > 0);
        q->o.lock_ms = o->lease_ms;
    }
    q->base = xasprintf("%s:%s:", o->prefix, o->name);
    list_init(&q->calls);
    list_init(&q->adds);
    list_init(&q->adding);
    list_init(&q->known);
    list_init(&q->settles);
    list_init(&q->takes);
    ev_prepare_init(&q->prepare, on_prepare);
    ev_set_priority(&q->prepare, EV_MINPRI + 1); /* before redis writes, behind those who ask */
    ev_idle_init(&q->idle, on_idle);
    q->prepare.data = q;
    ev_prepare_start(loop, &q->prepare);
    if (o->ended != NULL)
        q->memory = queue_memory_new(loop, q, &q->o);
    return q;
}

void queue_options_tune(struct queue_options *to, const struct queue_options *o)
{
    to->stalled_interval_ms = o->stalled_interval_ms;
    to->max_stalled = o->max_stalled;
    to->keep_completed_count = o->keep_completed_count;
    to->keep_completed_age_ms = o->keep_completed_age_ms;
    to->keep_failed_age_ms = o->keep_failed_age_ms;
    to->limiter_jobs = o->limiter_jobs;
    to->limiter_ms = o->limiter_ms;
    to->limiter_by_group = o->limiter_by_group;
    to->metrics_points = o->metrics_points;
    to->max_run_ms = o->max_run_ms;
    to->seen_window_ms = o->seen_window_ms;
    to->seen_max = o->seen_max;
}

void queue_tune(struct queue *q, const struct queue_options *o)
{
    queue_options_tune(&q->o, o);
}

void queue_free(struct queue *q)
{
    if (q == NULL || q->freed)
        return;
    queue_enter(q);
    queue_tick_stop(q);
    queue_lease_stop(q);
    ev_prepare_stop(q->loop, &q->prepare);
    ev_idle_stop(q->loop, &q->idle);
    q->freed = true;
    queue_memory_free(q->memory);
    q->memory = NULL;
    queue_drop_adds(q, QUEUE_AWAY);
    queue_drop_settles(q, QUEUE_AWAY);
    queue_drop_takes(q, QUEUE_AWAY);
    struct queue_call *c;
    while ((c = list_first(&q->calls, struct queue_call, link)) != NULL) {
        list_remove(&c->link);
        c->finish(c, QUEUE_UNKNOWN, "the queue was closed", NULL);
        c->q = NULL; /* freed when redis answers */
    }
    queue_leave(q);
}

void queue_close(struct queue *q)
{
    if (q->memory != NULL)
        queue_memory_close(q->memory);
}

const char *queue_name(const struct queue *q)
{
    return q->o.name;
}

uint64_t queue_limited_ms(const struct queue *q)
{
    return q->limited_ms;
}
