/* entry - the kind program: by its slot a process is the keeper of one program of the configuration, or runs the
 * managed redis-server, which is adopted, not ended, when its own process is killed. */
#include "common/base/log.h"
#include "workers/kinds.h"
#include "workers/program/keeper.h"
#include "workers/program/program.h"

struct entry {
    bool is_redis;
    union {
        struct program redis;
        struct keeper keeper;
    } u;
};

static int entry_start(struct child *c, void *state, enum exitcode *code)
{
    struct entry *e = state;
    const struct conf_program *it = conf_program_of_slot(child_config(c), child_slot(c));
    e->is_redis = conf_program_slot_is_redis(child_config(c), child_slot(c));
    if (e->is_redis)
        return program_start(c, &e->u.redis, code);
    if (it != NULL)
        return keeper_start(c, &e->u.keeper, it, code);
    log_crit("program_unknown", "slot=%u", child_slot(c));
    *code = EXIT_CODE_CONFIG;
    return -1;
}

static void entry_drain(struct child *c, uint32_t deadline_ms, const char *reason, void *state)
{
    (void)c, (void)reason;
    struct entry *e = state;
    if (e->is_redis)
        program_drain(&e->u.redis, deadline_ms);
    else
        keeper_drain(&e->u.keeper, deadline_ms);
}

static int entry_reload(struct child *c, const struct conf *old, void *state)
{
    (void)old;
    struct entry *e = state;
    if (!e->is_redis)
        keeper_reloaded(&e->u.keeper, conf_program_of_slot(child_config(c), child_slot(c)));
    return 0;
}

int program_main(unsigned slot, char **argv)
{
    static const struct child_kind kind = {.name = "program",
                                           .start = entry_start,
                                           .drain = entry_drain,
                                           .reload = entry_reload,
                                           .state_size = sizeof(struct entry)};
    return child_main(&kind, slot, argv);
}
