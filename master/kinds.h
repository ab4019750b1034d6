/* kinds - the table of process kinds: the one place where the supervisor knows what it supervises.
 *
 * To add a kind: an entry function in workers/, a row here. Start order is the end of the flow first, stop order its
 * beginning first.
 */
#ifndef DRAY_MASTER_KINDS_H
#define DRAY_MASTER_KINDS_H

#include <stdbool.h>

#include "common/conf/conf.h"

enum kind_id { KIND_PROGRAM, KIND_DELIVERY, KIND_SPOOL, KIND_CONSOLE, KIND_INGEST, KIND_COUNT };

enum kind_listen { KIND_LISTEN_NONE, KIND_LISTEN_INGEST, KIND_LISTEN_CONSOLE };

struct kind {
    const char *name;
    int (*entry)(unsigned slot, char **argv);
    /* Processes the configuration asks for; cpus: how many may be used. */
    unsigned (*count)(const struct conf *c, unsigned cpus);
    bool (*wants)(const struct conf *c, unsigned index); /* NULL: each index below count is wanted */
    unsigned max;                                        /* most that `scale` may ask for */
    unsigned start_stage, stop_stage; /* a stage begins when the one before stands, or is gone */
    enum kind_listen listen;
    bool sends, receives; /* batches: each sender is linked with each receiver */
    bool hears_health, hears_metrics;
    bool
        hands_back; /* works on queues: holds locks in Redis that a sibling gives back when it dies, hears of pauses */
    /* Is what the configuration says of this process the same in both? NULL: concern.c decides for all of the kind. */
    bool (*same)(const struct conf *a, const struct conf *b, unsigned index);
    bool exclusive; /* never two at once: a replacement starts when the old one is gone */
};

extern const struct kind kinds[KIND_COUNT];

/* NULL for an unknown name. */
const struct kind *kind_find(const char *name);
enum kind_id kind_id(const struct kind *k);

#endif
