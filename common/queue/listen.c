/* listen - hears how jobs end: Bull's global events, on a connection of its own; and asks for what was not heard. */
#include "common/queue/internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/event/json.h"

#define ID_MAX 256

struct channel {
    struct list link;
    struct queue_listener *l;
    char *name;
    bool failed;
    void *queue;
};

struct queue_listener {
    struct redis *r;
    struct queue_listener_events events;
    void *arg;
    struct list channels;
    size_t n, listening;
    char *value; /* of the event that is being told */
    size_t value_size;
};

/* A JSON string of any length, for the time of the call. */
static const char *text_of(struct queue_listener *l, const struct json_slice *v)
{
    if (v->type != JSON_STRING)
        return "";
    if (l->value_size < v->len + 1) {
        char *more = mem_try(v->len + 1);
        if (more == NULL)
            return "";
        free(l->value);
        l->value = more;
        l->value_size = v->len + 1;
    }
    return json_text(v, l->value, l->value_size) < 0 ? "" : l->value;
}

/* {"jobId":"b0...","val":"..."} */
static void on_message(const char *channel, const char *text, size_t len, void *arg)
{
    struct channel *c = arg;
    struct queue_listener *l = c->l;
    struct json_scan scan;
    struct json_slice o, id, value;
    char id_text[ID_MAX];
    if (channel == NULL) {
        if (++l->listening == l->n && l->events.listening != NULL)
            l->events.listening(l->arg);
        return;
    }
    json_scan_init(&scan, text, len);
    if (json_scan_value(&scan, &o) != 0 || json_scan_end(&scan) != 0 || o.type != JSON_OBJECT ||
        !json_find(&o, "jobId", &id) || id.type != JSON_STRING || json_text(&id, id_text, sizeof id_text) < 0)
        return;
    l->events.finished(c->queue, id_text, c->failed, json_find(&o, "val", &value) ? text_of(l, &value) : "",
                       l->arg);
}

static void on_ready(struct redis *r, int64_t client_id, void *arg)
{
    struct queue_listener *l = arg;
    struct channel *c;
    (void)client_id;
    l->listening = 0;
    list_foreach(c, &l->channels, struct channel, link)
    {
        redis_subscribe(r, c->name, false, on_message, c);
    }
}

static void on_down(struct redis *r, const char *why, void *arg)
{
    (void)r, (void)why;
    ((struct queue_listener *)arg)->listening = 0;
}

struct queue_listener *queue_listener_new(struct ev_loop *loop, const struct redis_options *o,
                                          const struct queue_listener_events *events, void *arg)
{
    static const struct redis_events heard = {.ready = on_ready, .down = on_down};
    struct queue_listener *l = xcalloc(1, sizeof *l);
    struct redis_options options = *o;
    options.client_name = "dray:listener";
    options.command_timeout_ms = 0;
    options.no_scripts = true;
    options.check_policy = false;
    list_init(&l->channels);
    l->events = *events;
    l->arg = arg;
    l->r = redis_new(loop, &options, &heard, l);
    if (l->r == NULL) {
        free(l);
        return NULL;
    }
    return l;
}

static void add(struct queue_listener *l, const char *prefix, const char *name, bool failed, void *queue)
{
    struct channel *c = xcalloc(1, sizeof *c);
    char key[QUEUE_KEY_SIZE];
    c->l = l;
    c->failed = failed;
    c->queue = queue;
    c->name = xstrdup(queue_key(prefix, name, failed ? "failed" : "completed", key, sizeof key));
    list_push_back(&l->channels, &c->link);
    l->n++;
}

void queue_listener_add(struct queue_listener *l, const char *prefix, const char *name, void *queue)
{
    add(l, prefix, name, false, queue);
    add(l, prefix, name, true, queue);
}

void queue_listener_free(struct queue_listener *l)
{
    struct channel *c;
    if (l == NULL)
        return;
    redis_free(l->r);
    while ((c = list_first(&l->channels, struct channel, link)) != NULL) {
        list_remove(&c->link);
        free(c->name);
        free(c);
    }
    free(l->value);
    free(l);
}

bool queue_listener_ready(const struct queue_listener *l)
{
    return l->n > 0 && l->listening == l->n;
}

int64_t queue_listener_client_id(const struct queue_listener *l)
{
    return redis_client_id(l->r);
}

/* ---- asking */

struct question {
    struct queue_call call;
    queue_outcome_fn fn;
    void *arg;
};

static void on_outcome(struct queue_call *c, enum queue_status s, const char *why,
                       const struct redisReply *reply)
{
    struct question *q = (struct question *)(void *)c;
    enum queue_outcome o = QUEUE_OUTCOME_OPEN;
    const char *value = "";
    (void)why;
    if (s == QUEUE_OK &&
        (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
         reply->element[0]->type != REDIS_REPLY_STRING || reply->element[1]->type != REDIS_REPLY_STRING)) {
        s = QUEUE_BROKEN;
    } else if (s == QUEUE_OK) {
        char letter = reply->element[0]->str[0];
        o = letter == 'c'   ? QUEUE_OUTCOME_COMPLETED
            : letter == 'f' ? QUEUE_OUTCOME_FAILED
            : letter == 'g' ? QUEUE_OUTCOME_GONE
                            : QUEUE_OUTCOME_OPEN;
        value = reply->element[1]->str;
    }
    q->fn(s, o, value, q->arg);
}

void queue_ask_outcome(struct queue *q, const char *id, queue_outcome_fn fn, void *arg)
{
    struct question *c = xcalloc(1, sizeof *c);
    c->call.finish = on_outcome;
    c->fn = fn;
    c->arg = arg;
    queue_call_script(q, &c->call, &queue_script_outcome, 1, &id, NULL);
}
