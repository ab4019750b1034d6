/* add - new jobs.
 *
 * What all queues on one connection were given in a turn is one transaction (exec.c). Of each queue's group, each job's
 * hash is written natively under <base>dray:new:<id>, then one script call gives all of them their place, or drops the
 * hash of an id that is or was there. A server that is full refuses a command while it is queued, and with it the whole
 * transaction. When the server has lost the script, the hashes stand ready and the script is called again by itself.
 */
#include "common/queue/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/id.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#define ID_MAX    128
#define ARGS_HEAD 4 /* "EVALSHA", its SHA-1, "1", the base */

struct queue_item {
    struct list link;
    struct list known; /* q->known, from being sent to being answered */
    queue_done_fn done;
    void *arg;
    const char *data; /* the caller's */
    size_t len;
    const char *digests; /* the caller's */
    size_t n_digests;
    uint64_t stamp_ms; /* in its options */
    unsigned offers;   /* takes that were told of it and are not answered */
    bool answered, stored;
    char id[ID_MAX];
};

struct group {
    struct queue_call call;
    struct list items;
    size_t n;
    size_t n_digests;
    bool direct; /* sent without a transaction */
    enum queue_status refused_as;
    char refusal[160]; /* what the first queued command was told */
};

/* Tells the refusal of a queued command, which EXEC does not repeat. Counts as a user of the group's call. */
struct probe {
    struct queue_call call;
    struct group *g;
};

/* The queues of this process that were given adds in this turn. */
static struct list *adders(void)
{
    static struct list queues;
    if (queues.next == NULL)
        list_init(&queues);
    return &queues;
}

static struct queue_item *add(struct queue *q, const char *id, const void *data, size_t len,
                              queue_done_fn done, void *arg)
{
    struct queue_item *it = xcalloc(1, sizeof *it); /* without an id: refused at the end of the turn */
    if (len <= QUEUE_JOB_MAX && q->adds_bytes + len <= QUEUE_PENDING_MAX && strlen(id) < ID_MAX) {
        str_copy(it->id, id, sizeof it->id);
        it->data = data;
        it->len = len;
        q->adds_bytes += len;
    }
    it->done = done;
    it->arg = arg;
    list_init(&it->known);
    list_push_back(&q->adds, &it->link);
    if (!list_linked(&q->adding))
        list_push_back(adders(), &q->adding);
    return it;
}

void queue_add(struct queue *q, const char *id, const void *data, size_t len, queue_done_fn done, void *arg)
{
    if (q->memory != NULL) {
        queue_memory_add(q->memory, id, data, len, done, arg);
        return;
    }
    (void)add(q, id, data, len, done, arg);
}

void queue_add_seen(struct queue *q, const char *id, const void *data, size_t len, const void *digests,
                    size_t n, queue_done_fn done, void *arg)
{
    if (q->memory != NULL) { /* what was seen is known to Redis alone */
        queue_memory_add(q->memory, id, data, len, done, arg);
        return;
    }
    struct queue_item *it = add(q, id, data, len, done, arg);
    it->digests = digests;
    it->n_digests = n;
}

bool queue_seen_has(const struct queue *q, size_t i)
{
    return i < q->seen.n && q->seen.known[i];
}

uint64_t queue_seen_window_ms(struct queue *q)
{
    uint64_t ms = q->seen.window_ms;
    q->seen.window_ms = 0;
    return ms;
}

uint64_t queue_seen_failures(const struct queue *q)
{
    return q->seen.failures;
}

/* Frees it once it is answered and no take may come back with it. */
static void let_go(struct queue *q, struct queue_item *it)
{
    if (!it->answered || it->offers > 0)
        return;
    if (it->stored && q->o.let_go != NULL)
        q->o.let_go(it->arg);
    free(it);
}

static void answer(struct queue *q, struct queue_item *it, enum queue_status s, const char *why)
{
    list_remove(&it->link);
    list_remove(&it->known);
    it->answered = true;
    it->stored = s == QUEUE_OK;
    it->done(s, why, it->arg);
    let_go(q, it);
}

static void answer_all(struct queue *q, struct list *items, enum queue_status s, const char *why)
{
    struct queue_item *it;
    while ((it = list_first(items, struct queue_item, link)) != NULL)
        answer(q, it, s, why);
}

/* Which of the item's digests are known; false: the answer makes no sense. */
static bool read_places(struct queue *q, const struct queue_item *it, const struct redisReply *r)
{
    if (r->elements == 0 || it->n_digests == 0)
        return false;
    if (q->seen.size < it->n_digests) {
        free(q->seen.known);
        q->seen.size = it->n_digests;
        q->seen.known = xmalloc(q->seen.size);
    }
    q->seen.n = it->n_digests;
    memset(q->seen.known, 0, q->seen.n);
    for (size_t i = 0; i < r->elements; i++) {
        const struct redisReply *e = r->element[i];
        if (e->type != REDIS_REPLY_INTEGER || e->integer < 1 || e->integer > (long long)it->n_digests)
            return false;
        q->seen.known[e->integer - 1] = true;
    }
    return true;
}

/* What follows the codes: how digests fare. */
static void read_window(struct queue *q, const struct group *g, const struct redisReply *codes)
{
    if (g->n_digests == 0 || codes->elements <= g->n || codes->element[g->n]->type != REDIS_REPLY_INTEGER)
        return;
    if (codes->element[g->n]->integer < 0)
        q->seen.failures++;
    else
        q->seen.window_ms = (uint64_t)codes->element[g->n]->integer;
}

static void answer_each(struct queue *q, struct group *g, const struct redisReply *codes)
{
    struct queue_item *it;
    read_window(q, g, codes);
    for (size_t i = 0; (it = list_first(&g->items, struct queue_item, link)) != NULL; i++) {
        long long code = -1;
        if (i < codes->elements && codes->element[i]->type == REDIS_REPLY_INTEGER)
            code = codes->element[i]->integer;
        else if (i < codes->elements && codes->element[i]->type == REDIS_REPLY_ARRAY &&
                 read_places(q, it, codes->element[i])) {
            answer(q, it, QUEUE_SEEN, "events of it were stored before");
            continue;
        }
        if (code == 1)
            answer(q, it, QUEUE_OK, NULL);
        else if (code == 0)
            answer(q, it, QUEUE_DUPLICATE, "a job of this id is or was there");
        else
            answer(q, it, QUEUE_REFUSED, "the job's hash was not written");
    }
}

static void call_script(struct queue *q, struct group *g);

/* The script was not known to the server: its hashes stand ready, so that it is called again alone. */
static void repeat(struct queue *q, struct group *old)
{
    struct group *g = xcalloc(1, sizeof *g);
    list_init(&g->items);
    g->n = old->n;
    g->n_digests = old->n_digests;
    g->direct = true;
    struct queue_item *it;
    while ((it = list_first(&old->items, struct queue_item, link)) != NULL) {
        list_remove(&it->link);
        list_push_back(&g->items, &it->link);
    }
    q->adds_flying++;
    call_script(q, g);
}

/* Hashes that got no place are taken away; nobody waits for that. */
static void discard(struct queue *q, const struct group *g)
{
    const struct queue_item *it;
    list_foreach(it, &g->items, struct queue_item, link)
    {
        char key[QUEUE_KEY_SIZE];
        snprintf(key, sizeof key, "%sdray:new:%s", q->base, it->id);
        const char *argv[] = {"DEL", key};
        redis_command(q->r, NULL, NULL, 2, argv, NULL);
    }
}

static void on_added(struct queue_call *c, enum queue_status s, const char *why,
                     const struct redisReply *reply)
{
    struct group *g = (struct group *)(void *)c;
    struct queue *q = c->q;
    q->adds_flying--;
    if (s != QUEUE_OK) {
        if (g->direct && (s == QUEUE_REFUSED || s == QUEUE_BROKEN))
            discard(q, g);
        if (g->refusal[0] != '\0' && s == QUEUE_REFUSED)
            answer_all(q, &g->items, g->refused_as, g->refusal);
        else
            answer_all(q, &g->items, s, why);
        return;
    }
    const struct redisReply *codes = reply;
    if (codes->type == REDIS_REPLY_ARRAY) {
        answer_each(q, g, codes);
    } else if (codes->type == REDIS_REPLY_ERROR) {
        char word[16];
        if (strcmp(redis_error_word(codes, word, sizeof word), "NOSCRIPT") == 0) {
            repeat(q, g);
            return;
        }
        discard(q, g);
        answer_all(q, &g->items, queue_status_of(REDIS_ERROR, codes, &why), codes->str);
    } else {
        answer_all(q, &g->items, QUEUE_BROKEN, "Redis gave an unexpected answer");
    }
}

static void on_queued(struct queue_call *c, enum queue_status s, const char *why,
                      const struct redisReply *reply)
{
    (void)reply;
    struct probe *p = (struct probe *)(void *)c;
    if (s != QUEUE_REFUSED && s != QUEUE_BROKEN)
        return;
    p->g->refused_as = s;
    str_copy(p->g->refusal, why, sizeof p->g->refusal);
}

/* The arguments of the script. */
struct add_args {
    int argc;
    const char **argv; /* ARGS_HEAD of them stand before the script's own */
    size_t *lens;
    char (*numbers)[24];
    size_t n_numbers;
};

static void put_arg(struct add_args *a, const char *text, size_t len)
{
    a->argv[a->argc] = text;
    a->lens[a->argc++] = len;
}

static void put_text(struct add_args *a, const char *text)
{
    put_arg(a, text, strlen(text));
}

static void put_number(struct add_args *a, uint64_t n)
{
    char *text = a->numbers[a->n_numbers++];
    put_arg(a, text, (size_t)snprintf(text, sizeof *a->numbers, "%" PRIu64, n));
}

static bool is_none(const char *digest)
{
    static const char none[QUEUE_DIGEST];
    return memcmp(digest, none, QUEUE_DIGEST) == 0;
}

static void put_digests(struct add_args *a, const struct queue_item *it)
{
    int head = a->argc;
    put_number(a, 0);
    for (size_t i = 0; i < it->n_digests; i++)
        if (!is_none(it->digests + i * QUEUE_DIGEST))
            put_arg(a, it->digests + i * QUEUE_DIGEST, QUEUE_DIGEST);
    a->lens[head] =
        (size_t)snprintf(a->numbers[a->n_numbers - 1], sizeof *a->numbers, "%d", a->argc - head - 1);
}

/* alone: as queue_alone said. */
static void args_open(const struct queue *q, struct add_args *a, const struct group *g, const char *alone)
{
    size_t room = 16 + 2 * g->n + g->n_digests;
    *a = (struct add_args){.argv = xcalloc(room, sizeof *a->argv), .lens = xcalloc(room, sizeof *a->lens)};
    a->numbers = xcalloc(g->n + 4, sizeof *a->numbers);
    const char *const head[] = {"EVALSHA", queue_script_add.sha1, "1", q->base};
    for (size_t i = 0; i < sizeof head / sizeof *head; i++)
        put_text(a, head[i]);
    put_text(a, q->o.token);
    put_text(a, alone);
    put_number(a, g->n);
    const struct queue_item *it;
    list_foreach(it, &g->items, struct queue_item, link) put_text(a, it->id);
    if (g->n_digests == 0)
        return;
    put_number(a, q->o.seen_window_ms);
    put_number(a, q->o.seen_max);
    list_foreach(it, &g->items, struct queue_item, link) put_digests(a, it);
}

static void args_close(struct add_args *a)
{
    free(a->argv);
    free(a->lens);
    free(a->numbers);
}

static void call_script(struct queue *q, struct group *g)
{
    struct add_args a;
    g->call.finish = on_added;
    args_open(q, &a, g, queue_alone(q));
    queue_call_script(q, &g->call, &queue_script_add, a.argc - ARGS_HEAD, a.argv + ARGS_HEAD,
                      a.lens + ARGS_HEAD);
    args_close(&a);
}

static void write_opts(const struct queue_item *it, char opts[QUEUE_OPTS_SIZE])
{
    snprintf(opts, QUEUE_OPTS_SIZE, "{\"attempts\":1,\"delay\":0,\"timestamp\":%" PRIu64 "}", it->stamp_ms);
}

static void send_hash(struct queue_exec *x, struct queue *q, struct queue_item *it, redis_reply_fn fn,
                      void *arg)
{
    char key[QUEUE_KEY_SIZE], opts[QUEUE_OPTS_SIZE], stamp[24];
    it->stamp_ms = clock_wall_ms();
    snprintf(key, sizeof key, "%sdray:new:%s", q->base, it->id);
    write_opts(it, opts);
    snprintf(stamp, sizeof stamp, "%" PRIu64, it->stamp_ms);
    if (q->o.let_go != NULL)
        list_push_back(&q->known, &it->known);
    const char *argv[] = {"HSET", key,         "name", "__default__", "data", it->data,   "opts",
                          opts,   "timestamp", stamp,  "delay",       "0",    "priority", "0"};
    enum { ARGC = sizeof argv / sizeof *argv, DATA = 5 };
    size_t lens[ARGC];
    for (int i = 0; i < ARGC; i++)
        lens[i] = i == DATA ? it->len : strlen(argv[i]);
    queue_exec_command(x, fn, arg, ARGC, argv, lens);
}

static void send_group(struct queue_exec *x, struct queue *q, struct group *g, const char *alone)
{
    struct add_args a;
    args_open(q, &a, g, alone);
    q->adds_flying++;
    g->call.finish = on_added;
    bool first = true;
    struct queue_item *it;
    list_foreach(it, &g->items, struct queue_item, link)
    {
        struct probe *p = NULL;
        if (first) {
            p = xcalloc(1, sizeof *p);
            p->g = g;
            p->call.finish = on_queued;
            queue_call_begin(q, &p->call);
        }
        send_hash(x, q, it, first ? queue_call_reply : NULL, p);
        first = false;
    }
    queue_exec_call(x, q, &g->call, a.argc, a.argv, a.lens);
    args_close(&a);
}

/* Moves what one transaction may hold from the queue to a new group; NULL when nothing is left. *bytes: of what it holds
 * already, and with it. */
static struct group *gather(struct queue *q, size_t *held)
{
    struct group *g = xcalloc(1, sizeof *g);
    size_t bytes = *held;
    struct queue_item *it;
    list_init(&g->items);
    list_foreach(it, &q->adds, struct queue_item, link)
    {
        if (it->id[0] == '\0') /* refused at the end of the next turn */
            continue;
        if (g->n == QUEUE_GROUP_MAX || (bytes > 0 && bytes + it->len > QUEUE_GROUP_BYTES))
            break;
        list_remove(&it->link);
        q->adds_bytes -= it->len;
        bytes += it->len;
        list_push_back(&g->items, &it->link);
        g->n++;
        g->n_digests += it->n_digests;
    }
    *held = bytes;
    if (g->n > 0)
        return g;
    free(g);
    return NULL;
}

/* ---- what a take behind them need not read */

void queue_known_open(struct queue *q, struct queue_known *k)
{
    struct queue_item *it;
    size_t used = 1;
    *k = (struct queue_known){0};
    if (list_empty(&q->known))
        return;
    k->items = xcalloc(QUEUE_KNOWN_MAX, sizeof *k->items);
    k->ids = xmalloc(QUEUE_KNOWN_MAX * (ID_MAX + 1) + 2);
    k->ids[0] = ' ';
    list_foreach(it, &q->known, struct queue_item, known)
    {
        if (k->n == QUEUE_KNOWN_MAX)
            break;
        used += (size_t)sprintf(k->ids + used, "%s ", it->id);
        it->offers++;
        k->items[k->n++] = it;
    }
}

bool queue_known_read(const struct queue_known *k, struct queue_job *j, char opts[QUEUE_OPTS_SIZE])
{
    for (size_t i = 0; i < k->n; i++) {
        const struct queue_item *it = k->items[i];
        if (!it->stored || strcmp(it->id, j->id) != 0)
            continue;
        write_opts(it, opts);
        j->name = "__default__";
        j->data = it->data;
        j->data_len = it->len;
        j->opts = opts;
        j->opts_len = strlen(opts);
        j->timestamp_ms = it->stamp_ms;
        j->added = it->arg;
        return true;
    }
    return false;
}

void queue_known_close(struct queue *q, struct queue_known *k)
{
    for (size_t i = 0; i < k->n; i++) {
        k->items[i]->offers--;
        let_go(q, k->items[i]);
    }
    free(k->items);
    free(k->ids);
}

/* What the end of a turn sends on one connection. No callback runs meanwhile: it could send something of its own. */
struct sending {
    const char *alone;
    struct queue_exec *x; /* NULL: none is open */
    size_t jobs, bytes;   /* in it */
};

static void close_exec(struct sending *s)
{
    if (s->x != NULL)
        queue_exec_send(s->x);
    *s = (struct sending){.alone = s->alone};
}

static void send_adds(struct sending *s, struct queue *q)
{
    while (q->adds_flying < QUEUE_FLYING_MAX && redis_unsent(q->r) < QUEUE_UNSENT_MAX) {
        struct group *g = gather(q, &s->bytes);
        if (g == NULL && s->x != NULL && !list_empty(&q->adds)) { /* no room beside the others */
            close_exec(s);
            continue;
        }
        if (g == NULL)
            return;
        if (s->x == NULL)
            s->x = queue_exec_open(q->r);
        s->jobs += g->n;
        send_group(s->x, q, g, s->alone);
        if (s->jobs >= QUEUE_GROUP_MAX || s->bytes >= QUEUE_GROUP_BYTES || queue_exec_full(s->x))
            close_exec(s);
    }
}

static struct queue_item *find_wrong(const struct queue *q)
{
    struct queue_item *it;
    list_foreach(it, &q->adds, struct queue_item, link)
    {
        if (it->id[0] == '\0')
            return it;
    }
    return NULL;
}

void queue_flush_adds(struct queue *q)
{
    struct redis *r = q->r;
    struct queue *p;
    struct queue_item *wrong;
    if (list_empty(&q->adds))
        return;
    if (redis_state(r) != REDIS_READY) {
        queue_drop_adds(q, QUEUE_AWAY);
        return;
    }
    while ((wrong = find_wrong(q)) != NULL)
        answer(q, wrong, QUEUE_REFUSED, "too much is waiting to be stored");
    if (list_empty(&q->adds))
        return;
    if (!list_linked(&q->adding)) /* held up in an earlier turn */
        list_push_back(adders(), &q->adding);
    struct sending s = {.alone = queue_alone(q)};
    list_foreach(p, adders(), struct queue, adding)
    {
        if (p->r != r)
            continue;
        list_remove(&p->adding);
        send_adds(&s, p);
    }
    close_exec(&s);
}

void queue_drop_adds(struct queue *q, enum queue_status s)
{
    struct list all;
    if (list_linked(&q->adding))
        list_remove(&q->adding);
    list_init(&all);
    struct queue_item *it;
    while ((it = list_first(&q->adds, struct queue_item, link)) != NULL) {
        list_remove(&it->link);
        list_push_back(&all, &it->link);
    }
    q->adds_bytes = 0;
    answer_all(q, &all, s, s == QUEUE_AWAY ? "no connection to Redis" : "the queue was closed");
}
