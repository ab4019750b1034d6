/* admin - the scripts of administration, the names of states, and the counts of a queue. */
#include "common/queue/admin.h"

#include <string.h>

#include "common/base/fatal.h"
#include "common/base/mem.h"
#include "common/queue/internal.h"

#define SCRIPT(script)                                                                                       \
    struct redis_script queue_script_admin_##script = {.name = "admin_" #script, .text = script##_text}

/* Behind head without its first line, the flag allow-oom: a full Redis refuses the first command that writes. */
static const char head_line[] = "#!lua flags=allow-oom\n";
static const char add_text[] =
#include "common/queue/lua/head.lua.h"
#include "common/queue/lua/help.lua.h"
#include "common/queue/lua/admin_add.lua.h"
    ;
static const char look_text[] =
#include "common/queue/lua/head.lua.h"
#include "common/queue/lua/help.lua.h"
#include "common/queue/lua/admin_head.lua.h"
#include "common/queue/lua/admin_look.lua.h"
    ;
static const char touch_text[] =
#include "common/queue/lua/head.lua.h"
#include "common/queue/lua/help.lua.h"
#include "common/queue/lua/admin_head.lua.h"
#include "common/queue/lua/admin_touch.lua.h"
    ;
static const char pause_text[] =
#include "common/queue/lua/head.lua.h"
#include "common/queue/lua/help.lua.h"
#include "common/queue/lua/admin_head.lua.h"
#include "common/queue/lua/admin_pause.lua.h"
    ;
static const char move_text[] =
#include "common/queue/lua/head.lua.h"
#include "common/queue/lua/help.lua.h"
#include "common/queue/lua/heard.lua.h"
#include "common/queue/lua/admin_head.lua.h"
#include "common/queue/lua/admin_move.lua.h"
    ;
static const char remove_text[] =
#include "common/queue/lua/head.lua.h"
#include "common/queue/lua/help.lua.h"
#include "common/queue/lua/admin_head.lua.h"
#include "common/queue/lua/admin_remove.lua.h"
    ;
static const char clean_text[] =
#include "common/queue/lua/head.lua.h"
#include "common/queue/lua/help.lua.h"
#include "common/queue/lua/admin_head.lua.h"
#include "common/queue/lua/admin_clean.lua.h"
    ;
static const char obliterate_text[] =
#include "common/queue/lua/head.lua.h"
#include "common/queue/lua/help.lua.h"
#include "common/queue/lua/admin_head.lua.h"
#include "common/queue/lua/admin_obliterate.lua.h"
    ;

struct redis_script queue_script_admin_add = {.name = "admin_add", .text = add_text + sizeof head_line - 1};
SCRIPT(look);
SCRIPT(touch);
SCRIPT(pause);
SCRIPT(move);
SCRIPT(remove);
SCRIPT(clean);
SCRIPT(obliterate);

void queue_register_admin_scripts(void)
{
    struct redis_script *const all[] = {
        &queue_script_admin_add,   &queue_script_admin_look,       &queue_script_admin_touch,
        &queue_script_admin_pause, &queue_script_admin_move,       &queue_script_admin_remove,
        &queue_script_admin_clean, &queue_script_admin_obliterate,
    };
    ASSERT(strncmp(add_text, head_line, sizeof head_line - 1) == 0);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        redis_script_register(all[i]);
}

/* ---- states */

static const char *const state_names[] = {
    [QUEUE_STATE_NONE] = "stuck",    [QUEUE_STATE_WAIT] = "wait",       [QUEUE_STATE_PAUSED] = "paused",
    [QUEUE_STATE_ACTIVE] = "active", [QUEUE_STATE_DELAYED] = "delayed", [QUEUE_STATE_COMPLETED] = "completed",
    [QUEUE_STATE_FAILED] = "failed",
};

const char *queue_state_name(enum queue_state s)
{
    return (size_t)s < sizeof state_names / sizeof *state_names ? state_names[s] : "?";
}

bool queue_state_of(const char *word, enum queue_state *state)
{
    if (strcmp(word, "waiting") == 0)
        word = "wait";
    for (size_t i = 0; i < sizeof state_names / sizeof *state_names; i++)
        if (strcmp(word, state_names[i]) == 0) {
            *state = (enum queue_state)i;
            return true;
        }
    return false;
}

/* ---- counts */

enum {
    C_WAIT,
    C_ACTIVE,
    C_DELAYED,
    C_PAUSED,
    C_COMPLETED,
    C_FAILED,
    C_AGE,
    C_LATE,
    C_IS_PAUSED,
    C_LONGEST,
    COUNTS
};

struct count {
    struct queue_call call;
    queue_counts_fn fn;
    void *arg;
};

static void on_counts(struct queue_call *c, enum queue_status s, const char *why,
                      const struct redisReply *reply)
{
    (void)why;
    const struct count *n = (const struct count *)(const void *)c;
    struct queue_counts out = {0};
    if (s == QUEUE_OK && (reply->type != REDIS_REPLY_ARRAY || reply->elements != COUNTS))
        s = QUEUE_BROKEN;
    if (s == QUEUE_OK) {
        uint64_t v[COUNTS];
        for (size_t i = 0; i < COUNTS; i++)
            v[i] = reply->element[i]->integer > 0 ? (uint64_t)reply->element[i]->integer : 0;
        out = (struct queue_counts){.wait = v[C_WAIT],
                                    .active = v[C_ACTIVE],
                                    .delayed = v[C_DELAYED],
                                    .paused = v[C_PAUSED],
                                    .completed = v[C_COMPLETED],
                                    .failed = v[C_FAILED],
                                    .oldest_wait_ms = v[C_AGE],
                                    .promote_lag_ms = v[C_LATE],
                                    .is_paused = v[C_IS_PAUSED] != 0,
                                    .longest_known = reply->element[C_LONGEST]->integer >= 0,
                                    .longest_wait_ms = v[C_LONGEST]};
    }
    n->fn(s, &out, n->arg);
}

void queue_count(struct queue *q, queue_counts_fn fn, void *arg)
{
    if (q->memory != NULL) {
        struct queue_counts now;
        queue_memory_count(q->memory, &now);
        fn(QUEUE_OK, &now, arg);
        return;
    }
    struct count *c = xcalloc(1, sizeof *c);
    c->call.finish = on_counts;
    c->fn = fn;
    c->arg = arg;
    queue_call_script(q, &c->call, &queue_script_counts, 0, NULL, NULL);
}
