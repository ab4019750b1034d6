/* top_model - two answers of status, one after the other, as what dray top shows: processes with their share of a CPU,
 * rates, a sorted and filtered list. Pure: no clock, no terminal. */
#ifndef DRAY_MASTER_CLI_TOP_MODEL_H
#define DRAY_MASTER_CLI_TOP_MODEL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum top_column {
    TOP_NAME,
    TOP_PID,
    TOP_STATE,
    TOP_UPTIME,
    TOP_RESTARTS,
    TOP_CPU,
    TOP_RSS,
    TOP_LAG,
    TOP_IN_HAND,
    TOP_DOING,
    TOP_COLUMNS
};

#define TOP_WHO_SIZE 48

struct top_row {
    const json_t *process;     /* of the model's newest answer */
    char who[TOP_WHO_SIZE];    /* delivery.1 */
    size_t kind;               /* kinds are numbered as they come */
    double value[TOP_COLUMNS]; /* of the columns that are numbers; CPU in percent, -1: not known yet */
};

struct top_rates { /* a second; -1: not known yet */
    double accepted, delivered, completed, failed, retried, requests, bytes;
    double cpu_percent; /* of all processes */
};

struct top_model {
    json_t *now, *before; /* answers of status */
    double seconds;       /* between them; 0: there is no before, or another master answered */
    struct top_row *rows; /* as arranged */
    size_t n;
    struct top_rates rates;
};

void top_model_init(struct top_model *m);
void top_model_fini(struct top_model *m);
/* Takes over the answer. */
void top_model_take(struct top_model *m, json_t *status);
/* Sorts: numbers fall, text rises, the other way round with reverse. filter: "" for all, a part of what is shown
 * (whatever its case), or kind:NAME, state:NAME (their beginning). */
void top_model_arrange(struct top_model *m, enum top_column sort, bool reverse, const char *filter);
/* A counter of an object (path of two keys) a second; -1 when it cannot be told. */
double top_model_rate(const struct top_model *m, const char *object, const char *key);
/* Delivered events a second of one queue. */
double top_model_queue_rate(const struct top_model *m, const char *queue);
/* {accepted_events, ...} and each process' cpu_percent, for -o json: the newest answer with these. The caller owns it. */
json_t *top_model_json(const struct top_model *m);

#endif
