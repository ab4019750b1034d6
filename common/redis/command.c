/* command - sending commands, taking replies, and noticing that none comes.
 *
 * A reply that is overdue ends the connection (a stopped server keeps its sockets open); everything pending is then
 * of unknown outcome. A script that the server has forgotten is loaded again and called once more.
 */
#include "common/redis/internal.h"

#include <hiredis/sds.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/fatal.h"
#include "common/base/mem.h"

#define SCRATCH_MAX  (64u << 20)
#define SCRATCH_KEEP (256u << 10) /* a larger scratch buffer is given back after use */
#define LARGE_BYTES  4096u        /* an argument of so many is not copied by way of scratch */
#define CUTS_MAX     4
#define WORDS_MAX    32
#define GRACE_S      0.05

/* ---- formatting */

/* A command that is not in scratch as a whole: its large arguments stay where they are. */
struct cuts {
    int n;
    size_t large_bytes;
    struct {
        size_t at; /* where in scratch it belongs */
        const char *data;
        size_t len;
    } large[CUTS_MAX];
};

/* cuts NULL: everything is copied. */
static int format(struct redis *r, int argc, const char *const *argv, const size_t *lens, struct cuts *cuts)
{
    struct buf *b = &r->scratch;
    if (b->max == 0)
        buf_init(b, SCRATCH_MAX);
    buf_reset(b);
    if (buf_printf(b, "*%d\r\n", argc) < 0)
        return -1;
    for (int i = 0; i < argc; i++) {
        size_t len = lens != NULL ? lens[i] : strlen(argv[i]);
        bool large = cuts != NULL && len >= LARGE_BYTES && cuts->n < CUTS_MAX;
        char head[32];
        int n = snprintf(head, sizeof head, "$%zu\r\n", len);
        if (buf_append(b, head, (size_t)n) < 0 || (!large && buf_append(b, argv[i], len) < 0))
            return -1;
        if (large) {
            cuts->large[cuts->n].at = b->len;
            cuts->large[cuts->n].data = argv[i];
            cuts->large[cuts->n++].len = len;
            cuts->large_bytes += len;
        }
        if (buf_append(b, "\r\n", 2) < 0)
            return -1;
    }
    return 0;
}

static void trim_scratch(struct redis *r)
{
    if (r->scratch.cap > SCRATCH_KEEP)
        buf_fini(&r->scratch);
}

/* ---- replies */

#define REPEATS_MAX 8

static int send_again(struct redis *r, struct redis_pending *p);

static bool is_noscript(const redisReply *reply)
{
    return reply != NULL && reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "NOSCRIPT", 8) == 0;
}

static void on_reply(redisAsyncContext *ac, void *reply_arg, void *arg)
{
    struct redis_pending *p = arg;
    redisReply *reply = reply_arg;
    struct redis *r = p->r;
    if (r == NULL) { /* answered when the connection was given up */
        free(p->again);
        free(p);
        return;
    }
    list_remove(&p->link);
    if (reply != NULL)
        r->heard_ms = clock_mono_ms();
    if (reply == NULL && r->ac == ac)
        r->state = REDIS_DOWN; /* what callbacks send now cannot go out any more */
    if (p->again != NULL && is_noscript(reply) && send_again(r, p) == 0)
        return;
    enum redis_status status = REDIS_UNKNOWN;
    if (reply != NULL)
        status = reply->type == REDIS_REPLY_ERROR ? REDIS_ERROR : REDIS_OK;
    redis_enter(r);
    p->fn(status, reply, p->arg);
    redis_leave(r);
    free(p->again);
    free(p);
}

static void remember(struct redis *r, struct redis_pending *p)
{
    p->r = r;
    p->sent_ms = clock_mono_ms();
    list_push_back(&r->pending, &p->link);
    if (r->o.command_timeout_ms > 0 && !ev_is_active(&r->watchdog)) {
        ev_timer_set(&r->watchdog, (double)r->o.command_timeout_ms / 1000.0, 0.0);
        ev_timer_start(r->loop, &r->watchdog);
    }
}

static int send_again(struct redis *r, struct redis_pending *p)
{
    /* Somebody may flush the scripts between the two, which the server may read one by one. */
    if (p->repeats++ >= REPEATS_MAX || r->ac == NULL || redis_load_scripts(r, NULL, NULL) < 0)
        return -1;
    if (redisAsyncFormattedCommand(r->ac, on_reply, p, p->again, p->again_len) != 0)
        return -1;
    remember(r, p);
    return 0;
}

/* What follows the first `at` bytes of scratch. Room was made for it: half a command must not leave. */
static void append_rest(struct redis *r, const struct cuts *cuts, size_t at)
{
    redisContext *c = &r->ac->c;
    for (int i = 0; i < cuts->n; i++) {
        size_t end = i + 1 < cuts->n ? cuts->large[i + 1].at : r->scratch.len;
        if (redisAppendFormattedCommand(c, cuts->large[i].data, cuts->large[i].len) != 0 ||
            redisAppendFormattedCommand(c, r->scratch.data + at, end - at) != 0)
            fatal(EXIT_CODE_NOMEM, "no memory for half a command");
        at = end;
    }
}

/* Sends what scratch and cuts hold. again: it is kept, to be repeated. */
static int send_formatted(struct redis *r, redis_reply_fn fn, void *arg, const struct cuts *cuts, bool again)
{
    if (r->ac == NULL)
        return -1;
    size_t first = cuts->n > 0 ? cuts->large[0].at : r->scratch.len;
    sds room = sdsMakeRoomFor(r->ac->c.obuf, r->scratch.len + cuts->large_bytes);
    if (room == NULL)
        return -1;
    r->ac->c.obuf = room;
    struct redis_pending *p = NULL;
    if (fn != NULL) {
        p = xcalloc(1, sizeof *p);
        p->fn = fn;
        p->arg = arg;
        if (again) {
            p->again = xmalloc(r->scratch.len);
            memcpy(p->again, r->scratch.data, r->scratch.len);
            p->again_len = r->scratch.len;
        }
    }
    int rc = redisAsyncFormattedCommand(r->ac, p != NULL ? on_reply : NULL, p, r->scratch.data, first);
    if (rc == 0)
        append_rest(r, cuts, first);
    trim_scratch(r);
    if (rc != 0) {
        if (p != NULL)
            free(p->again);
        free(p);
        return -1;
    }
    if (p != NULL)
        remember(r, p);
    return 0;
}

int redis_send(struct redis *r, redis_reply_fn fn, void *arg, int argc, const char *const *argv,
               const size_t *lens)
{
    struct cuts cuts = {0};
    if (format(r, argc, argv, lens, &cuts) < 0)
        return -1;
    return send_formatted(r, fn, arg, &cuts, false);
}

/* Splits text in place at single spaces. */
static int split(char *text, const char *argv[WORDS_MAX])
{
    int argc = 0;
    for (char *save = NULL, *w = strtok_r(text, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save)) {
        ASSERT(argc < WORDS_MAX);
        argv[argc++] = w;
    }
    return argc;
}

static int send_words(struct redis *r, redis_reply_fn fn, void *arg, const char *fmt, va_list ap)
{
    char *text = NULL;
    const char *argv[WORDS_MAX];
    if (vasprintf(&text, fmt, ap) < 0)
        return -1;
    int argc = split(text, argv);
    int rc = redis_send(r, fn, arg, argc, argv, NULL);
    free(text);
    return rc;
}

int redis_sendf(struct redis *r, redis_reply_fn fn, void *arg, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int rc = send_words(r, fn, arg, fmt, ap);
    va_end(ap);
    return rc;
}

void redis_command(struct redis *r, redis_reply_fn fn, void *arg, int argc, const char *const *argv,
                   const size_t *lens)
{
    if ((r->state != REDIS_READY || redis_send(r, fn, arg, argc, argv, lens) < 0) && fn != NULL)
        fn(REDIS_AWAY, NULL, arg);
}

void redis_commandf(struct redis *r, redis_reply_fn fn, void *arg, const char *fmt, ...)
{
    int rc = -1;
    if (r->state == REDIS_READY) {
        va_list ap;
        va_start(ap, fmt);
        rc = send_words(r, fn, arg, fmt, ap);
        va_end(ap);
    }
    if (rc < 0 && fn != NULL)
        fn(REDIS_AWAY, NULL, arg);
}

void redis_script_call(struct redis *r, const struct redis_script *s, redis_reply_fn fn, void *arg, int keys,
                       int argc, const char *const *argv, const size_t *lens)
{
    const char **all = xcalloc((size_t)argc + 3, sizeof *all);
    size_t *all_lens = xcalloc((size_t)argc + 3, sizeof *all_lens);
    char count[16];
    snprintf(count, sizeof count, "%d", keys);
    all[0] = "EVALSHA";
    all[1] = s->sha1;
    all[2] = count;
    for (int i = 0; i < argc; i++)
        all[i + 3] = argv[i];
    for (int i = 0; i < argc + 3; i++)
        all_lens[i] = i >= 3 && lens != NULL ? lens[i - 3] : strlen(all[i]);
    int rc = -1;
    if (r->state == REDIS_READY && format(r, argc + 3, all, all_lens, NULL) == 0)
        rc = send_formatted(r, fn, arg, &(struct cuts){0}, true);
    free(all);
    free(all_lens);
    if (rc < 0 && fn != NULL)
        fn(REDIS_AWAY, NULL, arg);
}

void redis_fail_pending(struct redis *r)
{
    struct list all;
    list_init(&all);
    struct redis_pending *p;
    list_foreach(p, &r->pending, struct redis_pending, link)
    {
        list_remove(&p->link);
        list_push_back(&all, &p->link);
    }
    while ((p = list_first(&all, struct redis_pending, link)) != NULL) {
        list_remove(&p->link);
        p->r = NULL; /* hiredis still holds it */
        p->fn(REDIS_UNKNOWN, NULL, p->arg);
    }
}

/* ---- the watchdog */

/* The time counts from the last reply of any kind: a server that is slow but answers is left alone.
 * What is overdue gets a short grace: when this process itself stood still, the reply may lie in the socket unread. */
static void on_watchdog(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)events;
    struct redis *r = w->data;
    const struct redis_pending *oldest = list_first(&r->pending, struct redis_pending, link);
    if (oldest == NULL) {
        r->suspect = NULL;
        return;
    }
    uint64_t since = oldest->sent_ms > r->heard_ms ? oldest->sent_ms : r->heard_ms;
    uint64_t age = clock_mono_ms() - since;
    double wait = GRACE_S;
    if (age < r->o.command_timeout_ms) {
        r->suspect = NULL;
        wait = (double)(r->o.command_timeout_ms - age) / 1000.0;
    } else if (r->suspect == oldest) {
        r->suspect = NULL;
        redis_drop(r, "no answer in time");
        return;
    } else {
        r->suspect = oldest;
    }
    ev_timer_set(w, wait, 0.0);
    ev_timer_start(loop, w);
}

void redis_watchdog_init(struct redis *r)
{
    ev_timer_init(&r->watchdog, on_watchdog, 0.0, 0.0);
    r->watchdog.data = r;
}

size_t redis_unsent(const struct redis *r)
{
    return r->ac != NULL && r->ac->c.obuf != NULL ? sdslen(r->ac->c.obuf) : 0;
}

/* ---- error replies */

char *redis_error_word(const struct redisReply *reply, char *dst, size_t size)
{
    size_t n = 0;
    if (reply != NULL && reply->type == REDIS_REPLY_ERROR)
        for (; n + 1 < size && reply->str[n] != '\0' && reply->str[n] != ' '; n++)
            dst[n] = reply->str[n];
    dst[n] = '\0';
    return dst;
}

bool redis_error_is_temporary(const struct redisReply *reply)
{
    static const char *const words[] = {"LOADING",    "OOM",      "READONLY",  "BUSY",
                                        "MASTERDOWN", "TRYAGAIN", "EXECABORT", "CLUSTERDOWN",
                                        "NOREPLICAS", "MISCONF",  "UNKILLABLE"};
    char word[32];
    redis_error_word(reply, word, sizeof word);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(word, words[i]) == 0)
            return true;
    return false;
}
