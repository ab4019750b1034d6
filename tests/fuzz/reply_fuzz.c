/* reply_fuzz - Redis may answer whatever it likes: replies of any form to everything that a queue asks for. Each call is
 * answered exactly once, nothing is read outside of a reply, and what is freed early is answered too.
 *
 * The connection is replaced: what the queue sends is caught, and gets the replies that the input holds as RESP. */
#include "common/queue/queue.h"

#include <ev.h>
#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>

#define CALLS_MAX 256

#define CHECK(cond)                                                                                          \
    do {                                                                                                     \
        if (!(cond))                                                                                         \
            abort();                                                                                         \
    } while (0)

static struct {
    redis_reply_fn fn[CALLS_MAX];
    void *arg[CALLS_MAX];
    size_t n;
} caught;

static size_t asked, answered;

/* ---- the connection */

static void catch (redis_reply_fn fn, void *arg)
{
    CHECK(caught.n < CALLS_MAX);
    caught.fn[caught.n] = fn;
    caught.arg[caught.n++] = arg;
}

void redis_command(struct redis *r, redis_reply_fn fn, void *arg, int argc, const char *const *argv,
                   const size_t *lens)
{
    (void)r;
    for (int i = 0; i < argc; i++)
        CHECK(argv[i] != NULL || (lens != NULL && lens[i] == 0));
    catch (fn, arg);
}

void redis_script_call(struct redis *r, const struct redis_script *s, redis_reply_fn fn, void *arg, int nkeys,
                       int argc, const char *const *argv, const size_t *lens)
{
    (void)r, (void)s, (void)nkeys, (void)argc, (void)argv, (void)lens;
    catch (fn, arg);
}

void redis_script_register(struct redis_script *s)
{
    memset(s->sha1, 'a', sizeof s->sha1 - 1);
}

enum redis_state redis_state(const struct redis *r)
{
    (void)r;
    return REDIS_READY;
}

size_t redis_unsent(const struct redis *r)
{
    (void)r;
    return 0;
}

int64_t redis_client_id(const struct redis *r)
{
    (void)r;
    return 7;
}

bool redis_is_alone(struct redis *r)
{
    (void)r;
    return true;
}

char *redis_error_word(const struct redisReply *reply, char *word, size_t size)
{
    size_t n = 0;
    for (; reply->str != NULL && n + 1 < size && n < (size_t)reply->len && reply->str[n] != ' '; n++)
        word[n] = reply->str[n];
    word[n] = '\0';
    return word;
}

bool redis_error_is_temporary(const struct redisReply *reply)
{
    char word[32];
    return strcmp(redis_error_word(reply, word, sizeof word), "OOM") == 0;
}

/* ---- the queue's callers */

static void on_done(enum queue_status s, const char *why, void *arg)
{
    (void)arg;
    CHECK(s == QUEUE_OK || why == NULL || strlen(why) < 100000);
    answered++;
}

static void on_seen(enum queue_status s, const char *why, void *arg)
{
    bool any = false;
    (void)why;
    for (size_t i = 0; i < 1000; i++)
        any |= queue_seen_has(*(struct queue **)arg, i);
    CHECK(s != QUEUE_SEEN || any);
    answered++;
}

static void on_taken(enum queue_status s, const struct queue_job *jobs, size_t n, void *arg)
{
    (void)s, (void)arg;
    for (size_t i = 0; i < n; i++) {
        CHECK(strlen(jobs[i].id) + strlen(jobs[i].name) < 1000000);
        CHECK(jobs[i].data_len == 0 || memchr(jobs[i].data, 0xee, jobs[i].data_len) != (void *)1);
        CHECK(jobs[i].opts_len == 0 || memchr(jobs[i].opts, 0xee, jobs[i].opts_len) != (void *)1);
    }
    answered++;
}

static void on_counts(enum queue_status s, const struct queue_counts *c, void *arg)
{
    (void)s, (void)c, (void)arg;
    answered++;
}

static void on_released(enum queue_status s, uint64_t jobs, void *arg)
{
    (void)s, (void)jobs, (void)arg;
    answered++;
}

static void on_tokens(enum queue_status s, const char *const *tokens, size_t n, void *arg)
{
    (void)s, (void)arg;
    for (size_t i = 0; i < n; i++)
        CHECK(strlen(tokens[i]) < 1000000);
    answered++;
}

static void on_lost(const char *id, void *arg)
{
    (void)arg;
    CHECK(strcmp(id, "b1") == 0 || strcmp(id, "b2") == 0);
}

static void ask(struct queue *q, struct queue **self)
{
    static const char *const ids[] = {"b1", "b2"};
    struct queue_job job = {.id = "b1", .name = "__default__", .data = "{}", .opts = "{}", .data_len = 2, .opts_len = 2};
    queue_add(q, "b1", "{}", 2, on_done, NULL);
    queue_add_seen(q, "b2", "{}", 2, "aaaaaaaaaaaabbbbbbbbbbbbcccccccccccc", 3, on_seen, self);
    queue_complete(q, &job, "{}", on_done, NULL);
    queue_delay(q, &job, 10, true, "why", on_done, NULL);
    queue_take(q, 2, on_taken, NULL);
    queue_count(q, on_counts, NULL);
    queue_renew(q, ids, 2, on_lost, on_done, NULL);
    queue_release_token(q, "t", on_released, NULL);
    queue_list_tokens(q, "t", on_tokens, NULL);
    asked += 9;
}

/* The next reply of the input; NULL: there is none. */
static struct redisReply *next(redisReader *reader)
{
    void *reply = NULL;
    if (redisReaderGetReply(reader, &reply) != REDIS_OK)
        return NULL;
    return reply;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ev_loop *loop;
    struct queue_options o = {.prefix = "{dray}", .name = "q", .token = "node.1.0.1", .lock_ms = 30000,
                              .stalled_interval_ms = 30000, .max_stalled = 3, .keep_completed_count = 10,
                              .seen_window_ms = 3600000, .seen_max = 1000};
    if (loop == NULL) {
        loop = ev_loop_new(EVFLAG_AUTO);
        queue_register_scripts();
    }
    static char nothing;
    struct queue *q = queue_new(loop, (struct redis *)(void *)&nothing, &o);
    redisReader *reader = redisReaderCreate();
    caught.n = asked = answered = 0;
    ask(q, &q);
    ev_run(loop, EVRUN_NOWAIT);
    redisReaderFeed(reader, (const char *)data, size);
    size_t i = 0;
    for (; i < caught.n; i++) { /* what is answered may ask again */
        struct redisReply *reply = next(reader);
        if (reply == NULL)
            break;
        if (caught.fn[i] != NULL)
            caught.fn[i](reply->type == REDIS_REPLY_ERROR ? REDIS_ERROR : REDIS_OK, reply, caught.arg[i]);
        freeReplyObject(reply);
        ev_run(loop, EVRUN_NOWAIT);
    }
    queue_free(q);
    for (; i < caught.n; i++)
        if (caught.fn[i] != NULL)
            caught.fn[i](REDIS_UNKNOWN, NULL, caught.arg[i]);
    CHECK(answered == asked);
    redisReaderFree(reader);
    return 0;
}
