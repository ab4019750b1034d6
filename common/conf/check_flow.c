/* check_flow - the rules of what says when a destination is sent to: schedules of retries, circuit, rate. */
#include <string.h>

#include "common/base/str.h"
#include "common/conf/internal.h"

size_t conf_schedule(char *const *words, uint64_t dst[CONF_SCHEDULE_MAX])
{
    size_t n = 0;
    while (words != NULL && words[n] != NULL && n < CONF_SCHEDULE_MAX &&
           str_parse_duration(words[n], false, &dst[n]) == 0)
        n++;
    return n;
}

static const char *check_schedule(char *const *words)
{
    uint64_t ms[CONF_SCHEDULE_MAX];
    size_t n = conf_schedule(words, ms);
    if (words != NULL && words[n] != NULL)
        return "expected durations such as [5s, 5m, 30m]";
    for (size_t i = 0; i < n; i++)
        if (ms[i] == 0 || ms[i] > 365ull * 86400 * 1000)
            return "each delay must be 1ms to 365d";
    return NULL;
}

void conf_check_flow(struct conf_layers *l, const struct conf *c)
{
    const struct conf_delivery *d = &c->delivery;
    conf_check_tell(l, "queue", NULL, CONF_ALONE, "retry_schedule",
                    check_schedule(c->queue.retry_schedule));
    conf_check_tell(l, "delivery", NULL, CONF_ALONE, "circuit.open_max",
                    d->circuit_open_min_ms <= d->circuit_open_max_ms
                        ? NULL
                        : "circuit.open_min must be at most circuit.open_max");
    for (size_t i = 0; i < c->n_destinations; i++) {
        const struct conf_destination *it = &c->destinations[i];
        conf_check_tell(l, "destinations", it->id, i, "retry_schedule", check_schedule(it->retry_schedule));
        if (it->rate_limit.period_ms > 0)
            conf_check_tell(l, "destinations", it->id, i, "rate_limit",
                            it->rate_limit.count > 0 ? NULL : "must let something through");
    }
}
