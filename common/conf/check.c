/* check - the rules that join keys, and those that a type cannot say. Each fault names the place and the remedy. */
#include "common/conf/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "common/base/str.h"
#include "common/base/user.h"

#define RUN_NAME_MAX 16         /* longest name of a socket in run_dir, with its slash: "/control.sock" */
#define ALONE        CONF_ALONE /* not an element of a list */
#define MEMORY_LEAST (32ull << 20)
#define MEMORY_ASIDE (64ull << 20) /* what an ingest process needs beside ingest.memory */

struct spot {
    struct conf_place at;
    char path[256];
};

static size_t row_index(const struct conf_section *s, const char *row)
{
    bool alias;
    return (size_t)(conf_table_row(s, row, &alias) - s->rows);
}

/* Where a key was set: its own place, else its element's, else the list's, else the whole configuration. */
static void find(const struct conf_layers *l, const char *section, const char *id, size_t element,
                 const char *row, struct spot *out)
{
    const struct conf_section *s = conf_table_section(section);
    size_t i = (size_t)(s - conf_sections), j = row_index(s, row);
    const struct conf_item *item = element == ALONE ? l->set[i][j] : NULL;
    if (element != ALONE && l->elements[i] != NULL) {
        item = l->elements[i][element * CONF_ROWS_MAX + j];
        if (item == NULL)
            item = l->elements[i][element * CONF_ROWS_MAX + CONF_ROW_ELEMENT];
    }
    if (item == NULL && CONF_IS_LIST(s))
        item = l->list[i];
    out->at = (struct conf_place){.from = l->main};
    if (item != NULL)
        out->at = (struct conf_place){.from = item->from, .line = item->line, .column = item->column};
    out->at.secret = CONF_IS_HIDDEN(&s->rows[j]);
    out->at.path = out->path;
    if (element == ALONE)
        snprintf(out->path, sizeof out->path, "%s.%s", section, row);
    else if (id != NULL && conf_check_id(id) == NULL)
        snprintf(out->path, sizeof out->path, "%s[%s].%s", section, id, row);
    else
        snprintf(out->path, sizeof out->path, "%s[#%zu].%s", section, element + 1, row);
}

static bool is_set(const struct conf_layers *l, const char *section, const char *row)
{
    const struct conf_section *s = conf_table_section(section);
    return l->set[s - conf_sections][row_index(s, row)] != NULL;
}

static const char *default_of(const char *section, const char *row)
{
    const struct conf_section *s = conf_table_section(section);
    return s->rows[row_index(s, row)].def;
}

static bool is_wrong(const struct conf_layers *l, const char *section, const char *row)
{
    const struct conf_section *s = conf_table_section(section);
    return l->wrong[s - conf_sections][row_index(s, row)];
}

/* A fault of one key, unless its value was told to be wrong already. */
static void tell(struct conf_layers *l, const char *section, const char *row, const char *what)
{
    struct spot spot;
    if (what == NULL || is_wrong(l, section, row))
        return;
    find(l, section, NULL, ALONE, row, &spot);
    conf_fault(l->r, &spot.at, "%s", what);
}

void conf_check_tell(struct conf_layers *l, const char *section, const char *id, size_t element,
                     const char *row, const char *what)
{
    struct spot spot;
    if (what == NULL || is_wrong(l, section, row))
        return;
    find(l, section, id, element, row, &spot);
    conf_fault(l->r, &spot.at, "%s", what);
}

void conf_check_warn(struct conf_layers *l, const char *section, const char *id, size_t element,
                     const char *row, const char *what)
{
    struct spot spot;
    find(l, section, id, element, row, &spot);
    conf_warning(l->r, &spot.at, "%s", what);
}

/* ---- pairs */

struct pair {
    const char *section, *row, *other_section, *other;
    bool ok;
    const char *rule;
};

static void check_pair(struct conf_layers *l, const struct pair *p)
{
    struct spot spot;
    if (p->ok || is_wrong(l, p->section, p->row) || is_wrong(l, p->other_section, p->other))
        return;
    if (is_set(l, p->section, p->row) || !is_set(l, p->other_section, p->other))
        find(l, p->section, NULL, ALONE, p->row, &spot);
    else
        find(l, p->other_section, NULL, ALONE, p->other, &spot);
    conf_fault(l->r, &spot.at, "%s", p->rule);
}

static void check_pairs(struct conf_layers *l, const struct conf *c)
{
    const struct conf_ingest *in = &c->ingest;
    const struct conf_master *m = &c->master;
    const struct pair pairs[] = {
        {"queue", "lock_renew", "queue", "lock_duration",
         c->queue.lock_renew_ms <= c->queue.lock_duration_ms / 2,
         "lock_renew must be at most half of lock_duration, or a lock could end while its job is worked on"},
        {"queue", "backoff.delay", "queue", "backoff.max",
         c->queue.backoff_delay_ms <= c->queue.backoff_max_ms, "backoff.delay must be at most backoff.max"},
        {"delivery", "timeout", "master", "drain", c->delivery.timeout_ms < m->drain_ms,
         "delivery.timeout must be under master.drain, or a drain would cut deliveries short"},
        {"master", "health.hang", "master", "health.beat", m->health_hang_ms >= 2 * m->health_beat_ms,
         "health.hang must be at least twice health.beat, or one late heartbeat would kill a child"},
        {"master", "restart.min", "master", "restart.max", m->restart_min_ms <= m->restart_max_ms,
         "restart.min must be at most restart.max"},
        {"master", "memory.ingest", "ingest", "memory",
         m->memory_ingest_bytes == 0 || m->memory_ingest_bytes >= in->memory_bytes + MEMORY_ASIDE,
         "memory.ingest must be at least 64MiB over ingest.memory, or requests would kill the process"},
        {"master", "autoscale.min", "master", "autoscale.max",
         m->autoscale_max == 0 || m->autoscale_min <= m->autoscale_max,
         "autoscale.min must be at most autoscale.max"},
        {"spool", "segment", "spool", "max_size", c->spool.segment_bytes <= c->spool.max_size_bytes,
         "spool.segment must be at most spool.max_size"},
        {"redis", "reconnect.min", "redis", "reconnect.max",
         c->redis.reconnect_min_ms <= c->redis.reconnect_max_ms,
         "reconnect.min must be at most reconnect.max"},
        {"ingest", "flush_at", "ingest", "max_internal_queue_size",
         in->flush_at <= in->max_internal_queue_size, "flush_at must be at most max_internal_queue_size"},
        {"ingest", "limits.event", "ingest", "max_batch", in->limits_event_bytes <= in->max_batch_bytes,
         "limits.event must be at most max_batch, or an allowed event would fit into no batch"},
        {"ingest", "limits.request", "ingest", "memory", in->limits_request_bytes <= in->memory_bytes,
         "limits.request must be at most ingest.memory"},
        {"ingest", "limits.inflated", "ingest", "memory", in->limits_inflated_bytes <= in->memory_bytes,
         "limits.inflated must be at most ingest.memory"},
        {"ingest", "limits.event", "ingest", "limits.request",
         in->limits_event_bytes <= in->limits_request_bytes, "limits.event must be at most limits.request"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        check_pair(l, &pairs[i]);
}

/* ---- single keys */

static const char *check_prefix(const char *prefix)
{
    if (prefix[0] == '\0')
        return "must not be empty";
    if (strlen(prefix) > 128)
        return "must be at most 128 bytes long";
    return strpbrk(prefix, " *?[]\\\"'") != NULL ? "must not hold spaces, quotes, or any of * ? [ ] \\"
                                                 : NULL;
}

static const char *check_output(const char *output)
{
    if (strcmp(output, "stderr") == 0 || strcmp(output, "syslog") == 0 || strcmp(output, "journal") == 0)
        return NULL;
    if (!str_starts(output, "file:"))
        return "expected stderr, syslog, journal or file:PATH";
    return output[5] == '\0' ? "the path behind file: is missing" : NULL;
}

static const char *check_folder(const char *path, size_t max)
{
    if (path[0] == '\0')
        return "must name a folder";
    return strlen(path) > max ? "the path is too long" : NULL;
}

static void check_users(struct conf_layers *l, const struct conf *c)
{
    const struct conf_master *m = &c->master;
    const struct {
        const char *row, *text;
    } users[] = {{"user", m->user},
                 {"users.ingest", m->users_ingest},
                 {"users.delivery", m->users_delivery},
                 {"users.spool", m->users_spool},
                 {"users.console", m->users_console},
                 {"users.program", m->users_program}};
    struct user found;
    char why[160];
    for (size_t i = 0; l->r->expand && i < sizeof users / sizeof *users; i++)
        if (users[i].text[0] != '\0' && user_find(users[i].text, &found, why, sizeof why) < 0)
            tell(l, "master", users[i].row, why);
    const uint64_t limits[] = {m->memory_ingest_bytes, m->memory_delivery_bytes, m->memory_spool_bytes, m->memory_console_bytes};
    static const char *const rows[] = {"memory.ingest", "memory.delivery", "memory.spool", "memory.console"};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if (limits[i] != 0 && limits[i] < MEMORY_LEAST)
            tell(l, "master", rows[i], "must be 0 (no limit) or at least 32MiB");
}

static void check_single_keys(struct conf_layers *l, const struct conf *c)
{
    check_users(l, c);
    tell(l, "node", "state_dir", check_folder(c->node.state_dir, 1024));
    tell(l, "node", "run_dir", check_folder(c->node.run_dir, 1024));
    if (strlen(c->node.run_dir) + RUN_NAME_MAX >= sizeof((struct sockaddr_un *)NULL)->sun_path)
        tell(
            l, "node", "run_dir",
            "the path is too long: the sockets in it must have paths shorter than 108 bytes; use one of at most 91");
    if (c->node.name[0] != '\0')
        tell(l, "node", "name", conf_check_id(c->node.name));
    if (!c->queue.is_multi_processor && c->queue.ordering == CONF_ORDERING_KEY)
        tell(
            l, "queue", "ordering",
            "key is for is_multi_processor: true; false is a stricter order than key, of the whole queue; remove one of them");
    if (c->queue.limiter.count == 0 && c->queue.limiter_group_key)
        tell(l, "queue", "limiter_group_key", "has a meaning only with queue.limiter");
    tell(l, "queue", "prefix", check_prefix(c->queue.prefix));
    tell(l, "log", "output", check_output(c->log.output));
    tell(l, "console", "address", conf_check_address(c->console.address));
    tell(l, "redis", "url", conf_check_redis_url(c->redis.url));
    tell(l, "redis", "managed.binary", c->redis.managed_binary[0] == '\0' ? "must name a program" : NULL);
    tell(l, "redis", "managed.dir", check_folder(c->redis.managed_dir, 512));
    if (c->redis.username[0] != '\0' && c->redis.password[0] == '\0' && !is_wrong(l, "redis", "password"))
        tell(l, "redis", "username", "a user name needs redis.password");
    if (c->redis.mode == CONF_REDIS_MANAGED && c->redis.password[0] != '\0')
        tell(l, "redis", "password",
             "is for mode: standalone; the managed Redis is reached by its own socket alone");
}

/* redis.mode: none. What only Redis can do is refused, not left out in silence. */
static void check_none(struct conf_layers *l, const struct conf *c)
{
    if (c->redis.mode != CONF_REDIS_NONE)
        return;
    if (c->n_takeovers > 0)
        conf_check_tell(l, "takeover", c->takeovers[0].id, 0, "id",
                        "needs the Redis where the queue is; write redis.mode: standalone");
    if (c->queue.limiter.count > 0)
        tell(l, "queue", "limiter",
             "counts in Redis, and redis.mode is none; remove it, or limit each destination's concurrency");
    for (size_t i = 0; i < c->n_destinations && c->master.processes_ingest > 1; i++)
        if (conf_destination_mode(c, &c->destinations[i]) != CONF_MODE_SHARED) {
            tell(
                l, "master", "processes.ingest",
                "with redis.mode: none an ordered queue needs a single ingest process; set it to 1, or ordering: none and is_multi_processor: true");
            return;
        }
}

/* ---- lists */

static void check_listener(struct conf_layers *l, const struct conf *c, size_t i)
{
    static const char list[] = "ingest.listeners";
    const struct conf_listener *it = &c->listeners[i];
    conf_check_tell(l, list, it->id, i, "id", conf_check_id(it->id));
    conf_check_tell(l, list, it->id, i, "address", conf_check_address(it->address));
    size_t len = strlen(it->mode);
    if (len < 3 || len > 4 || it->mode[strspn(it->mode, "01234567")] != '\0' ||
        (len == 4 && it->mode[0] != '0'))
        conf_check_tell(l, list, it->id, i, "mode", "expected octal permissions such as \"0660\"");
    conf_check_tls(l, &(struct conf_check_pem){.section = list,
                                               .id = it->id,
                                               .element = i,
                                               .cert = it->tls_cert,
                                               .key = it->tls_key,
                                               .ca = it->tls_client_ca,
                                               .cert_row = "tls.cert",
                                               .key_row = "tls.key",
                                               .ca_row = "tls.client_ca",
                                               .ca_needs_cert = true});
    bool any_port = str_ends(it->address, ":0");
    for (size_t j = 0; j < i; j++) {
        if (strcmp(c->listeners[j].id, it->id) == 0)
            conf_check_tell(l, list, it->id, i, "id", "another listener has the same id");
        if (!any_port && strcmp(c->listeners[j].address, it->address) == 0)
            conf_check_tell(l, list, it->id, i, "address", "another listener has the same address");
    }
    if (!any_port && c->master.processes_console > 0 && strcmp(c->console.address, it->address) == 0)
        conf_check_tell(l, list, it->id, i, "address", "console.address is the same; each needs its own");
}

static const char *check_write_key(const char *key)
{
    if (key[0] == '\0')
        return "must be given; any text that only the senders know";
    if (strlen(key) > 255)
        return "must be at most 255 bytes long";
    return strpbrk(key, ": ") != NULL
               ? "must not hold a colon or a space (it is a user name in Basic authorization)"
               : NULL;
}

static void check_source(struct conf_layers *l, const struct conf *c, size_t i)
{
    const struct conf_source *it = &c->sources[i];
    conf_check_tell(l, "sources", it->id, i, "id", conf_check_id(it->id));
    conf_check_tell(l, "sources", it->id, i, "write_key", check_write_key(it->write_key));
    for (size_t j = 0; j < i; j++) {
        if (strcmp(c->sources[j].id, it->id) == 0)
            conf_check_tell(l, "sources", it->id, i, "id", "another source has the same id");
        if (it->write_key[0] != '\0' && strcmp(c->sources[j].write_key, it->write_key) == 0)
            conf_check_tell(l, "sources", it->id, i, "write_key",
                            "another source has the same write key; each needs its own");
    }
}

static void check_destination(struct conf_layers *l, const struct conf *c, size_t i)
{
    static const char list[] = "destinations";
    const struct conf_destination *it = &c->destinations[i];
    conf_check_tell(l, list, it->id, i, "id", conf_check_id(it->id));
    conf_check_tell(l, list, it->id, i, "url", conf_check_http_url(it->url));
    for (size_t j = 0; j < i; j++)
        if (strcmp(c->destinations[j].id, it->id) == 0)
            conf_check_tell(l, list, it->id, i, "id", "another destination has the same id");
    conf_check_delivery_of(l, c, i);
    bool basic = it->auth_type == CONF_AUTH_BASIC, bearer = it->auth_type == CONF_AUTH_BEARER;
    if (basic && it->auth_username[0] == '\0')
        conf_check_tell(l, list, it->id, i, "auth.username", "type basic needs a username");
    if (strchr(it->auth_username, ':') != NULL)
        conf_check_tell(l, list, it->id, i, "auth.username", "must not hold a colon");
    if (bearer && it->auth_token[0] == '\0')
        conf_check_tell(l, list, it->id, i, "auth.token", "type bearer needs a token");
    if (!basic && (it->auth_username[0] != '\0' || it->auth_password[0] != '\0'))
        conf_check_tell(l, list, it->id, i, "auth.type",
                        "a username or password is given; write type: basic");
    if (!bearer && it->auth_token[0] != '\0')
        conf_check_tell(l, list, it->id, i, "auth.type", "a token is given; write type: bearer");
}

static void check_destination_queue(struct conf_layers *l, const struct conf *c, size_t i)
{
    static const char list[] = "destinations";
    const struct conf_destination *it = &c->destinations[i];
    if (it->queue[0] != '\0')
        conf_check_tell(l, list, it->id, i, "queue", conf_check_id(it->queue));
    for (size_t j = 0; j < i; j++)
        if (strcmp(conf_destination_queue(&c->destinations[j]), conf_destination_queue(it)) == 0 &&
            strcmp(c->destinations[j].id, it->id) != 0)
            conf_check_tell(l, list, it->id, i, "queue", "another destination has the same queue");
    if (it->ordering == CONF_OWN_SECOND && conf_destination_mode(c, it) == CONF_MODE_STRICT)
        conf_check_tell(
            l, list, it->id, i, "ordering",
            "key is for is_multi_processor: true; false is a stricter order than key, of the whole queue");
    if (it->timeout_ms != 0 && it->timeout_ms >= c->master.drain_ms)
        conf_check_tell(l, list, it->id, i, "timeout",
                        "must be under master.drain, or a drain would cut deliveries short");
}

static void check_takeover(struct conf_layers *l, const struct conf *c, size_t i)
{
    static const char list[] = "takeover";
    const struct conf_takeover *it = &c->takeovers[i];
    conf_check_tell(l, list, it->id, i, "id", conf_check_id(it->id));
    conf_check_tell(l, list, it->id, i, "prefix", check_prefix(it->prefix));
    conf_check_tell(l, list, it->id, i, "queue", conf_check_id(it->queue));
    if (it->destination[0] == '\0')
        conf_check_tell(l, list, it->id, i, "destination", "must name a destination");
    else if (conf_find_destination(c, it->destination) == NULL)
        conf_check_tell(l, list, it->id, i, "destination", "there is no destination of this id");
    for (size_t j = 0; j < i; j++) {
        const struct conf_takeover *other = &c->takeovers[j];
        if (strcmp(other->id, it->id) == 0)
            conf_check_tell(l, list, it->id, i, "id", "another takeover has the same id");
        if (strcmp(other->prefix, it->prefix) == 0 && strcmp(other->queue, it->queue) == 0)
            conf_check_tell(l, list, it->id, i, "queue", "another takeover has the same queue");
    }
    for (size_t j = 0; j < c->n_destinations; j++) {
        const struct conf_destination *d = &c->destinations[j];
        if (strcmp(d->id, it->id) == 0)
            conf_check_tell(l, list, it->id, i, "id", "a destination has the same id");
        if (strcmp(c->queue.prefix, it->prefix) == 0 && strcmp(conf_destination_queue(d), it->queue) == 0)
            conf_check_tell(l, list, it->id, i, "queue", "is the queue of a destination");
    }
}

/* A list without elements; not told beside other faults, which may be the cause. */
static void tell_empty(struct conf_layers *l, const char *list, const char *what)
{
    const struct conf_item *item = l->list[conf_table_section(list) - conf_sections];
    struct conf_place at = {.from = l->main, .path = list};
    if (item != NULL)
        at =
            (struct conf_place){.from = item->from, .line = item->line, .column = item->column, .path = list};
    if (l->r->faults == 0)
        conf_fault(l->r, &at, "%s", what);
}

static void check_lists(struct conf_layers *l, const struct conf *c)
{
    for (size_t i = 0; i < c->n_listeners; i++)
        check_listener(l, c, i);
    for (size_t i = 0; i < c->n_sources; i++)
        check_source(l, c, i);
    for (size_t i = 0; i < c->n_destinations; i++) {
        check_destination(l, c, i);
        check_destination_queue(l, c, i);
    }
    for (size_t i = 0; i < c->n_takeovers; i++)
        check_takeover(l, c, i);
    conf_check_routes(l, c);
    conf_check_intake(l, c);
    conf_check_programs(l, c);
    conf_check_delivery(l, c);
    conf_check_flow(l, c);
    if (c->n_sources == 0)
        tell_empty(l, "sources",
                   "there is none; add one: sources: [{ id: web, write_key: \"${env:WRITE_KEY}\" }]");
    if (c->n_listeners == 0)
        tell_empty(
            l, "ingest.listeners",
            "there is none; add one: [{ id: public, address: \"127.0.0.1:8080\" }], or remove the key");
}

/* ---- warnings */

static bool is_local(const char *address)
{
    return str_starts(address, "127.") || str_starts(address, "[::1]") || str_starts(address, "localhost:") ||
           str_starts(address, "unix:");
}

static void warn(struct conf_layers *l, const char *section, const char *row, const char *what)
{
    struct spot spot;
    find(l, section, NULL, ALONE, row, &spot);
    conf_warning(l->r, &spot.at, "%s", what);
}

static void check_warnings(struct conf_layers *l, const struct conf *c)
{
    const struct conf_queue *q = &c->queue;
    if (c->n_destinations == 0)
        conf_warning(l->r, &(struct conf_place){.from = l->main, .path = "destinations"},
                     "there is none: nothing will be delivered; add destinations: [{ id: ..., url: ... }]");
    if (c->redis.mode == CONF_REDIS_MANAGED && c->redis.managed_appendfsync != CONF_FSYNC_ALWAYS)
        warn(l, "redis", "managed.appendfsync", "only always keeps every acknowledged event through a crash");
    if (c->redis.mode == CONF_REDIS_MANAGED && strcmp(c->redis.url, default_of("redis", "url")) != 0)
        warn(l, "redis", "url",
             "is not used, because redis.mode is managed; write mode: standalone to use it");
    if (c->master.processes_console > 0 && !is_local(c->console.address))
        warn(l, "console", "address",
             "other hosts can reach this address, and nothing asks them for a password");
    uint64_t first = q->backoff_delay_ms, max = q->backoff_max_ms;
    uint64_t second = q->backoff_type == CONF_BACKOFF_FIXED || first > max / 2 ? first : 2 * first;
    uint64_t third = q->backoff_type == CONF_BACKOFF_FIXED || second > max / 2 ? second : 2 * second;
    if (q->retry_window_ms < first + second + third)
        warn(l, "queue", "retry_window", "is shorter than the first three waits of queue.backoff");
}

void conf_check(struct conf_layers *l, const struct conf *c)
{
    check_pairs(l, c);
    check_single_keys(l, c);
    check_none(l, c);
    conf_check_subscriptions(l, c);
    check_lists(l, c);
    if (l->r->faults == 0)
        check_warnings(l, c);
}
