/* queue_admin_rig - the verbs of administration, each as one waiting call. */
#ifndef DRAY_TESTS_UNIT_QUEUE_ADMIN_RIG_H
#define DRAY_TESTS_UNIT_QUEUE_ADMIN_RIG_H

#include "common/queue/admin.h"

#include "common/base/clock.h"
#include "tests/unit/queue_rig.h"

static inline int start_admin_server(void **state)
{
    queue_register_admin_scripts();
    return start_server(state);
}

#define put(g, ...) snprintf((g)->text + strlen((g)->text), sizeof(g)->text - strlen((g)->text), __VA_ARGS__)

static inline void on_added(enum queue_status s, const char *id, const char *why, void *arg)
{
    struct rig *g = arg;
    on_done(s, why, g);
    snprintf(g->text, sizeof g->text, "%s %s", queue_status_name(s), id != NULL ? id : "-");
}

/* "ok 17", "duplicate a", "invalid -"... */
static inline const char *add_job(struct rig *g, const struct queue_add_options *o, const char *data)
{
    queue_add_job(g->q, o, data, strlen(data), on_added, g);
    wait_for(g);
    return g->text;
}

static inline void on_job(enum queue_status s, const struct queue_job_info *job, const char *why, void *arg)
{
    struct rig *g = arg;
    on_done(s, why, g);
    g->text[0] = '\0';
    assert_true((job != NULL) == (s == QUEUE_OK));
    if (job == NULL) {
        put(g, "%s", queue_status_name(s));
        return;
    }
    put(g, "%s %s %s prio %d made %d lock %s logs %d", queue_state_name(job->state), job->name,
        job->data != NULL ? job->data : "-", (int)job->priority, (int)job->attempts_made,
        job->lock_token != NULL ? job->lock_token : "-", (int)job->logs);
    if (job->failed_reason != NULL)
        put(g, " %s", job->failed_reason);
    if (job->stacktrace != NULL)
        put(g, " %s", job->stacktrace);
    if (job->due_ms > 0)
        put(g, " due %d", (int)(job->due_ms - job->timestamp_ms));
    assert_true(job->lock_token == NULL || job->lock_left_ms > 20000);
}

static inline const char *get_job(struct rig *g, const char *id)
{
    queue_get_job(g->q, id, on_job, g);
    wait_for(g);
    return g->text;
}

static inline void on_jobs(enum queue_status s, const struct queue_job_info *jobs, size_t n, const char *why,
                           void *arg)
{
    struct rig *g = arg;
    on_done(s, why, g);
    g->text[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        if (jobs[i].due_ms > 0)
            put(g, "%s@%d ", jobs[i].id, (int)jobs[i].due_ms);
        else
            put(g, "%s ", jobs[i].id);
        assert_non_null(jobs[i].data);
    }
}

static inline const char *list(struct rig *g, enum queue_state state, uint64_t start, uint64_t end, bool asc)
{
    queue_list_jobs(g->q, state, start, end, asc, true, on_jobs, g);
    wait_for(g);
    return g->text;
}

static inline void on_numbers(enum queue_status s, const uint64_t *counts, size_t n, void *arg)
{
    struct rig *g = arg;
    on_done(s, NULL, g);
    g->text[0] = '\0';
    for (size_t i = 0; i < n; i++)
        put(g, "%d ", (int)counts[i]);
}

static inline void on_finished(enum queue_status s, enum queue_state state, void *arg)
{
    struct rig *g = arg;
    on_done(s, NULL, g);
    g->n = state;
}

static inline enum queue_state finished(struct rig *g, const char *id)
{
    queue_is_finished(g->q, id, on_finished, g);
    assert_int_equal(wait_for(g), QUEUE_OK);
    return (enum queue_state)g->n;
}

static inline void on_is_paused(enum queue_status s, bool paused, void *arg)
{
    struct rig *g = arg;
    on_done(s, NULL, g);
    g->n = paused;
}

static inline bool is_paused(struct rig *g)
{
    queue_is_paused(g->q, on_is_paused, g);
    assert_int_equal(wait_for(g), QUEUE_OK);
    return g->n == 1;
}

static inline void on_logged(enum queue_status s, uint64_t lines, const char *why, void *arg)
{
    struct rig *g = arg;
    on_done(s, why, g);
    g->number = lines;
}

static inline void on_logs(enum queue_status s, const char *const *lines, const size_t *lens, size_t n,
                           uint64_t total, void *arg)
{
    struct rig *g = arg;
    on_done(s, NULL, g);
    g->text[0] = '\0';
    for (size_t i = 0; i < n; i++)
        put(g, "%.*s ", (int)lens[i], lines[i]);
    put(g, "of %d", (int)total);
}

static inline const char *logs(struct rig *g, const char *id, int64_t start, int64_t end, bool asc)
{
    queue_get_logs(g->q, id, start, end, asc, on_logs, g);
    assert_int_equal(wait_for(g), QUEUE_OK);
    return g->text;
}

static inline enum queue_status update(struct rig *g, const char *id, const char *json)
{
    queue_update_data(g->q, id, json, strlen(json), on_done, g);
    return wait_for(g);
}

static inline enum queue_status retry(struct rig *g, const char *id)
{
    queue_retry_job(g->q, id, on_done, g);
    return wait_for(g);
}

static inline enum queue_status promote(struct rig *g, const char *id)
{
    queue_promote_job(g->q, id, on_done, g);
    return wait_for(g);
}

static inline enum queue_status remove_job(struct rig *g, const char *id)
{
    queue_remove_job(g->q, id, on_done, g);
    return wait_for(g);
}

static inline enum queue_status pause_queue(struct rig *g, bool pause)
{
    if (pause)
        queue_pause(g->q, on_done, g);
    else
        queue_resume(g->q, on_done, g);
    return wait_for(g);
}

/* ---- many */

static inline void on_bulk(enum queue_status s, const struct queue_bulk_result *r, const char *why, void *arg)
{
    struct rig *g = arg;
    on_done(s, why, g);
    snprintf(g->text, sizeof g->text, "%s %d %d", queue_status_name(s), (int)r->done, (int)r->skipped);
}

static inline void on_progress(const struct queue_bulk_result *r, void *arg)
{
    struct rig *g = arg;
    (void)r;
    g->number++;
}

/* "ok DONE SKIPPED"; how many calls it took in g->number. */
static inline struct queue_bulk bulk(struct rig *g, bool dry_run, uint64_t max)
{
    g->number = 0;
    return (struct queue_bulk){
        .dry_run = dry_run, .max = max, .progress = on_progress, .done = on_bulk, .arg = g};
}

static inline const char *bulk_end(struct rig *g)
{
    wait_for(g);
    return g->text;
}

#endif
