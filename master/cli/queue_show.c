/* queue_show - dray queue ls, dray queue show NAME|ID: reads Redis directly, so it answers when no dray runs too. */
#include "master/cli/queue_show.h"

#include "common/redis/redis.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/str.h"
#include "common/queue/queue.h"
#include "master/cli/queue_look.h"
#include "master/cli/queue_place.h"
#include "master/cli/table.h"

#define URL_SIZE   1024
#define TIMEOUT_MS 5000

static const char *const columns[] = {"name",      "mode",           "wait",      "active",
                                      "delayed",   "paused",         "completed", "failed",
                                      "is_paused", "oldest_wait_ms", NULL};

static int failed(const struct queue_look *l)
{
    fprintf(stderr, "dray queue: Redis: %s\n", l->error);
    return EXIT_CODE_UNREACHABLE;
}

static void print_json(const json_t *j)
{
    json_dumpf(j, stdout, JSON_COMPACT);
    putchar('\n');
}

/* Configured queues first, then what else is found. */
static json_t *list_names(struct queue_look *l, const struct conf *c)
{
    json_t *names = json_array();
    bool complete = true;
    for (size_t i = 0; i < c->n_destinations; i++)
        json_array_append_new(names, json_string(c->destinations[i].id));
    for (size_t i = 0; i < c->n_takeovers; i++)
        json_array_append_new(names, json_string(c->takeovers[i].id));
    if (queue_look_names(l, names, &complete) < 0) {
        json_decref(names);
        return NULL;
    }
    if (!complete)
        fprintf(stderr,
                "dray queue: Redis has very many keys; queues that are not configured may be missing\n");
    return names;
}

static void add_up(json_t *sum, const json_t *row)
{
    static const char *const counts[] = {"wait", "active", "delayed", "paused", "completed", "failed"};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        json_object_set_new(sum, counts[i],
                            json_integer(json_integer_value(json_object_get(sum, counts[i])) +
                                         json_integer_value(json_object_get(row, counts[i]))));
    if (json_is_true(json_object_get(row, "is_paused")))
        json_object_set_new(sum, "is_paused", json_true());
    json_t *oldest = json_object_get(row, "oldest_wait_ms");
    if (json_integer_value(oldest) > json_integer_value(json_object_get(sum, "oldest_wait_ms")))
        json_object_set(sum, "oldest_wait_ms", oldest);
}

/* One row for the target; partitions (may be NULL) gets one for each of its queues. NULL on failure. */
static json_t *count_target(struct queue_look *l, const struct queue_target *t, json_t *partitions)
{
    json_t *sum = NULL;
    for (size_t i = 0; i < t->n; i++) {
        l->prefix = t->places[i].prefix;
        json_t *row = queue_look_counts(l, t->places[i].name);
        if (row == NULL) {
            json_decref(sum);
            return NULL;
        }
        json_object_set_new(row, "name", json_string(t->places[i].label));
        if (t->mode != CONF_MODE_SHARED)
            json_object_set_new(row, "holder", queue_look_holder(l, t->places[i].name));
        if (partitions != NULL)
            json_array_append(partitions, row);
        if (sum == NULL)
            sum = json_copy(row);
        else
            add_up(sum, row);
        json_decref(row);
    }
    char mode[48];
    snprintf(mode, sizeof mode, t->mode == CONF_MODE_KEY ? "%s, %zu partitions" : "%s",
             conf_mode_name(t->mode), t->n);
    json_object_set_new(sum, "name", json_string(t->name));
    json_object_set_new(sum, "mode", json_string(mode));
    return sum;
}

static json_t *count_named(struct queue_look *l, const struct conf *c, const char *name)
{
    struct queue_target t;
    if (queue_target_find(c, name, &t, l->error, sizeof l->error) < 0)
        return NULL;
    json_t *row = count_target(l, &t, NULL);
    queue_target_fini(&t);
    return row;
}

static int list(struct queue_look *l, const struct conf *c, bool json)
{
    json_t *names = list_names(l, c), *rows = json_array(), *name;
    size_t i;
    bool ok = names != NULL;
    json_array_foreach(names, i, name)
    {
        json_t *row = count_named(l, c, json_string_value(name));
        ok = ok && row != NULL;
        if (row != NULL)
            json_array_append_new(rows, row);
    }
    if (ok && json) {
        json_t *answer = json_pack("{s:O}", "queues", rows);
        print_json(answer);
        json_decref(answer);
    } else if (ok && json_array_size(rows) > 0) {
        table_print(stdout, rows, columns);
    } else if (ok) {
        fprintf(stderr, "dray queue: no queue yet\n");
    }
    json_decref(names);
    json_decref(rows);
    return ok ? EXIT_CODE_OK : failed(l);
}

static void print_rows(const json_t *o, const char *key, const char *title)
{
    const json_t *rows = json_object_get(o, key);
    if (json_array_size(rows) == 0)
        return;
    printf("\n%s\n", title);
    if (json_is_object(json_array_get(rows, 0))) {
        table_print(stdout, rows, NULL);
        return;
    }
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        printf("  %s\n", json_string_value(row));
    }
}

static void print_queue(json_t *o)
{
    json_t *rows = json_pack("[O]", o);
    table_print(stdout, rows, columns);
    json_decref(rows);
    print_rows(o, "partitions", "PARTITIONS");
    print_rows(o, "workers", "WORKERS");
    print_rows(o, "candidates", "CANDIDATES");
    print_rows(o, "active_jobs", "ACTIVE");
    print_rows(o, "failed_jobs", "FAILED LAST");
}

static void print_job(json_t *o)
{
    const char *key;
    json_t *value;
    json_object_foreach(o, key, value)
    {
        char *text = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        printf("%-14s %s\n", key, text != NULL ? text : json_string_value(value));
        free(text);
    }
}

static json_t *queue_of(struct queue_look *l, const struct queue_target *t, const struct conf *c)
{
    json_t *partitions = t->mode == CONF_MODE_KEY ? json_array() : NULL;
    json_t *o = count_target(l, t, partitions);
    if (o != NULL && partitions != NULL)
        json_object_set(o, "partitions", partitions);
    json_decref(partitions);
    for (size_t i = 0; o != NULL && i < t->n; i++) {
        l->prefix = t->places[i].prefix;
        queue_look_details(l, t->places[i].name, o);
    }
    if (o != NULL && t->mode != CONF_MODE_SHARED) {
        l->prefix = t->takeover != NULL ? t->takeover->prefix : c->queue.prefix;
        json_object_set_new(o, "candidates", queue_look_members(l, t->places[0].name));
    }
    return o;
}

static json_t *find_job(struct queue_look *l, const struct conf *c, const json_t *names, const char *id)
{
    json_t *found = json_null(), *name;
    size_t i;
    json_array_foreach(names, i, name)
    {
        struct queue_target t;
        if (!json_is_null(found) ||
            queue_target_find(c, json_string_value(name), &t, l->error, sizeof l->error) < 0)
            continue;
        for (size_t k = 0; k < t.n && json_is_null(found); k++) {
            l->prefix = t.places[k].prefix;
            found = queue_look_job(l, t.places[k].name, id);
        }
        queue_target_fini(&t);
        if (found == NULL)
            return NULL;
    }
    return found;
}

static int show(struct queue_look *l, const struct conf *c, const char *what, bool json)
{
    struct queue_target t;
    json_t *names = list_names(l, c), *found = NULL, *name;
    size_t i;
    bool is_queue = strchr(what, '#') != NULL;
    if (names == NULL)
        return failed(l);
    json_array_foreach(names, i, name)
    {
        is_queue = is_queue || strcmp(json_string_value(name), what) == 0;
    }
    if (!is_queue) {
        found = find_job(l, c, names, what);
    } else if (queue_target_find(c, what, &t, l->error, sizeof l->error) == 0) {
        found = queue_of(l, &t, c);
        queue_target_fini(&t);
    } else {
        fprintf(stderr, "dray queue: %s\n", l->error);
        json_decref(names);
        return EXIT_CODE_USAGE;
    }
    json_decref(names);
    if (found == NULL)
        return failed(l);
    if (json_is_null(found)) {
        fprintf(stderr, "dray queue: no queue and no job is named %s; dray queue ls lists the queues\n",
                what);
        return EXIT_CODE_NOT_RUNNING;
    }
    if (json)
        print_json(found);
    else if (is_queue)
        print_queue(found);
    else
        print_job(found);
    json_decref(found);
    return EXIT_CODE_OK;
}

int queue_show_run(const struct cli *o, const char *what)
{
    char url[URL_SIZE], why[256];
    enum exitcode loaded;
    struct conf *c = queue_session_conf(o, &loaded);
    if (c == NULL)
        return (int)loaded;
    queue_session_url(o, c, url, sizeof url);
    struct queue_look l = {.prefix = c->queue.prefix};
    l.c = redis_connect_blocking(url, c->redis.username, c->redis.password, TIMEOUT_MS, why, sizeof why);
    if (l.c == NULL) {
        fprintf(stderr, "dray queue: Redis at %s: %s\n",
                strchr(url, '@') != NULL ? "the configured url" : url, why);
        conf_free(c);
        return EXIT_CODE_UNREACHABLE;
    }
    int code = what == NULL ? list(&l, c, o->json) : show(&l, c, what, o->json);
    redisFree(l.c);
    conf_free(c);
    return code;
}
