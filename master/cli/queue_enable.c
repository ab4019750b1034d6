/* queue_enable - see queue_enable.h. Redis is told, and by it every worker. */
#include "master/cli/queue_enable.h"

#include <stdio.h>
#include <string.h>

#include "common/base/str.h"
#include "common/fleet/fleet.h"

struct answer {
    bool done;
    int granted;
    enum fleet_state state;
    char why[FLEET_WHY_MAX];
};

static void on_done(int granted, const struct fleet_view *v, void *arg)
{
    struct answer *a = arg;
    a->done = true;
    a->granted = granted;
    if (v == NULL)
        return;
    a->state = v->state;
    str_copy(a->why, v->why, sizeof a->why);
}

bool queue_enable_has(const char *verb)
{
    return strcmp(verb, "enable") == 0 || strcmp(verb, "disable") == 0;
}

int queue_enable_run(struct queue_session *s, const char *verb, const char *name, bool json, bool quiet)
{
    const struct conf_destination *d = conf_find_destination(s->conf, name);
    const struct conf_delivery *c = &s->conf->delivery;
    const struct fleet_options o = {.loop = s->loop,
                                    .redis = s->redis,
                                    .prefix = s->conf->queue.prefix,
                                    .token = "cli",
                                    .rules = {.open_min_ms = c->circuit_open_min_ms,
                                              .open_max_ms = c->circuit_open_max_ms,
                                              .ramp_ms = c->circuit_ramp_ms,
                                              .disable_ms = c->auto_disable_after_ms}};
    struct answer a = {0};
    bool enable = strcmp(verb, "enable") == 0;
    if (d == NULL) {
        fprintf(stderr, "dray queue %s: %s: there is no destination of this name\n", verb, name);
        return EXIT_CODE_NOT_RUNNING;
    }
    fleet_register_scripts();
    struct fleet *f = fleet_new(&o, &(struct fleet_events){0}, NULL);
    if (enable)
        fleet_enable(f, d->id, on_done, &a);
    else
        fleet_disable(f, d->id, "by hand: dray queue disable", on_done, &a);
    bool answered = queue_session_wait(s, &a.done, 0);
    fleet_free(f);
    if (!answered)
        return EXIT_CODE_UNREACHABLE;
    if (a.granted < 0) {
        fprintf(stderr, "dray queue %s: %s: Redis refuses it; may the user call scripts?\n", verb, name);
        return EXIT_CODE_UNREACHABLE;
    }
    if (json)
        printf("{\"queue\":\"%s\",\"act\":\"%s\",\"changed\":%s}\n", name, verb,
               a.granted > 0 ? "true" : "false");
    else if (!quiet)
        printf("%s: %s%s\n", name, enable ? "enabled" : "disabled", a.granted > 0 ? "" : " (it was)");
    return EXIT_CODE_OK;
}
