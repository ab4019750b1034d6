/* health - one verdict for the host, from the slots; told to console and ingest, to the service manager, in status. */
#ifndef DRAY_MASTER_HEALTH_H
#define DRAY_MASTER_HEALTH_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/base/buf.h"

struct master;
struct slot;

struct health {
    bool ready;        /* this host may take traffic */
    const char *state; /* starting, ok, degraded, stopping */
};

struct health health_verdict(const struct master *m);
/* What keeps the state from being "ok": each as a text, in order. */
void health_each_alarm(const struct master *m, void (*fn)(const char *text, void *arg), void *arg);
/* {"ready":..,"state":"..","version":"..","uptime_ms":..,"checks":[{"name":..,"ok":..,"text":..},..]} */
void health_write_json(const struct master *m, struct buf *out);
/* Something about the slots changed: tells everybody who hears of it. */
void health_changed(struct master *m);
/* Each second: health again (so that it is known to be fresh), merged metrics to those who hear them. */
void health_tick(struct master *m);
/* Goes on sending a snapshot that did not fit into the channel at once. */
void health_push(struct slot *s);
/* 0 when it cannot be read. */
double health_resident_bytes(pid_t pid);

#endif
