/* protocol - the mode and number of partitions of a destination, as they stand in Redis. */
#include "common/queue/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/queue/order.h"

enum { P_VERDICT, P_FORMAT, P_MODE, P_PARTITIONS, P_JOBS, FIELDS };

struct protocol_call {
    struct queue_call call;
    queue_protocol_fn fn;
    void *arg;
};

const char *queue_mode_name(enum queue_mode m)
{
    static const char *const names[] = {
        [QUEUE_MODE_SHARED] = "shared", [QUEUE_MODE_STRICT] = "strict", [QUEUE_MODE_KEY] = "key"};
    return (size_t)m < sizeof names / sizeof *names ? names[m] : "?";
}

static uint64_t number_at(const struct redisReply *reply, size_t i)
{
    const struct redisReply *r = reply->element[i];
    return r->type == REDIS_REPLY_INTEGER && r->integer > 0 ? (uint64_t)r->integer : 0;
}

static void on_answer(struct queue_call *c, enum queue_status s, const char *why,
                      const struct redisReply *reply)
{
    const struct protocol_call *pc = (const struct protocol_call *)(const void *)c;
    struct queue_protocol found = {0};
    if (s == QUEUE_OK && (reply->type != REDIS_REPLY_ARRAY || reply->elements != FIELDS ||
                          reply->element[P_MODE]->type != REDIS_REPLY_STRING ||
                          number_at(reply, P_VERDICT) > QUEUE_PROTOCOL_OCCUPIED)) {
        s = QUEUE_BROKEN;
        why = "Redis gave an unexpected answer";
    }
    if (s == QUEUE_OK) {
        found.verdict = (enum queue_protocol_verdict)number_at(reply, P_VERDICT);
        found.format = number_at(reply, P_FORMAT);
        found.partitions = number_at(reply, P_PARTITIONS);
        found.jobs = number_at(reply, P_JOBS);
        str_copy(found.mode, reply->element[P_MODE]->str, sizeof found.mode);
    }
    pc->fn(s, why, &found, pc->arg);
}

static void send_protocol(struct queue *home, const char *expected, enum queue_mode mode, uint32_t partitions,
                          queue_protocol_fn fn, void *arg)
{
    struct protocol_call *c = xcalloc(1, sizeof *c);
    char format[8], count[16];
    c->call.finish = on_answer;
    c->fn = fn;
    c->arg = arg;
    snprintf(format, sizeof format, "%d", QUEUE_PROTOCOL_FORMAT);
    snprintf(count, sizeof count, "%" PRIu32, partitions);
    const char *argv[] = {format, queue_mode_name(mode), count, expected};
    queue_call_script(home, &c->call, &queue_script_protocol, expected != NULL ? 4 : 3, argv, NULL);
}

void queue_protocol_check(struct queue *home, enum queue_mode mode, uint32_t partitions, queue_protocol_fn fn,
                          void *arg)
{
    send_protocol(home, NULL, mode, partitions, fn, arg);
}

void queue_protocol_set(struct queue *home, const struct queue_protocol *found, enum queue_mode mode,
                        uint32_t partitions, queue_protocol_fn fn, void *arg)
{
    char expected[80];
    snprintf(expected, sizeof expected, "%" PRIu64 ",%s,%" PRIu64, found->format, found->mode,
             found->partitions);
    send_protocol(home, expected, mode, partitions, fn, arg);
}
