/* fleet - what all workers on all hosts know together of a destination, by scripts in Redis: may anybody send to it now
 * (health.lua: pauses, the circuit, disabled), and how fast (rate.lua: tokens).
 *
 * Keys: PREFIX:dray:dest:ID:{health,pause,rate}; PREFIX:dray:dests counts the changes, and is the channel on which each is
 * published. Times are Redis' own; what is told here is how much of each is left.
 * News come by the channel at once, and by a look once a second when the count has moved: a lost message is no loss.
 */
#ifndef DRAY_COMMON_FLEET_FLEET_H
#define DRAY_COMMON_FLEET_FLEET_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/redis/redis.h"

#define FLEET_WHY_MAX 160

struct fleet;

enum fleet_state { FLEET_CLOSED, FLEET_OPEN, FLEET_PROBING, FLEET_DISABLED };
const char *fleet_state_name(enum fleet_state s);

struct fleet_rules { /* of the circuit; disable_ms 0: never */
    uint64_t open_min_ms, open_max_ms, ramp_ms, disable_ms;
};

struct fleet_view { /* of one destination */
    const char *dest;
    enum fleet_state state;
    uint64_t left_ms;    /* OPEN: until a probe may be asked for; PROBING: until it is given up */
    uint64_t pause_ms;   /* it wants to be left alone for so long */
    uint64_t ramp_ms;    /* CLOSED: it was open until lately: left of the ramp */
    uint64_t opens;      /* in a row */
    uint64_t failing_ms; /* no success for so long; 0: it is well */
    unsigned percent;    /* of the time until it is disabled that was warned of: 0, 50, 70, 90, 100 */
    uint64_t change;     /* of all destinations, the number of the last one */
    const char *why;     /* "-": no reason */
};

/* Parses the text of health.lua in place. false: it is none. */
bool fleet_view_parse(char *text, struct fleet_view *out);

struct fleet_options {
    struct ev_loop *loop;
    struct redis *redis; /* scripts go there; NULL: there is none, and this process is the fleet */
    const struct redis_options *listener; /* for the connection that listens; NULL: none, no news come */
    const char *prefix;                   /* queue.prefix */
    const char *token;
    struct fleet_rules rules;
};

struct fleet_events {
    void (*news)(const struct fleet_view *v, void *arg);
    void (*moved)(void *arg); /* something has changed, and it is not known what: look at each that matters */
};

void fleet_register_scripts(void);
/* The options' texts are copied. */
struct fleet *fleet_new(const struct fleet_options *o, const struct fleet_events *events, void *arg);
void fleet_free(struct fleet *f); /* nothing may be asked for */
void fleet_tune(struct fleet *f, const struct fleet_rules *rules);
void fleet_second(struct fleet *f); /* once a second, and when Redis is ready: has the count moved? */

/* granted: the number of health.lua (0: no, or nothing has changed), -1: Redis did not answer, and v is NULL. Inside the call
 * that asks only with -1, or without Redis. */
typedef void (*fleet_done_fn)(int granted, const struct fleet_view *v, void *arg);

void fleet_look(struct fleet *f, const char *dest, fleet_done_fn done, void *arg);
void fleet_pause(struct fleet *f, const char *dest, uint64_t ms, fleet_done_fn done, void *arg);
void fleet_open(struct fleet *f, const char *dest, const char *why, uint64_t failing_ms, uint64_t opens,
                fleet_done_fn done, void *arg);
void fleet_probe(struct fleet *f, const char *dest, uint64_t lease_ms, fleet_done_fn done, void *arg);
void fleet_unprobe(struct fleet *f, const char *dest, fleet_done_fn done, void *arg);
void fleet_probed(struct fleet *f, const char *dest, bool ok, const char *why, fleet_done_fn done, void *arg);
void fleet_disable(struct fleet *f, const char *dest, const char *why, fleet_done_fn done, void *arg);
void fleet_enable(struct fleet *f, const char *dest, fleet_done_fn done, void *arg);

struct fleet_wish {
    double rate; /* configured, tokens a second; 0: none */
    unsigned want, taken, refused, guess;
    bool learn;
};
/* tokens -1: Redis did not answer. rate: thousandths a second; 0: no tokens are needed (any more). */
typedef void (*fleet_tokens_fn)(int tokens, uint64_t retry_ms, uint64_t rate, void *arg);
void fleet_ask_tokens(struct fleet *f, const char *dest, const struct fleet_wish *w, fleet_tokens_fn done,
                      void *arg);

#endif
