/* queue_driver - dray's verbs on a queue behind a pipe, for the comparison with Bull (bull_verbs_test.py).
 *
 * usage: queue_driver REDIS_SOCKET PREFIX QUEUE. A line of JSON {"n", "verb", ...} in, a line {"n", "result"} out, one
 * after another; ends with its input.
 */
#include "common/queue/admin.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"

static struct ev_loop *loop;
static struct queue *queue;
static bool is_ready;
static json_t *result; /* of the verb that runs; NULL until it has answered */

static void on_ready(struct redis *r, int64_t client_id, void *arg)
{
    (void)r;
    (void)client_id;
    (void)arg;
    is_ready = true;
}

/* ---- what was asked */

static const char *text(const json_t *ask, const char *name)
{
    return json_string_value(json_object_get(ask, name));
}

static uint64_t number(const json_t *ask, const char *name, uint64_t otherwise)
{
    const json_t *v = json_object_get(ask, name);
    return json_is_integer(v) ? (uint64_t)json_integer_value(v) : otherwise;
}

static bool flag(const json_t *ask, const char *name)
{
    return json_is_true(json_object_get(ask, name));
}

static struct queue_keep keep_of(const json_t *v)
{
    if (json_is_true(v))
        return (struct queue_keep){.form = QUEUE_KEEP_NONE};
    if (json_is_false(v))
        return (struct queue_keep){.form = QUEUE_KEEP_ALL};
    if (json_is_integer(v))
        return (struct queue_keep){.form = QUEUE_KEEP_COUNT, .count = (uint64_t)json_integer_value(v)};
    if (json_is_object(v))
        return (struct queue_keep){.form = QUEUE_KEEP_RULE,
                                   .count = number(v, "count", UINT64_MAX),
                                   .age_s = number(v, "age", UINT64_MAX)};
    return (struct queue_keep){0};
}

/* Bull's own option names. */
static struct queue_add_options options_of(const json_t *o)
{
    const json_t *backoff = json_object_get(o, "backoff"), *debounce = json_object_get(o, "debounce");
    struct queue_add_options out = {
        .name = text(o, "name"),
        .id = text(o, "jobId"),
        .delay_ms = number(o, "delay", 0),
        .priority = number(o, "priority", 0),
        .lifo = flag(o, "lifo"),
        .attempts = number(o, "attempts", 0),
        .timeout_ms = number(o, "timeout", 0),
        .remove_on_complete = keep_of(json_object_get(o, "removeOnComplete")),
        .remove_on_fail = keep_of(json_object_get(o, "removeOnFail")),
        .has_stack_trace_limit = json_is_integer(json_object_get(o, "stackTraceLimit")),
        .stack_trace_limit = number(o, "stackTraceLimit", 0),
        .debounce_id = text(debounce, "id"),
        .debounce_ttl_ms = number(debounce, "ttl", 0),
    };
    const char *type = text(backoff, "type");
    if (type != NULL)
        out.backoff = strcmp(type, "fixed") == 0 ? QUEUE_BACKOFF_FIXED : QUEUE_BACKOFF_EXPONENTIAL;
    out.backoff_ms = number(backoff, "delay", 0);
    return out;
}

/* ---- what was answered */

static json_t *string_or_null(const char *s)
{
    return s != NULL ? json_string(s) : json_null();
}

static void on_done(enum queue_status s, const char *why, void *arg)
{
    (void)arg;
    result = json_pack("{s:s, s:o}", "status", queue_status_name(s), "why", string_or_null(why));
}

static void on_added(enum queue_status s, const char *id, const char *why, void *arg)
{
    on_done(s, why, arg);
    json_object_set_new(result, "id", string_or_null(id));
}

static void on_logged(enum queue_status s, uint64_t lines, const char *why, void *arg)
{
    on_done(s, why, arg);
    json_object_set_new(result, "lines", json_integer((json_int_t)lines));
}

static void on_bulk(enum queue_status s, const struct queue_bulk_result *r, const char *why, void *arg)
{
    on_done(s, why, arg);
    json_object_set_new(result, "done", json_integer((json_int_t)r->done));
    json_object_set_new(result, "skipped", json_integer((json_int_t)r->skipped));
}

static json_t *job_json(const struct queue_job_info *j)
{
    json_t *o = json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "id", j->id, "state",
                          queue_state_name(j->state), "name", string_or_null(j->name), "data",
                          string_or_null(j->data), "opts", string_or_null(j->opts), "failedReason",
                          string_or_null(j->failed_reason), "stacktrace", string_or_null(j->stacktrace),
                          "returnvalue", string_or_null(j->return_value), "progress",
                          string_or_null(j->progress), "debounceId", string_or_null(j->debounce_id));
    const struct {
        const char *name;
        uint64_t v;
    } numbers[] = {{"timestamp", j->timestamp_ms},
                   {"processedOn", j->processed_on_ms},
                   {"finishedOn", j->finished_on_ms},
                   {"retriedOn", j->retried_on_ms},
                   {"delay", j->delay_ms},
                   {"priority", j->priority},
                   {"attemptsMade", j->attempts_made}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        json_object_set_new(o, numbers[i].name, json_integer((json_int_t)numbers[i].v));
    return o;
}

static void on_job(enum queue_status s, const struct queue_job_info *job, const char *why, void *arg)
{
    on_done(s, why, arg);
    json_object_set_new(result, "job", job != NULL ? job_json(job) : json_null());
}

static void on_jobs(enum queue_status s, const struct queue_job_info *jobs, size_t n, const char *why,
                    void *arg)
{
    on_done(s, why, arg);
    json_t *all = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(all, job_json(&jobs[i]));
    json_object_set_new(result, "jobs", all);
}

static void on_finished(enum queue_status s, enum queue_state state, void *arg)
{
    on_done(s, NULL, arg);
    json_object_set_new(result, "state", json_string(queue_state_name(state)));
}

static void on_is_paused(enum queue_status s, bool paused, void *arg)
{
    on_done(s, NULL, arg);
    json_object_set_new(result, "paused", json_boolean(paused));
}

static void on_numbers(enum queue_status s, const uint64_t *counts, size_t n, void *arg)
{
    on_done(s, NULL, arg);
    json_t *all = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(all, json_integer((json_int_t)counts[i]));
    json_object_set_new(result, "counts", all);
}

static void on_counts(enum queue_status s, const struct queue_counts *c, void *arg)
{
    on_done(s, NULL, arg);
    json_object_set_new(result, "counts",
                        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "waiting", (json_int_t)c->wait, "active",
                                  (json_int_t)c->active, "completed", (json_int_t)c->completed, "failed",
                                  (json_int_t)c->failed, "delayed", (json_int_t)c->delayed, "paused",
                                  (json_int_t)c->paused));
}

static void on_logs(enum queue_status s, const char *const *lines, const size_t *lens, size_t n,
                    uint64_t total, void *arg)
{
    on_done(s, NULL, arg);
    json_t *all = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(all, json_stringn(lines[i], lens[i]));
    json_object_set_new(result, "logs", all);
    json_object_set_new(result, "count", json_integer((json_int_t)total));
}

/* ---- the verbs */

static bool ask_one(const char *verb, const json_t *ask)
{
    const char *id = text(ask, "id"), *json = text(ask, "json");
    if (strcmp(verb, "add") == 0) {
        struct queue_add_options o = options_of(json_object_get(ask, "opts"));
        queue_add_job(queue, &o, json, strlen(json), on_added, NULL);
    } else if (strcmp(verb, "retry") == 0) {
        queue_retry_job(queue, id, on_done, NULL);
    } else if (strcmp(verb, "promote") == 0) {
        queue_promote_job(queue, id, on_done, NULL);
    } else if (strcmp(verb, "remove") == 0) {
        queue_remove_job(queue, id, on_done, NULL);
    } else if (strcmp(verb, "update") == 0) {
        queue_update_data(queue, id, json, strlen(json), on_done, NULL);
    } else if (strcmp(verb, "progress") == 0) {
        queue_update_progress(queue, id, json, on_done, NULL);
    } else if (strcmp(verb, "log") == 0) {
        queue_add_log(queue, id, text(ask, "line"), number(ask, "keep", 0), on_logged, NULL);
    } else if (strcmp(verb, "pause") == 0) {
        queue_pause(queue, on_done, NULL);
    } else if (strcmp(verb, "resume") == 0) {
        queue_resume(queue, on_done, NULL);
    } else {
        return false;
    }
    return true;
}

static bool ask_many(const char *verb, const json_t *ask)
{
    struct queue_bulk b = {.dry_run = flag(ask, "dry_run"), .max = number(ask, "max", 0), .done = on_bulk};
    enum queue_state state = QUEUE_STATE_NONE;
    if (text(ask, "state") != NULL && !queue_state_of(text(ask, "state"), &state))
        return false;
    if (strcmp(verb, "retry_all") == 0)
        queue_retry_all(queue, &b);
    else if (strcmp(verb, "promote_all") == 0)
        queue_promote_all(queue, &b);
    else if (strcmp(verb, "remove_matching") == 0)
        queue_remove_matching(queue, text(ask, "pattern"), &b);
    else if (strcmp(verb, "clean") == 0)
        queue_clean(queue, state, number(ask, "grace", 0), &b);
    else if (strcmp(verb, "drain") == 0)
        queue_drain(queue, flag(ask, "delayed"), &b);
    else if (strcmp(verb, "obliterate") == 0)
        queue_obliterate(queue, flag(ask, "force"), &b);
    else if (strcmp(verb, "list") == 0)
        queue_list_jobs(queue, state, number(ask, "start", 0), number(ask, "end", 999), flag(ask, "asc"),
                        true, on_jobs, NULL);
    else
        return false;
    return true;
}

static bool ask_look(const char *verb, const json_t *ask)
{
    const char *id = text(ask, "id");
    if (strcmp(verb, "get") == 0) {
        queue_get_job(queue, id, on_job, NULL);
    } else if (strcmp(verb, "is_finished") == 0) {
        queue_is_finished(queue, id, on_finished, NULL);
    } else if (strcmp(verb, "is_paused") == 0) {
        queue_is_paused(queue, on_is_paused, NULL);
    } else if (strcmp(verb, "counts") == 0) {
        queue_count(queue, on_counts, NULL);
    } else if (strcmp(verb, "logs") == 0) {
        queue_get_logs(queue, id, (int64_t)number(ask, "start", 0), (int64_t)number(ask, "end", (uint64_t)-1),
                       flag(ask, "asc"), on_logs, NULL);
    } else if (strcmp(verb, "priorities") == 0) {
        const json_t *of = json_object_get(ask, "of");
        uint64_t priorities[16];
        size_t n = json_array_size(of) < 16 ? json_array_size(of) : 16;
        for (size_t i = 0; i < n; i++)
            priorities[i] = (uint64_t)json_integer_value(json_array_get(of, i));
        queue_count_priorities(queue, priorities, n, on_numbers, NULL);
    } else {
        return false;
    }
    return true;
}

static void answer(const json_t *ask)
{
    const char *verb = text(ask, "verb");
    result = NULL;
    if (verb == NULL || (!ask_one(verb, ask) && !ask_many(verb, ask) && !ask_look(verb, ask)))
        result = json_string("no such verb");
    while (result == NULL)
        ev_run(loop, EVRUN_ONCE);
    json_t *line = json_pack("{s:O, s:o}", "n", json_object_get(ask, "n"), "result", result);
    char *printed = json_dumps(line, JSON_COMPACT);
    puts(printed);
    fflush(stdout);
    free(printed);
    json_decref(line);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: queue_driver REDIS_SOCKET PREFIX QUEUE\n");
        return 64;
    }
    char url[300];
    snprintf(url, sizeof url, "unix://%s", argv[1]);
    static const struct redis_events events = {.ready = on_ready};
    struct redis_options ro = {.url = url,
                               .username = "",
                               .password = "",
                               .connect_timeout_ms = 5000,
                               .command_timeout_ms = 20000,
                               .reconnect_min_ms = 10,
                               .reconnect_max_ms = 100};
    struct queue_options qo = {.prefix = argv[2],
                               .name = argv[3],
                               .token = "driver.1.0.1",
                               .lock_ms = 30000,
                               .stalled_interval_ms = 30000,
                               .max_stalled = 1};
    signal(SIGPIPE, SIG_IGN);
    loop = ev_default_loop(0);
    queue_register_scripts();
    queue_register_admin_scripts();
    struct redis *r = redis_new(loop, &ro, &events, NULL);
    while (r != NULL && !is_ready)
        ev_run(loop, EVRUN_ONCE);
    queue = queue_new(loop, r, &qo);
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, stdin) > 0) {
        json_t *ask = json_loads(line, 0, NULL);
        answer(ask);
        json_decref(ask);
    }
    free(line);
    queue_free(queue);
    redis_free(r);
    return 0;
}
