/* kinds - see kinds.h. The only file of master/ that includes a worker's header. */
#include "master/kinds.h"

#include <string.h>

#include "workers/kinds.h"

static unsigned count_program(const struct conf *c, unsigned cpus)
{
    (void)cpus;
    return conf_program_slots(c);
}

static bool wants_program(const struct conf *c, unsigned index)
{
    return conf_program_slot_name(c, index) != NULL;
}

static void on_difference(const struct conf_change *c, void *arg)
{
    static const char managed[] = "redis.managed.";
    if (strncmp(c->key, managed, sizeof managed - 1) == 0)
        *(bool *)arg = false;
}

static bool same_program(const struct conf *a, const struct conf *b, unsigned index)
{
    bool same = !conf_program_slot_differs(a, b, index);
    if (conf_program_slot_is_redis(b, index))
        conf_diff(a, b, on_difference, &same);
    return same;
}

static unsigned count_ingest(const struct conf *c, unsigned cpus)
{
    (void)cpus;
    return (unsigned)c->master.processes_ingest;
}

static unsigned count_spool(const struct conf *c, unsigned cpus)
{
    (void)cpus;
    return conf_spool_processes(c);
}

static unsigned count_console(const struct conf *c, unsigned cpus)
{
    (void)cpus;
    return (unsigned)c->master.processes_console;
}

const struct kind kinds[KIND_COUNT] = {
    [KIND_PROGRAM] = {.name = "program",
                      .entry = program_main,
                      .count = count_program,
                      .wants = wants_program,
                      .same = same_program,
                      .max = 1 + CONF_PROGRAMS_MAX,
                      .start_stage = 0,
                      .stop_stage = 4,
                      .exclusive = true},
    [KIND_DELIVERY] = {.name = "delivery",
                       .entry = delivery_main,
                       .count = conf_delivery_processes,
                       .max = 64,
                       .start_stage = 1,
                       .stop_stage = 2,
                       .receives = true,
                       .hands_back = true},
    [KIND_SPOOL] = {.name = "spool",
                    .entry = spool_main,
                    .count = count_spool,
                    .max = 1,
                    .start_stage = 1,
                    .stop_stage = 1,
                    .sends = true,
                    .receives = true},
    [KIND_CONSOLE] = {.name = "console",
                      .entry = console_main,
                      .count = count_console,
                      .max = 1,
                      .start_stage = 1,
                      .stop_stage = 3,
                      .listen = KIND_LISTEN_CONSOLE,
                      .hears_health = true,
                      .hears_metrics = true},
    [KIND_INGEST] = {.name = "ingest",
                     .entry = ingest_main,
                     .count = count_ingest,
                     .max = 16,
                     .start_stage = 2,
                     .stop_stage = 0,
                     .listen = KIND_LISTEN_INGEST,
                     .sends = true,
                     .hears_health = true},
};

const struct kind *kind_find(const char *name)
{
    for (int i = 0; i < KIND_COUNT; i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return NULL;
}

enum kind_id kind_id(const struct kind *k)
{
    return (enum kind_id)(k - kinds);
}
