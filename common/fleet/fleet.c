/* fleet - see fleet.h. The scripts, their answers, and the connection that listens. */
#include "common/fleet/fleet.h"

#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/fleet/alone.h"

#define FIELDS    10
#define ARGS_MAX  12
#define KEY_SIZE  192
#define TEXT_SIZE 768

static const char health_text[] =
#include "common/fleet/lua/health.lua.h"
    ;
static const char rate_text[] =
#include "common/fleet/lua/rate.lua.h"
    ;
static struct redis_script health_script = {.name = "fleet_health", .text = health_text};
static struct redis_script rate_script = {.name = "fleet_rate", .text = rate_text};

struct fleet {
    struct fleet_options o;
    struct fleet_events events;
    void *arg;
    char base[KEY_SIZE], counter[KEY_SIZE + 8];
    struct redis *listener;
    char seen[24]; /* the count of changes when it was last looked; "": never */
    bool asking, refused_said;
    struct fleet_alone *alone; /* in place of Redis */
};

void fleet_register_scripts(void)
{
    redis_script_register(&health_script);
    redis_script_register(&rate_script);
}

/* ---- views */

const char *fleet_state_name(enum fleet_state s)
{
    static const char *const names[] = {"closed", "open", "probing", "disabled"};
    return (size_t)s < sizeof names / sizeof *names ? names[s] : "?";
}

bool fleet_view_parse(char *text, struct fleet_view *out)
{
    char *words[FIELDS], *at = text;
    uint64_t numbers[FIELDS] = {0};
    for (size_t i = 0; i < FIELDS; i++) {
        words[i] = at;
        if (i == FIELDS - 1)
            break;
        at = strchr(at, ' ');
        if (at == NULL)
            return false;
        *at++ = '\0';
    }
    for (size_t i = 2; i < FIELDS - 1; i++)
        if (str_parse_u64(words[i], &numbers[i]) != 0)
            return false;
    *out = (struct fleet_view){.dest = words[0],
                               .left_ms = numbers[2],
                               .pause_ms = numbers[3],
                               .ramp_ms = numbers[4],
                               .opens = numbers[5],
                               .failing_ms = numbers[6],
                               .percent = numbers[7] <= 100 ? (unsigned)numbers[7] : 100,
                               .change = numbers[8],
                               .why = words[FIELDS - 1]};
    for (enum fleet_state s = FLEET_CLOSED; s <= FLEET_DISABLED; s++)
        if (strcmp(words[1], fleet_state_name(s)) == 0) {
            out->state = s;
            return words[0][0] != '\0';
        }
    return false;
}

/* ---- calls */

struct ask {
    struct fleet *f;
    fleet_done_fn done;
    fleet_tokens_fn tokens;
    void *arg;
};

static void refused(struct fleet *f, enum redis_status status, const struct redisReply *reply)
{
    if (status != REDIS_ERROR || f->refused_said)
        return;
    f->refused_said = true;
    log_error("fleet_refused", "why=%s remedy=%s", log_q(reply->str),
              log_q("let the Redis user call scripts and use the keys and the channel PREFIX:dray:*"));
}

static void on_health(enum redis_status status, const struct redisReply *reply, void *arg)
{
    struct ask *a = arg;
    struct fleet_view v;
    char text[TEXT_SIZE];
    refused(a->f, status, reply);
    if (status == REDIS_OK && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
        reply->element[0]->type == REDIS_REPLY_INTEGER && reply->element[1]->type == REDIS_REPLY_STRING) {
        str_copy(text, reply->element[1]->str, sizeof text);
        if (fleet_view_parse(text, &v)) {
            a->f->refused_said = false;
            a->done((int)reply->element[0]->integer, &v, a->arg);
            free(a);
            return;
        }
    }
    a->done(-1, NULL, a->arg);
    free(a);
}

static char *number(char dst[24], uint64_t v)
{
    snprintf(dst, 24, "%" PRIu64, v);
    return dst;
}

/* n words behind the token. */
static void call_health(struct fleet *f, const char *dest, const char *op, int n, const char *const *words,
                        fleet_done_fn done, void *arg)
{
    const struct fleet_rules *r = &f->o.rules;
    if (f->alone != NULL) {
        struct fleet_view v;
        int granted = fleet_alone_ask(f->alone, r, dest, op, words, &v);
        done(granted, &v, arg);
        return;
    }
    const char *argv[ARGS_MAX] = {f->base, dest, op, f->o.token};
    char numbers[4][24];
    struct ask *a = xcalloc(1, sizeof *a);
    int argc = 4;
    *a = (struct ask){.f = f, .done = done, .arg = arg};
    for (int i = 0; i < n; i++)
        argv[argc++] = words[i];
    argv[argc++] = number(numbers[0], r->open_min_ms);
    argv[argc++] = number(numbers[1], r->open_max_ms);
    argv[argc++] = number(numbers[2], r->ramp_ms);
    argv[argc++] = number(numbers[3], r->disable_ms);
    redis_script_call(f->o.redis, &health_script, on_health, a, 1, argc, argv, NULL);
}

/* A reason as one short line. Returns dst. */
static const char *reason(char dst[FLEET_WHY_MAX], const char *why)
{
    size_t n = 0;
    for (const char *p = why; *p != '\0' && n + 1 < FLEET_WHY_MAX; p++)
        dst[n++] = (unsigned char)*p < 0x20 || *p == 0x7f ? ' ' : *p;
    while (n > 0 && ((unsigned char)dst[n - 1] & 0x80) != 0 && why[n] != '\0')
        n--; /* half a character */
    dst[n] = '\0';
    return n > 0 ? dst : "-";
}

void fleet_look(struct fleet *f, const char *dest, fleet_done_fn done, void *arg)
{
    call_health(f, dest, "look", 0, NULL, done, arg);
}

void fleet_pause(struct fleet *f, const char *dest, uint64_t ms, fleet_done_fn done, void *arg)
{
    char n[24];
    call_health(f, dest, "pause", 1, (const char *const[]){number(n, ms)}, done, arg);
}

void fleet_open(struct fleet *f, const char *dest, const char *why, uint64_t failing_ms, uint64_t opens,
                fleet_done_fn done, void *arg)
{
    char ms[24], n[24], text[FLEET_WHY_MAX];
    const char *words[] = {reason(text, why), number(ms, failing_ms), number(n, opens)};
    call_health(f, dest, "open", 3, words, done, arg);
}

void fleet_probe(struct fleet *f, const char *dest, uint64_t lease_ms, fleet_done_fn done, void *arg)
{
    char n[24];
    call_health(f, dest, "probe", 1, (const char *const[]){number(n, lease_ms)}, done, arg);
}

void fleet_unprobe(struct fleet *f, const char *dest, fleet_done_fn done, void *arg)
{
    call_health(f, dest, "unprobe", 0, NULL, done, arg);
}

void fleet_probed(struct fleet *f, const char *dest, bool ok, const char *why, fleet_done_fn done, void *arg)
{
    char text[FLEET_WHY_MAX];
    call_health(f, dest, ok ? "ok" : "bad", 1, (const char *const[]){reason(text, why)}, done, arg);
}

void fleet_disable(struct fleet *f, const char *dest, const char *why, fleet_done_fn done, void *arg)
{
    char text[FLEET_WHY_MAX];
    call_health(f, dest, "disable", 1, (const char *const[]){reason(text, why)}, done, arg);
}

void fleet_enable(struct fleet *f, const char *dest, fleet_done_fn done, void *arg)
{
    call_health(f, dest, "enable", 0, NULL, done, arg);
}

/* ---- tokens */

static void on_tokens(enum redis_status status, const struct redisReply *reply, void *arg)
{
    struct ask *a = arg;
    bool good = status == REDIS_OK && reply->type == REDIS_REPLY_ARRAY && reply->elements == 3;
    refused(a->f, status, reply);
    for (size_t i = 0; good && i < 3; i++)
        good = reply->element[i]->type == REDIS_REPLY_INTEGER && reply->element[i]->integer >= 0;
    if (good)
        a->tokens((int)reply->element[0]->integer, (uint64_t)reply->element[1]->integer,
                  (uint64_t)reply->element[2]->integer, a->arg);
    else
        a->tokens(-1, 0, 0, a->arg);
    free(a);
}

void fleet_ask_tokens(struct fleet *f, const char *dest, const struct fleet_wish *w, fleet_tokens_fn done,
                      void *arg)
{
    if (f->alone != NULL) {
        uint64_t retry_ms, used;
        int tokens = fleet_alone_tokens(f->alone, dest, w, &retry_ms, &used);
        done(tokens, retry_ms, used, arg);
        return;
    }
    struct ask *a = xcalloc(1, sizeof *a);
    char rate[32], want[24], taken[24], refusals[24], guess[24];
    *a = (struct ask){.f = f, .tokens = done, .arg = arg};
    snprintf(rate, sizeof rate, "%.6f", w->rate);
    const char *argv[] = {f->base,
                          dest,
                          rate,
                          number(want, w->want),
                          number(taken, w->taken),
                          number(refusals, w->refused),
                          number(guess, w->guess),
                          w->learn ? "1" : "0"};
    redis_script_call(f->o.redis, &rate_script, on_tokens, a, 1, sizeof argv / sizeof *argv, argv, NULL);
}

/* ---- news */

static void on_message(struct redis *r, const char *message, size_t len, void *arg)
{
    struct fleet *f = arg;
    struct fleet_view v;
    char text[TEXT_SIZE];
    (void)r;
    if (len >= sizeof text)
        return;
    str_copy(text, message, sizeof text);
    if (fleet_view_parse(text, &v))
        f->events.news(&v, f->arg);
}

static void on_listening(struct redis *r, int64_t client_id, void *arg)
{
    struct fleet *f = arg;
    (void)r, (void)client_id;
    f->seen[0] = '\0'; /* what was published meanwhile was not heard */
    fleet_second(f);
}

static void on_count(enum redis_status status, const struct redisReply *reply, void *arg)
{
    struct fleet *f = arg;
    size_t len;
    const char *text = status == REDIS_OK ? redis_reply_text(reply, &len) : NULL;
    f->asking = false;
    if (status != REDIS_OK)
        return;
    if (text == NULL)
        text = "0"; /* nothing was ever told, or Redis was emptied */
    if (strncmp(f->seen, text, sizeof f->seen - 1) == 0)
        return;
    str_copy(f->seen, text, sizeof f->seen);
    f->events.moved(f->arg);
}

void fleet_second(struct fleet *f)
{
    const char *argv[] = {"GET", f->counter};
    if (f->alone != NULL || f->asking || redis_state(f->o.redis) != REDIS_READY)
        return;
    f->asking = true;
    redis_command(f->o.redis, on_count, f, 2, argv, NULL);
}

struct fleet *fleet_new(const struct fleet_options *o, const struct fleet_events *events, void *arg)
{
    struct redis_events listening = {.ready = on_listening, .message = on_message};
    struct redis_options listener = o->listener != NULL ? *o->listener : (struct redis_options){0};
    struct fleet *f = xcalloc(1, sizeof *f);
    f->o = *o;
    f->o.prefix = NULL;
    f->o.listener = NULL;
    f->o.token = xstrdup(o->token);
    f->events = *events;
    f->arg = arg;
    snprintf(f->base, sizeof f->base, "%s:dray:", o->prefix);
    snprintf(f->counter, sizeof f->counter, "%sdests", f->base);
    if (o->redis == NULL) {
        f->alone = fleet_alone_new();
        return f;
    }
    if (o->listener == NULL)
        return f;
    listener.no_scripts = true;
    listener.check_policy = false;
    listener.channel = f->counter;
    f->listener = redis_new(o->loop, &listener, &listening, f);
    return f;
}

void fleet_free(struct fleet *f)
{
    redis_free(f->listener);
    fleet_alone_free(f->alone);
    free((char *)(uintptr_t)f->o.token);
    free(f);
}

void fleet_tune(struct fleet *f, const struct fleet_rules *rules)
{
    f->o.rules = *rules;
}
