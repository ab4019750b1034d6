/* redis - one connection to Redis on the event loop (hiredis async): connect, AUTH, SELECT, SETNAME, reconnect.
 *
 * The connection is always wanted: it comes back by itself with a jittered, doubling delay. hiredis 0.14.1 frees its
 * context when a connection fails or is lost, has no connect time-out, and gives every pending callback NULL; this
 * layer hides all three. A reply of REDIS_UNKNOWN means that the command may or may not have run: whatever is sent
 * here must be safe to send again. Commands given while there is no connection fail at once with REDIS_AWAY.
 */
#ifndef DRAY_COMMON_REDIS_REDIS_H
#define DRAY_COMMON_REDIS_REDIS_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* hiredis has a macro of this name and value; include this header first where both are needed. */
#ifdef REDIS_OK
#undef REDIS_OK
#endif

struct redis;
struct redisReply; /* hiredis */

struct redis_options {
    const char *url;                 /* redis://[user:password@]host:port/db, unix:///path?db=0 */
    const char *username, *password; /* "" = as in the url */
    const char *client_name;         /* CLIENT SETNAME, or NULL */
    uint64_t connect_timeout_ms, command_timeout_ms; /* command_timeout 0: none (blocking commands) */
    uint64_t reconnect_min_ms, reconnect_max_ms;
    double reconnect_jitter;
    bool no_scripts;   /* this connection calls none */
    const char *channel; /* not NULL: the connection does nothing but listen to it (SUBSCRIBE) */
    bool check_policy; /* on each connect: refuse an evicting maxmemory-policy, find out about AOF */
};

enum redis_state { REDIS_DOWN, REDIS_CONNECTING, REDIS_READY };
enum redis_status {
    REDIS_OK,      /* reply holds no error */
    REDIS_ERROR,   /* an error reply: its text in reply->str */
    REDIS_UNKNOWN, /* the connection was lost (or timed out) after sending */
    REDIS_AWAY,    /* not sent: there is no connection */
};

struct redis_events {
    /* Scripts are loaded and the connection may be used. client_id is CLIENT ID. Called after every reconnect. */
    void (*ready)(struct redis *r, int64_t client_id, void *arg);
    void (*down)(struct redis *r, const char *why, void *arg); /* may be called again while attempts fail */
    /* The server must not be used (evicting policy, wrong password, too old): why says what to change. The connection
     * is tried again all the same. May be NULL. */
    void (*unfit)(struct redis *r, const char *why, void *arg);
    /* With options.channel: something was published there since READY. text is NUL-terminated. */
    void (*message)(struct redis *r, const char *text, size_t len, void *arg);
};

typedef void (*redis_reply_fn)(enum redis_status status, const struct redisReply *reply, void *arg);

/* Copies the options. */
struct redis *redis_new(struct ev_loop *loop, const struct redis_options *o,
                        const struct redis_events *events, void *arg);
/* For redis.mode: none: always ready, takes no command (REDIS_AWAY). */
struct redis *redis_none(struct ev_loop *loop, const struct redis_events *events, void *arg);
void redis_free(struct redis *r); /* pending callbacks get REDIS_UNKNOWN inside the call; NULL is fine */

/* Ends the connection, as if it had been lost; it comes back by itself. */
void redis_drop(struct redis *r, const char *why);

enum redis_state redis_state(const struct redis *r);
int64_t redis_client_id(const struct redis *r); /* 0 when down */
/* The append-only file is off (known once READY): what Redis has confirmed can be lost when it ends. */
bool redis_without_aof(const struct redis *r);
/* The server is neither part of a cluster nor has a replica: no older news than two seconds, false as long as there are
 * none. May send a question. */
bool redis_is_alone(struct redis *r);
/* Asks how much of its maxmemory the server uses; max 0: there is no such limit. fn once, with known false where there is no
 * answer. */
typedef void (*redis_memory_fn)(bool known, uint64_t used, uint64_t max, void *arg);
void redis_ask_memory(struct redis *r, redis_memory_fn fn, void *arg);
/* Bytes given to the connection and not yet written to its socket: callers stop adding at 512 KiB, because hiredis
 * moves its whole output buffer after each partial write. */
size_t redis_unsent(const struct redis *r);

/* Sends one command; fn may be NULL. lens may be NULL (then argv are C strings). Never blocks, never calls fn inside
 * the call except with REDIS_AWAY. */
void redis_command(struct redis *r, redis_reply_fn fn, void *arg, int argc, const char *const *argv,
                   const size_t *lens);
/* The same from printf-like text without binary arguments ("LLEN %s"). */
void redis_commandf(struct redis *r, redis_reply_fn fn, void *arg, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Listens to a channel, or to those of a pattern, until the connection is lost: to be called each time that it is ready. A
 * connection that listens takes no other commands. fn: a message; channel NULL: it listens from now on. The texts are valid
 * during the call. Nothing says that a message was missed. */
typedef void (*redis_message_fn)(const char *channel, const char *text, size_t len, void *arg);
void redis_subscribe(struct redis *r, const char *channel, bool pattern, redis_message_fn fn, void *arg);

/* Scripts: registered once per process before the first connect, there before a connection is used (a NOSCRIPT inside
 * EXEC would leave half a transaction), called by SHA-1; on NOSCRIPT they are loaded again and the call repeated. */
struct redis_script {
    const char *name, *text;
    char sha1[41]; /* filled in by redis_script_register */
};
void redis_script_register(struct redis_script *s);
void redis_script_call(struct redis *r, const struct redis_script *s, redis_reply_fn fn, void *arg, int keys,
                       int argc, const char *const *argv, const size_t *lens);

/* The text of a string, status or error reply; NULL for any other (and for no reply). */
const char *redis_reply_text(const struct redisReply *reply, size_t *len);
/* First word of an error reply ("OOM", "READONLY", "NOSCRIPT", "ERR") for metrics and decisions. Returns dst. */
char *redis_error_word(const struct redisReply *reply, char *dst, size_t size);
/* Would trying again later help (LOADING, OOM, READONLY, BUSY, MASTERDOWN, TRYAGAIN, CLUSTERDOWN, NOREPLICAS)? */
bool redis_error_is_temporary(const struct redisReply *reply);

/* A blocking client for command line verbs: connects, authenticates, selects. NULL with why filled in. */
struct redisContext *redis_connect_blocking(const char *url, const char *username, const char *password,
                                            uint64_t timeout_ms, char *why, size_t why_size);

#endif
