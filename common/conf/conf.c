/* conf - what is asked of a configuration once it is loaded. */
#include "common/conf/conf.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/str.h"
#include "common/conf/internal.h"

void conf_free(struct conf *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < CONF_SECTIONS; i++) {
        const struct conf_section *s = &conf_sections[i];
        char *base = (char *)c + s->offset;
        size_t n = 1;
        if (CONF_IS_LIST(s)) {
            memcpy(&base, (const char *)c + s->offset, sizeof base);
            memcpy(&n, (const char *)c + s->n_offset, sizeof n);
        }
        for (size_t element = 0; element < n; element++)
            for (size_t j = 0; j < s->n; j++)
                conf_value_free(&s->rows[j], base + element * s->size);
        if (CONF_IS_LIST(s))
            free(base);
    }
    free(c);
}

const struct conf_source *conf_find_source(const struct conf *c, const char *id)
{
    for (size_t i = 0; i < c->n_sources; i++)
        if (strcmp(c->sources[i].id, id) == 0)
            return &c->sources[i];
    return NULL;
}

const struct conf_destination *conf_find_destination(const struct conf *c, const char *id)
{
    for (size_t i = 0; i < c->n_destinations; i++)
        if (strcmp(c->destinations[i].id, id) == 0)
            return &c->destinations[i];
    return NULL;
}

const char *conf_mode_name(enum conf_mode m)
{
    static const char *const names[] = {
        [CONF_MODE_SHARED] = "shared", [CONF_MODE_STRICT] = "strict", [CONF_MODE_KEY] = "key"};
    return names[m];
}

enum conf_mode conf_destination_mode(const struct conf *c, const struct conf_destination *d)
{
    bool multi = d->is_multi_processor == CONF_OWN_INHERIT ? c->queue.is_multi_processor
                                                           : d->is_multi_processor == CONF_OWN_SECOND;
    int ordering = d->ordering == CONF_OWN_INHERIT ? c->queue.ordering : d->ordering - 1;
    if (!multi)
        return CONF_MODE_STRICT;
    return ordering == CONF_ORDERING_KEY ? CONF_MODE_KEY : CONF_MODE_SHARED;
}

unsigned conf_destination_partitions(const struct conf *c, const struct conf_destination *d)
{
    if (conf_destination_mode(c, d) != CONF_MODE_KEY)
        return 1;
    return (unsigned)(d->partitions > 0 ? d->partitions : c->queue.partitions);
}

uint64_t conf_spool_after_ms(const struct conf *c)
{
    uint64_t half = c->ingest.ack_timeout_ms / 2; /* or requests would end before the spool has them */
    return c->spool.after_ms < half ? c->spool.after_ms : half;
}

struct restart_policy conf_restart_policy(const struct conf *c)
{
    const struct conf_master *m = &c->master;
    return (struct restart_policy){.min_ms = m->restart_min_ms,
                                   .max_ms = m->restart_max_ms,
                                   .healthy_after_ms = m->restart_healthy_after_ms,
                                   .jitter = m->restart_jitter,
                                   .give_up = m->restart_give_up,
                                   .burst = m->restart_burst.count,
                                   .burst_ms = m->restart_burst.period_ms};
}

const char *conf_destination_queue(const struct conf_destination *d)
{
    return d->queue[0] != '\0' ? d->queue : d->id;
}

unsigned conf_delivery_processes(const struct conf *c, unsigned cpus)
{
    enum { MOST = 64 };
    if (c->master.processes_delivery != CONF_AUTO)
        return (unsigned)c->master.processes_delivery;
    return cpus < 1 ? 1 : cpus > MOST ? MOST : cpus;
}

unsigned conf_spool_processes(const struct conf *c)
{
    return c->spool.enabled && c->redis.mode != CONF_REDIS_NONE ? (unsigned)c->master.processes_spool : 0;
}

char *conf_run_path(const struct conf *c, const char *name, char *dst, size_t size)
{
    snprintf(dst, size, "%s/%s", c->node.run_dir, name);
    return dst;
}

char *conf_state_path(const struct conf *c, const char *name, char *dst, size_t size)
{
    if (name[0] == '/') /* an absolute redis.managed.dir */
        str_copy(dst, name, size);
    else
        snprintf(dst, size, "%s/%s", c->node.state_dir, name);
    return dst;
}

char *conf_redis_url(const struct conf *c, char *dst, size_t size)
{
    char cwd[PATH_MAX]; /* a URL's path is absolute; run_dir need not be */
    if (c->redis.mode == CONF_REDIS_MANAGED && c->node.run_dir[0] != '/' && getcwd(cwd, sizeof cwd) != NULL)
        snprintf(dst, size, "unix://%s/%s/redis.sock", cwd, c->node.run_dir);
    else if (c->redis.mode == CONF_REDIS_MANAGED)
        snprintf(dst, size, "unix://%s/redis.sock", c->node.run_dir);
    else
        str_copy(dst, c->redis.url, size);
    return dst;
}
