/* queue - dray queue ls, dray queue show NAME|ID: reads Redis directly, so it answers when no dray runs too. */
#include "common/redis/redis.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/str.h"
#include "common/queue/queue.h"
#include "master/cli/cli.h"
#include "master/cli/client.h"
#include "master/cli/control.h"
#include "master/cli/queue_look.h"
#include "master/cli/table.h"

#define URL_SIZE   1024
#define TIMEOUT_MS 5000

static const char usage[] =
    "usage: dray queue ls [-o json]\n"
    "       dray queue show NAME|ID [-o json]\n\n"
    "ls counts the jobs of every queue; show tells of one queue (who works on it, what is\n"
    "active, what failed last) or of one job, wherever it is.\n\n";

static const char *const columns[] = {"name",      "wait",   "active",    "delayed",        "paused",
                                      "completed", "failed", "is_paused", "oldest_wait_ms", NULL};

/* With -s alone the configuration is not known: the managed Redis listens beside the control socket. */
static char *redis_url(const struct cli *o, const struct conf *c, char *dst, size_t size)
{
    if (o->socket == NULL || o->config_path != NULL || c->redis.mode != CONF_REDIS_MANAGED)
        return conf_redis_url(c, dst, size);
    const char *slash = strrchr(o->socket, '/');
    char folder[512];
    snprintf(folder, sizeof folder, "%.*s", slash != NULL ? (int)(slash - o->socket) : 0, o->socket);
    if (folder[0] != '/') { /* a redis URL needs an absolute path */
        char here[256];
        if (getcwd(here, sizeof here) == NULL)
            here[0] = '\0';
        snprintf(dst, size, "unix://%s/%s%sredis.sock", here, folder, folder[0] != '\0' ? "/" : "");
    } else {
        snprintf(dst, size, "unix://%s/redis.sock", folder);
    }
    return dst;
}

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
    if (queue_look_names(l, names, &complete) < 0) {
        json_decref(names);
        return NULL;
    }
    if (!complete)
        fprintf(stderr,
                "dray queue: Redis has very many keys; queues that are not configured may be missing\n");
    return names;
}

static int list(struct queue_look *l, const struct conf *c, bool json)
{
    json_t *names = list_names(l, c), *rows = json_array(), *name;
    size_t i;
    bool ok = names != NULL;
    json_array_foreach(names, i, name)
    {
        json_t *row = queue_look_counts(l, json_string_value(name));
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
    print_rows(o, "workers", "WORKERS");
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

static int show(struct queue_look *l, const struct conf *c, const char *what, bool json)
{
    json_t *names = list_names(l, c), *found = NULL, *name;
    size_t i;
    bool is_queue = false;
    if (names == NULL)
        return failed(l);
    json_array_foreach(names, i, name)
    {
        is_queue = is_queue || strcmp(json_string_value(name), what) == 0;
    }
    if (is_queue)
        found = queue_look_queue(l, what);
    else
        found = json_null();
    for (i = 0; json_is_null(found) && i < json_array_size(names); i++)
        found = queue_look_job(l, json_string_value(json_array_get(names, i)), what);
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

static int wrong_words(const char *verb, char **words, size_t n)
{
    if (n == 2 && strcmp(words[0], "ls") == 0)
        return cli_usage(verb, "one word too many: %s", words[1]);
    if (n == 1 && strcmp(words[0], "show") == 0)
        return cli_usage(verb, "show: a queue's name or a job's id is needed");
    if (n > 0)
        return cli_usage(verb, "ls or show is needed, not %s", words[0]);
    return cli_usage(verb, "ls or show is needed");
}

/* From the file; with a socket alone, the running instance tells its own. */
static struct conf *find_conf(const struct cli *o, enum exitcode *code)
{
    json_t *answer;
    struct conf *c = NULL;
    struct buf errors;
    if (o->socket == NULL || o->config_path != NULL)
        return cli_load_conf(o, code);
    *code = (enum exitcode)client_request(o, json_pack("{s:s}", "verb", "config"), &answer);
    if (*code != EXIT_CODE_OK)
        return NULL;
    char *text = json_dumps(json_object_get(answer, "config"), JSON_COMPACT);
    json_decref(answer);
    buf_init(&errors, 1u << 16);
    if (text == NULL || conf_parse_dump(text, strlen(text), &c, &errors) < 0) {
        fprintf(stderr, "dray queue: the instance runs another version: %s\n", buf_cstr(&errors));
        *code = EXIT_CODE_PROTOCOL;
    }
    buf_fini(&errors);
    free(text);
    return c;
}

int queue_main(int argc, char **argv)
{
    struct cli o;
    char *words[2] = {NULL, NULL}, url[URL_SIZE], why[256];
    size_t n;
    int code = control_arguments(&o, argc, argv, usage, words, 2, &n);
    if (code != CLI_GO_ON)
        return code;
    bool is_ls = n == 1 && strcmp(words[0], "ls") == 0, is_show = n == 2 && strcmp(words[0], "show") == 0;
    if (!is_ls && !is_show)
        return wrong_words(argv[0], words, n);
    enum exitcode loaded;
    struct conf *c = find_conf(&o, &loaded);
    if (c == NULL)
        return (int)loaded;
    redis_url(&o, c, url, sizeof url);
    struct queue_look l = {.prefix = c->queue.prefix};
    l.c = redis_connect_blocking(url, c->redis.username, c->redis.password, TIMEOUT_MS, why, sizeof why);
    if (l.c == NULL) {
        fprintf(stderr, "dray queue: Redis at %s: %s\n",
                strchr(url, '@') != NULL ? "the configured url" : url, why);
        conf_free(c);
        return EXIT_CODE_UNREACHABLE;
    }
    code = is_ls ? list(&l, c, o.json) : show(&l, c, words[1], o.json);
    redisFree(l.c);
    conf_free(c);
    return code;
}
