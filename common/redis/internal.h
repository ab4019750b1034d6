/* internal - what the files of redis/ share; nobody else includes it.
 *
 * redis.c   life of the connection: connect, lose, come back
 * hello.c   what is said on each new connection before it is READY
 * command.c commands, replies, the watchdog
 * link.c    hiredis' hooks on libev: one write a loop turn
 * alone.c   is it the only server? memory.c how full is it?
 * none.c    the connection that is none
 * subscribe.c channels
 * script.c  registered scripts; url.c where and as whom; blocking.c the client of the command line
 */
#ifndef DRAY_COMMON_REDIS_INTERNAL_H
#define DRAY_COMMON_REDIS_INTERNAL_H

#include "common/redis/redis.h"

#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#include "common/base/buf.h"
#include "common/base/list.h"

#define REDIS_RUN_ID_SIZE 64
#define REDIS_WHY_SIZE    256

struct redis_target {
    char *host; /* NULL: unix socket */
    char *path;
    int port;
    char *username, *password; /* "" = none */
    int db;
};

/* 0, or -1 with why filled in. */
int redis_target_parse(struct redis_target *t, const char *url, const char *username, const char *password,
                       char *why, size_t size);
void redis_target_fini(struct redis_target *t);

/* The watchers of one hiredis context; hiredis frees it through the cleanup hook. */
struct redis_link {
    struct ev_loop *loop;
    redisAsyncContext *ac;
    ev_io readable, writable;
    bool dirty;    /* something to write at the end of this loop turn */
    bool flushing; /* inside the write at the end of the turn */
};

struct redis_link *redis_link_new(struct ev_loop *loop, redisAsyncContext *ac);
/* May end the connection and free l. */
void redis_link_flush(struct redis_link *l);

/* One command whose reply somebody waits for. hiredis holds it until its callback; r is NULL once it was answered. */
struct redis_pending {
    struct list link;
    struct redis *r;
    redis_reply_fn fn;
    void *arg;
    uint64_t sent_ms;
    char *again; /* the formatted command, to repeat it after NOSCRIPT */
    size_t again_len;
    unsigned repeats;
};

struct redis {
    struct ev_loop *loop;
    struct redis_options o;
    struct redis_target target;
    struct redis_events events;
    void *arg;
    enum redis_state state;
    redisAsyncContext *ac;
    struct redis_link *link;
    ev_timer connect_timer, reconnect_timer, watchdog;
    ev_prepare prepare;
    struct list pending;
    const struct redis_pending *suspect; /* seen too old once */
    uint64_t heard_ms;                   /* the last reply */
    unsigned attempt;
    int64_t client_id, old_client_id;
    char run_id[REDIS_RUN_ID_SIZE];
    bool aof;
    bool alone, alone_asked; /* no replicas, no cluster; a question is on the way */
    uint64_t alone_asked_ms; /* the last one, 0: none on this connection */
    bool was_ready, told_down;
    struct buf scratch;
    unsigned depth; /* inside so many callbacks */
    bool dead;      /* redis_free was called inside one */
};

/* A callback may free the connection: enter before it, leave behind it; leave returns false when r is gone. */
void redis_enter(struct redis *r);
bool redis_leave(struct redis *r);

void redis_hello(struct redis *r);
void redis_ready(struct redis *r);
/* unfit: trying again soon is of no use. Ends the connection. */
void redis_refuse(struct redis *r, bool unfit, const char *why);

/* Sends whatever the state; fn NULL: the reply is dropped. 0, or -1 when there is no usable context. */
int redis_send(struct redis *r, redis_reply_fn fn, void *arg, int argc, const char *const *argv,
               const size_t *lens);
int redis_sendf(struct redis *r, redis_reply_fn fn, void *arg, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* All pending callbacks get REDIS_UNKNOWN. */
void redis_fail_pending(struct redis *r);
void redis_watchdog_init(struct redis *r);

/* Asks which of the registered scripts the server has; sends SCRIPT LOAD for those that the answer has not. */
int redis_ask_scripts(struct redis *r, redis_reply_fn fn, void *arg);
int redis_load_missing(struct redis *r, const struct redisReply *there, redis_reply_fn fn, void *arg);
size_t redis_count_scripts(void);
/* Sends SCRIPT LOAD for every registered script; fn sees each reply. */
int redis_load_scripts(struct redis *r, redis_reply_fn fn, void *arg);

#endif
