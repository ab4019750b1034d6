/* events - a job whose destination takes its events one by one (payload: event), in their order; see delivery.h.
 *
 * An event that is refused does not stop the others: at the end the job fails, and its progress names what was not taken,
 * so that a manual retry sends only that. One that is to be tried again stops the job where order matters, or where the
 * destination as a whole does not work. Between two writes of the progress a death sends some events once more.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/hook.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "workers/delivery/delivery.h"

#define SAVE_MS      500 /* between two writes of the progress while the job runs */
#define FAILURES_MAX 3   /* events in a row that are to be tried again: the others wait too */
#define ID_MAX       256 /* of a messageId that becomes a key */
#define PROGRESS_MAX (64u << 10)

enum event_state { EVENT_TODO, EVENT_LATER, EVENT_DONE, EVENT_REFUSED };

struct events {
    struct list link; /* payers of the destination */
    struct job *job;  /* NULL: it was forgotten while Redis was asked */
    bool asking;      /* what is done, of Redis */
    struct json_slice *list;
    unsigned char *states;
    size_t n, at;
    unsigned in_row; /* failures, of those that are to be tried again */
    bool stopped, spent, unsaved;
    bool paid;                   /* the token of the next event is ours already */
    bool counted;                /* a failure that spends an attempt */
    uint64_t saved_ms, until_ms; /* monotonic; until_ms: the job must be given back by then, 0: never */
    uint64_t took_us;
    int status;         /* of the last event that was taken */
    struct buf refusal; /* of the first that was refused */
    size_t n_refused;   /* by this attempt */
    char *key;          /* header line */
    struct http_piece piece;
};

static void next(struct job *j);

static size_t count(const struct events *e, enum event_state s)
{
    size_t n = 0;

    for (size_t i = 0; i < e->n; i++)
        n += e->states[i] == s;
    return n;
}

/* ---- progress: {"of":100,"done":96,"left":"3,90-91","refused":"17"} */

static int put_ranges(struct buf *out, const struct events *e, bool refused)
{
    const char *comma = "";
    int bad = 0;

    for (size_t i = 0; i < e->n; i++) {
        size_t first = i;

        while (i < e->n && e->states[i] != EVENT_DONE && (e->states[i] == EVENT_REFUSED) == refused)
            i++;
        if (i == first)
            continue;
        bad |= i - first == 1 ? buf_printf(out, "%s%zu", comma, first)
                              : buf_printf(out, "%s%zu-%zu", comma, first, i - 1);
        comma = ",";
    }
    return bad;
}

/* What a range names gets the state. */
static void read_ranges(struct events *e, const struct json_slice *progress, const char *name,
                        enum event_state s)
{
    struct json_slice value;
    char *text, *p, *end;

    if (!json_find(progress, name, &value) || value.type != JSON_STRING)
        return;
    text = p = xstrndup(value.text + 1, value.len - 2);
    while (*p >= '0' && *p <= '9') {
        unsigned long long from = strtoull(p, &end, 10), to = from;

        if (*end == '-')
            to = strtoull(end + 1, &end, 10);
        for (unsigned long long i = from; i <= to && i < e->n; i++)
            e->states[i] = (unsigned char)s;
        p = *end == ',' ? end + 1 : end;
    }
    free(text);
}

/* Another program's progress says nothing. */
static void read_progress(struct events *e, const char *json, size_t len)
{
    struct json_scan scan;
    struct json_slice progress, of;
    char text[24];

    json_scan_init(&scan, json, len);
    if (len == 0 || json_scan_value(&scan, &progress) != 0 || json_scan_end(&scan) != 0 ||
        progress.type != JSON_OBJECT || !json_find(&progress, "of", &of))
        return;
    snprintf(text, sizeof(text), "%zu", e->n);
    if (of.type != JSON_NUMBER || of.len != strlen(text) || memcmp(of.text, text, of.len) != 0)
        return;
    memset(e->states, EVENT_DONE, e->n);
    read_ranges(e, &progress, "left", EVENT_TODO);
    read_ranges(e, &progress, "refused", EVENT_REFUSED);
}

static void save(struct job *j)
{
    struct events *e = j->events;
    struct buf out;

    e->unsaved = false;
    e->saved_ms = clock_mono_ms();
    buf_init(&out, PROGRESS_MAX);
    if (buf_printf(&out, "{\"of\":%zu,\"done\":%zu,\"left\":\"", e->n, count(e, EVENT_DONE)) == 0 &&
        put_ranges(&out, e, false) == 0 && buf_puts(&out, "\",\"refused\":\"") == 0 &&
        put_ranges(&out, e, true) == 0 && buf_puts(&out, "\"}") == 0)
        queue_progress_set(j->lane->queue, j->q.id, buf_cstr(&out), NULL, NULL);
    buf_fini(&out);
}

void events_save(struct job *j)
{
    struct events *e = j->events;

    if (j->result == JOB_FAIL) /* a manual retry is to try them again */
        for (size_t i = 0; i < e->n; i++)
            if (e->states[i] == EVENT_REFUSED)
                e->states[i] = EVENT_TODO;
    /* A result that is told again tells this again: the connection may have been lost before it. */
    if (j->result != JOB_COMPLETE && !e->asking && e->n > 1)
        save(j);
}

void events_forget(struct job *j)
{
    struct events *e = j->events;

    j->events = NULL;
    e->job = NULL;
    list_remove(&e->link);
    if (e->asking)
        return; /* freed by the answer */
    buf_fini(&e->refusal);
    free(e->list);
    free(e->states);
    free(e->key);
    free(e);
}

/* ---- the end */

static void end(struct job *j, enum job_result result)
{
    settle_job(j, result);
}

/* Not for the events' sake: as if the job had never been taken. What is behind it on an ordered lane must not go first. */
static void give_back(struct job *j)
{
    buf_reset(&j->text);
    j->delay_ms = 0;
    j->uncounted = true;
    if (!lane_ordered(j->lane) || j->lane->dest->d->draining) {
        end(j, JOB_HAND_BACK);
        return;
    }
    (void)buf_puts(&j->text, "the job was given back between two events");
    end(j, JOB_DELAY);
}

static void finish(struct job *j)
{
    struct events *e = j->events;
    size_t later = count(e, EVENT_LATER), refused = count(e, EVENT_REFUSED);
    struct buf text;

    if (later > 0 || (e->stopped && !e->spent)) {
        j->uncounted = !e->counted;
        end(j, JOB_DELAY); /* text and delay are those of the last one that failed */
        return;
    }
    buf_init(&text, 1u << 20);
    if (refused == 0 && !e->spent) {
        (void)buf_printf(&text, "{\"status\":%d,\"ms\":%" PRIu64 ",\"events\":%zu}", e->status,
                         e->took_us / 1000, e->n);
    } else if (e->n == 1) {
        (void)buf_append(&text, buf_cstr(&e->refusal), e->refusal.len);
    } else {
        (void)buf_printf(&text, "%zu of %zu events were not taken; the first: %s",
                         e->n - count(e, EVENT_DONE), e->n,
                         e->refusal.len > 0 ? buf_cstr(&e->refusal) : "refused by an earlier attempt");
    }
    buf_fini(&j->text);
    j->text = text;
    end(j, refused == 0 && !e->spent ? JOB_COMPLETE : JOB_FAIL);
}

/* ---- one event */

static void taken(struct job *j, const struct http_answer *a)
{
    struct events *e = j->events;
    struct dest *t = j->lane->dest;

    e->states[e->at] = EVENT_DONE;
    e->in_row = 0;
    e->status = a->status;
    e->unsaved = true;
    metric_add(t->m.events, 1);
    metric_add(t->m.bytes, e->list[e->at].len);
}

static void refused(struct job *j, const struct verdict *v, const struct http_answer *a)
{
    struct events *e = j->events;

    e->states[e->at] = EVENT_REFUSED;
    e->unsaved = true;
    if (e->n_refused++ == 0 && (e->n == 1 || buf_printf(&e->refusal, "no. %zu: ", e->at) == 0))
        (void)verdict_reason(v, a, &e->refusal);
    /* Attempts are spent, and it is not this event: the others would only wait for the same. */
    if (v->spent && (a->error != HTTP_ERROR_NONE || ++e->in_row >= FAILURES_MAX))
        e->stopped = e->spent = true;
}

static void later(struct job *j, const struct verdict *v, const struct http_answer *a)
{
    struct events *e = j->events;

    e->states[e->at] = EVENT_LATER;
    e->counted = e->counted || !v->uncounted;
    buf_reset(&j->text);
    if (e->n > 1)
        (void)buf_printf(&j->text, "%zu of %zu events were taken; no. %zu: ", count(e, EVENT_DONE), e->n,
                         e->at);
    (void)verdict_reason(v, a, &j->text);
    if (v->delay_ms > j->delay_ms)
        j->delay_ms = v->delay_ms;
    e->stopped = lane_ordered(j->lane) || a->error != HTTP_ERROR_NONE || v->uncounted || v->pause_ms > 0 ||
                 ++e->in_row >= FAILURES_MAX;
}

static void on_answer(struct http_call *call, const struct http_answer *a, void *arg)
{
    struct job *j = arg;
    struct events *e = j->events;
    struct verdict v;

    (void)call;
    HOOK_POINT(answer_whole);
    j->call = NULL;
    e->took_us += a->duration_us;
    post_judge(j, a, &v);
    if (v.action == VERDICT_DONE)
        taken(j, a);
    else if (v.action == VERDICT_FAIL)
        refused(j, &v, a);
    else
        later(j, &v, a);
    if (e->unsaved && e->n > 1 && clock_mono_ms() - e->saved_ms >= SAVE_MS)
        save(j);
    next(j);
}

/* The event's messageId, or the job's id and its number. */
static void make_key(struct job *j)
{
    struct events *e = j->events;
    struct json_slice id;
    char text[ID_MAX];

    free(e->key);
    if (e->list[e->at].type == JSON_OBJECT && json_find(&e->list[e->at], "messageId", &id) &&
        id.type == JSON_STRING && json_text(&id, text, sizeof(text)) > 0)
        e->key = post_key_header(j->lane, text, "", true);
    else {
        snprintf(text, sizeof(text), "-%zu", e->at);
        e->key = post_key_header(j->lane, j->q.id, j->payload.events.text != NULL ? text : "", false);
    }
}

static int send_event(struct job *j, char *why, size_t size)
{
    struct events *e = j->events;

    make_key(j);
    e->piece = (struct http_piece){.data = e->list[e->at].text, .len = e->list[e->at].len};
    return post_send(j, &e->piece, 1, e->key, on_answer, why, size);
}

static void next(struct job *j)
{
    struct events *e = j->events;
    struct dest *t = j->lane->dest;
    uint64_t now_ms = clock_mono_ms();
    char why[256];

    while (e->at < e->n && e->states[e->at] != EVENT_TODO)
        e->at++;
    if (e->at == e->n || e->stopped) {
        finish(j);
        return;
    }
    if (t->d->draining || (e->until_ms != 0 && now_ms >= e->until_ms)) {
        give_back(j);
        return;
    }
    if (t->paused_until_ms > now_ms) {
        give_back(j);
        return;
    }
    if (!e->paid && !flow_pay(t)) {
        list_push_back(&t->payers, &e->link);
        claim_pump(t->d); /* asks for tokens */
        return;
    }
    e->paid = false;
    if (send_event(j, why, sizeof(why)) == 0)
        return;
    buf_reset(&j->text);
    (void)buf_puts(&j->text, why);
    end(j, JOB_FAIL);
}

void events_pump(struct dest *t)
{
    struct events *e;

    while ((e = list_first(&t->payers, struct events, link)) != NULL &&
           (!t->flow.metered || t->flow.tokens > 0)) {
        list_remove(&e->link);
        if (e->job->state == JOB_POSTING)
            next(e->job);
    }
}

/* ---- the beginning */

static void on_progress(enum queue_status s, const char *json, size_t len, void *arg)
{
    struct events *e = arg;
    struct job *j = e->job;

    e->asking = false;
    if (j == NULL) { /* forgotten meanwhile */
        buf_fini(&e->refusal);
        free(e->list);
        free(e->states);
        free(e);
        return;
    }
    if (j->state != JOB_POSTING)
        return; /* it goes back already */
    if (s != QUEUE_OK) {
        give_back(j);
        return;
    }
    read_progress(e, json, len);
    next(j);
}

static int list_events(struct job *j, struct events *e)
{
    const struct json_slice *all = &j->payload.events;
    struct json_iter it = {0};
    struct json_slice one;
    size_t n = all->text != NULL ? j->payload.n_events : 1;

    e->list = mem_try((n + 1) * sizeof(*e->list));
    e->states = mem_try(n + 1);
    if (e->list == NULL || e->states == NULL)
        return -1;
    if (all->text == NULL) {
        struct json_scan scan;

        json_scan_init(&scan, j->payload.pieces[0].data, j->payload.pieces[0].len);
        if (j->payload.n_pieces != 1 || json_scan_value(&scan, &e->list[0]) != 0)
            return -1;
        e->n = 1;
    }
    while (all->text != NULL && e->n < n && json_next_element(all, &it, &one))
        e->list[e->n++] = one;
    memset(e->states, EVENT_TODO, e->n + 1);
    return 0;
}

int events_start(struct job *j, char *why, size_t size)
{
    uint64_t run_ms = j->lane->options.max_run_ms, now_ms = clock_mono_ms();
    struct events *e = xcalloc(1, sizeof(*e));

    e->job = j;
    e->paid = true;
    list_init(&e->link);
    buf_init(&e->refusal, 1u << 20);
    j->events = e;
    if (list_events(j, e) != 0) {
        snprintf(why, size, "there is no memory for the list of events");
        return -1;
    }
    j->bytes += e->n * (sizeof(*e->list) + 1);
    j->lane->dest->d->job_bytes += e->n * (sizeof(*e->list) + 1);
    e->saved_ms = now_ms;
    e->until_ms = run_ms > 0 ? now_ms + run_ms / 2 : 0;
    j->delay_ms = 0;
    j->payload.n_events = 0; /* each is counted when it is taken */
    j->payload.bytes = 0;
    if (e->n <= 1) {
        e->until_ms = 0;
        next(j);
        return 0;
    }
    e->asking = true;
    queue_progress_read(j->lane->queue, j->q.id, on_progress, e);
    return 0;
}
