/* queue_place - see queue_place.h. */
#include "master/cli/queue_place.h"

#include "common/redis/redis.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/queue/admin.h"
#include "master/cli/client.h"

#define CONNECT_TIMEOUT_MS 5000
#define COMMAND_TIMEOUT_MS 30000

/* ---- targets */

static void put_place(struct queue_target *t, const char *label, const char *prefix, const char *name)
{
    struct queue_place *p = &t->places[t->n++];
    str_copy(p->label, label, sizeof p->label);
    str_copy(p->prefix, prefix, sizeof p->prefix);
    str_copy(p->name, name, sizeof p->name);
}

/* All partitions, or only one of them (-1: all). */
static void put_destination(const struct conf *c, struct queue_target *t, long only)
{
    const char *name = conf_destination_queue(t->destination);
    unsigned n = conf_destination_partitions(c, t->destination);
    t->mode = conf_destination_mode(c, t->destination);
    t->places = xcalloc(n, sizeof *t->places);
    if (t->mode != CONF_MODE_KEY) {
        put_place(t, t->destination->id, c->queue.prefix, name);
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        char label[160], prefix[QUEUE_PREFIX_SIZE];
        if (only >= 0 && i != (unsigned long)only)
            continue;
        snprintf(label, sizeof label, "%s#%u", t->destination->id, i);
        queue_partition_prefix(c->queue.prefix, name, i, prefix, sizeof prefix);
        put_place(t, label, prefix, name);
    }
}

static void say_partition(const struct conf *c, const struct conf_destination *d, const char *name, char *why,
                          size_t size)
{
    if (d == NULL)
        snprintf(why, size, "%s: there is no such partition, and no destination of that name", name);
    else if (conf_destination_mode(c, d) != CONF_MODE_KEY)
        snprintf(why, size, "%s: there is no such partition: %s has none (they come with ordering: key)",
                 name, d->id);
    else
        snprintf(why, size, "%s: there is no such partition: those of %s are %s#0 to %s#%u", name, d->id,
                 d->id, d->id, (unsigned)conf_destination_partitions(c, d) - 1);
}

int queue_target_find(const struct conf *c, const char *name, struct queue_target *t, char *why, size_t size)
{
    char id[160];
    const char *hash = strchr(name, '#');
    uint64_t partition = 0;
    *t = (struct queue_target){0};
    str_copy(t->name, name, sizeof t->name);
    snprintf(id, sizeof id, "%.*s", (int)strcspn(name, "#"), name);
    t->destination = conf_find_destination(c, id);
    if (hash != NULL && (t->destination == NULL || str_parse_u64(hash + 1, &partition) != 0 ||
                         conf_destination_mode(c, t->destination) != CONF_MODE_KEY ||
                         partition >= conf_destination_partitions(c, t->destination))) {
        say_partition(c, t->destination, name, why, size);
        return -1;
    }
    if (t->destination != NULL) {
        put_destination(c, t, hash != NULL ? (long)partition : -1);
        return 0;
    }
    t->places = xcalloc(1, sizeof *t->places);
    for (size_t i = 0; i < c->n_takeovers; i++)
        if (strcmp(c->takeovers[i].id, name) == 0) {
            t->takeover = &c->takeovers[i];
            t->mode = t->takeover->is_multi_processor ? CONF_MODE_SHARED : CONF_MODE_STRICT;
            put_place(t, name, t->takeover->prefix, t->takeover->queue);
            return 0;
        }
    if (name[0] == '\0' || strlen(name) >= sizeof t->places->name || strchr(name, ':') != NULL) {
        snprintf(why, size, "%s: is no name of a queue", name);
        queue_target_fini(t);
        return -1;
    }
    put_place(t, name, c->queue.prefix, name);
    return 0;
}

void queue_target_fini(struct queue_target *t)
{
    free(t->places);
    t->places = NULL;
    t->n = 0;
}

/* ---- the way there */

/* With -s alone the configuration is not known: the managed Redis listens beside the control socket. */
char *queue_session_url(const struct cli *o, const struct conf *c, char *dst, size_t size)
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

/* From the file; with a socket alone, the running instance tells its own. */
static struct conf *load(const struct cli *o, enum exitcode *code)
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
        fprintf(stderr, "dray: the instance runs another version: %s\n", buf_cstr(&errors));
        *code = EXIT_CODE_PROTOCOL;
    }
    buf_fini(&errors);
    free(text);
    return c;
}

struct conf *queue_session_conf(const struct cli *o, enum exitcode *code)
{
    struct conf *c = load(o, code);
    if (c == NULL || c->redis.mode != CONF_REDIS_NONE)
        return c;
    fputs(
        "dray: there are no queues: redis.mode is none, and what is not delivered is in the memory of the running "
        "processes; see dray status and /metrics\n",
        stderr);
    conf_free(c);
    *code = EXIT_CODE_UNREACHABLE;
    return NULL;
}

struct exists {
    bool done, failed, any;
};

static void on_ready(struct redis *r, int64_t client_id, void *arg)
{
    struct queue_session *s = arg;
    (void)r;
    (void)client_id;
    s->ready = true;
    ev_break(s->loop, EVBREAK_ALL);
}

static void on_down(struct redis *r, const char *why, void *arg)
{
    struct queue_session *s = arg;
    (void)r;
    str_copy(s->why, why, sizeof s->why);
    s->failed = true;
    ev_break(s->loop, EVBREAK_ALL);
}

static void on_time(struct ev_loop *loop, ev_timer *t, int revents)
{
    struct queue_session *s = t->data;
    (void)revents;
    s->timed_out = true;
    ev_break(loop, EVBREAK_ALL);
}

bool queue_session_wait(struct queue_session *s, const bool *done, uint64_t timeout_ms)
{
    ev_timer timer;
    ev_timer_init(&timer, on_time, (double)timeout_ms / 1e3, 0.);
    timer.data = s;
    s->timed_out = false;
    if (timeout_ms > 0)
        ev_timer_start(s->loop, &timer);
    while (!*done && !s->failed && !s->timed_out)
        ev_run(s->loop, EVRUN_ONCE);
    ev_timer_stop(s->loop, &timer);
    if (*done)
        return true;
    queue_session_say(s->conf, s->verb, s->url, s->failed ? s->why : "no answer in time");
    return false;
}

void queue_session_say(const struct conf *c, const char *verb, const char *url, const char *why)
{
    const char *remedy = "";
    if (strstr(why, "NOAUTH") != NULL || strstr(why, "WRONGPASS") != NULL)
        remedy = "; see redis.username and redis.password";
    else if (strstr(why, "NOPERM") != NULL)
        remedy = "; this user may not do it: see redis.username";
    else if (c->redis.mode == CONF_REDIS_MANAGED)
        remedy = "; it runs while dray runs: start dray, or name another with -c or -s";
    else
        remedy = "; is it running? See redis.url";
    fprintf(stderr, "dray %s: Redis at %s: %s%s\n", verb,
            strchr(url, '@') != NULL ? "the configured url" : url, why, remedy);
}

static void on_exists(enum redis_status status, const struct redisReply *reply, void *arg)
{
    struct exists *e = arg;
    e->done = true;
    e->failed = status != REDIS_OK;
    e->any = !e->failed && reply->integer > 0;
}

static const char *nearest_to(const struct conf *c, const char *name)
{
    const char *nearest = NULL;
    unsigned best = CLI_FAR;
    for (size_t i = 0; i < c->n_destinations; i++)
        if (cli_is_nearer(name, c->destinations[i].id, &best))
            nearest = c->destinations[i].id;
    for (size_t i = 0; i < c->n_takeovers; i++)
        if (cli_is_nearer(name, c->takeovers[i].id, &best))
            nearest = c->takeovers[i].id;
    return nearest;
}

int queue_session_know(struct queue_session *s, const struct queue_target *t)
{
    static const char *const keys[] = {"id",        "wait",   "paused",      "active", "delayed",
                                       "completed", "failed", "meta-paused", "repeat"};
    enum { KEYS = sizeof keys / sizeof *keys };
    char names[KEYS][QUEUE_PREFIX_SIZE + 160];
    const char *argv[KEYS + 1] = {"EXISTS"}, *nearest;
    struct exists e = {0};
    if (t->destination != NULL || t->takeover != NULL)
        return EXIT_CODE_OK;
    for (size_t i = 0; i < KEYS; i++)
        argv[i + 1] = queue_key(t->places[0].prefix, t->places[0].name, keys[i], names[i], sizeof names[i]);
    redis_command(s->redis, on_exists, &e, KEYS + 1, argv, NULL);
    if (!queue_session_wait(s, &e.done, 0) || e.failed)
        return EXIT_CODE_UNREACHABLE;
    if (e.any)
        return EXIT_CODE_OK;
    nearest = nearest_to(s->conf, t->name);
    fprintf(stderr, "dray %s: no queue is named %s%s%s%s; dray queue ls lists them\n", s->verb, t->name,
            nearest != NULL ? " (did you mean " : "", nearest != NULL ? nearest : "",
            nearest != NULL ? "?)" : "");
    return EXIT_CODE_NOT_RUNNING;
}

int queue_session_open(const struct cli *o, const char *verb, struct queue_session *s)
{
    static const struct redis_events events = {.ready = on_ready, .down = on_down, .unfit = on_down};
    enum exitcode code;
    *s = (struct queue_session){.conf = queue_session_conf(o, &code), .verb = verb};
    if (s->conf == NULL)
        return (int)code;
    const struct redis_options redis = {
        .url = queue_session_url(o, s->conf, s->url, sizeof s->url),
        .username = s->conf->redis.username,
        .password = s->conf->redis.password,
        .client_name = "dray:cli",
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .command_timeout_ms = COMMAND_TIMEOUT_MS,
        .reconnect_min_ms = 1000,
        .reconnect_max_ms = 1000,
    };
    s->loop = ev_loop_new(EVFLAG_AUTO);
    queue_register_scripts();
    queue_register_admin_scripts();
    log_set_level(o->verbosity > 0 ? LOGL_INFO : LOGL_CRIT); /* what is wrong is said by the verb */
    s->redis = redis_new(s->loop, &redis, &events, s);
    if (s->redis == NULL) {
        fprintf(stderr, "dray %s: the Redis url is invalid\n", verb);
        queue_session_close(s);
        return EXIT_CODE_CONFIG;
    }
    if (!queue_session_wait(s, &s->ready, CONNECT_TIMEOUT_MS)) {
        queue_session_close(s);
        return EXIT_CODE_UNREACHABLE;
    }
    return EXIT_CODE_OK;
}

void queue_session_close(struct queue_session *s)
{
    redis_free(s->redis);
    if (s->loop != NULL)
        ev_loop_destroy(s->loop);
    conf_free(s->conf);
    *s = (struct queue_session){0};
}

struct queue *queue_session_queue(struct queue_session *s, const struct queue_place *p)
{
    const struct conf_queue *q = &s->conf->queue;
    const struct queue_options o = {
        .prefix = p->prefix,
        .name = p->name,
        .token = "dray:cli",
        .lock_ms = q->lock_duration_ms,
        .stalled_interval_ms = q->stalled_interval_ms,
        .max_stalled = q->max_stalled_count,
        .keep_completed_count = q->keep_completed_count,
        .keep_completed_age_ms = q->keep_completed_age_ms,
        .keep_failed_age_ms = q->keep_failed_age_ms,
        .lease_ms = q->lease_ms,
    };
    return queue_new(s->loop, s->redis, &o);
}
