/* hello - what is said on each new connection before anybody may use it.
 *
 * AUTH, name, id, database and INFO go in one pipeline. From INFO: is it still loading, a replica, too old, does it
 * evict keys, has it persistence. When the same server process still holds our previous connection, that one is ended
 * first, so that nothing it had buffered runs after what is sent here. Then the scripts that it has not yet are loaded;
 * the PING behind them makes the connection READY.
 */
#include "common/redis/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/str.h"

#define MAJOR_MIN 7 /* scripts with flags */

/* A reply that belongs to a connection which is already given up. */
static bool stale(const struct redis *r, enum redis_status status)
{
    return status == REDIS_UNKNOWN || status == REDIS_AWAY || r->state != REDIS_CONNECTING;
}

static void refuse_with(struct redis *r, bool unfit, const char *what, const struct redisReply *reply)
{
    char why[REDIS_WHY_SIZE];
    snprintf(why, sizeof why, "%s: %s", what, reply->str);
    redis_refuse(r, unfit && !redis_error_is_temporary(reply), why);
}

static void on_auth(enum redis_status status, const struct redisReply *reply, void *arg)
{
    struct redis *r = arg;
    if (stale(r, status) || status == REDIS_OK)
        return;
    refuse_with(r, true, "the server refused user or password", reply);
}

static void on_select(enum redis_status status, const struct redisReply *reply, void *arg)
{
    struct redis *r = arg;
    if (stale(r, status) || status == REDIS_OK)
        return;
    refuse_with(r, true, "SELECT of the database failed", reply);
}

static void on_client_id(enum redis_status status, const struct redisReply *reply, void *arg)
{
    struct redis *r = arg;
    if (!stale(r, status) && status == REDIS_OK && reply->type == REDIS_REPLY_INTEGER)
        r->client_id = reply->integer;
}

/* The value of "name:value" in INFO's text; dst is "" when it is not there. */
static void info_get(const char *info, const char *name, char *dst, size_t size)
{
    size_t n = strlen(name);
    dst[0] = '\0';
    for (const char *line = info; line != NULL && *line != '\0';) {
        if (strncmp(line, name, n) == 0 && line[n] == ':') {
            size_t len = strcspn(line + n + 1, "\r\n");
            if (len >= size)
                len = size - 1;
            memcpy(dst, line + n + 1, len);
            dst[len] = '\0';
            return;
        }
        line = strchr(line, '\n');
        if (line != NULL)
            line++;
    }
}

/* Returns why the server must not be used, or NULL. */
static const char *find_fault(const struct redis *r, const char *info, bool *unfit, char *why, size_t size)
{
    char value[64];
    *unfit = true;
    info_get(info, "redis_version", value, sizeof value);
    if (value[0] != '\0' && atoi(value) < MAJOR_MIN) {
        snprintf(why, size, "Redis %s is too old: %d.0 or later is needed", value, MAJOR_MIN);
        return why;
    }
    info_get(info, "role", value, sizeof value);
    if (strcmp(value, "slave") == 0)
        return "this Redis is a replica: give the address of its master";
    info_get(info, "maxmemory_policy", value, sizeof value);
    if (r->o.check_policy && strcmp(value, "noeviction") != 0) {
        snprintf(why, size,
                 "maxmemory-policy is %s: set it to noeviction, or Redis drops queued jobs when it is full",
                 value[0] != '\0' ? value : "unknown");
        return why;
    }
    *unfit = false;
    info_get(info, "loading", value, sizeof value);
    return strcmp(value, "1") == 0 ? "it is loading its data" : NULL;
}

static void on_script(enum redis_status status, const struct redisReply *reply, void *arg)
{
    struct redis *r = arg;
    if (stale(r, status) || status == REDIS_OK)
        return;
    refuse_with(r, true, "SCRIPT LOAD failed", reply);
}

static void on_ping(enum redis_status status, const struct redisReply *reply, void *arg);

/* Most often they are all there: another process has loaded them, and their texts are long. */
static void on_scripts(enum redis_status status, const struct redisReply *reply, void *arg)
{
    struct redis *r = arg;
    if (stale(r, status))
        return;
    redis_load_missing(r, reply, on_script, r);
    redis_sendf(r, on_ping, r, "PING");
}

static void on_ping(enum redis_status status, const struct redisReply *reply, void *arg)
{
    struct redis *r = arg;
    if (stale(r, status))
        return;
    if (status == REDIS_ERROR)
        refuse_with(r, false, "PING failed", reply);
    else
        redis_ready(r);
}

/* An id is only worth something within one life of the server process: another one counts from 1 again. */
static void end_previous(struct redis *r, const char *info)
{
    char run_id[REDIS_RUN_ID_SIZE];
    info_get(info, "run_id", run_id, sizeof run_id);
    if (r->old_client_id != 0 && run_id[0] != '\0' && strcmp(run_id, r->run_id) == 0)
        redis_sendf(r, NULL, NULL, "CLIENT KILL ID %lld", (long long)r->old_client_id);
    r->old_client_id = 0;
    str_copy(r->run_id, run_id, sizeof r->run_id);
}

static void on_info(enum redis_status status, const struct redisReply *reply, void *arg)
{
    struct redis *r = arg;
    char why[REDIS_WHY_SIZE], value[16];
    bool unfit;
    if (stale(r, status))
        return;
    if (status == REDIS_ERROR || reply->type != REDIS_REPLY_STRING) {
        snprintf(why, sizeof why, "INFO failed: %s", status == REDIS_ERROR ? reply->str : "no text");
        redis_refuse(r, status == REDIS_ERROR && !redis_error_is_temporary(reply), why);
        return;
    }
    const char *fault = find_fault(r, reply->str, &unfit, why, sizeof why);
    if (fault != NULL) {
        redis_refuse(r, unfit, fault);
        return;
    }
    info_get(reply->str, "aof_enabled", value, sizeof value);
    r->aof = strcmp(value, "1") == 0;
    end_previous(r, reply->str);
    if (r->o.no_scripts || redis_count_scripts() == 0)
        redis_sendf(r, on_ping, r, "PING");
    else
        redis_ask_scripts(r, on_scripts, r);
}

void redis_hello(struct redis *r)
{
    const struct redis_target *t = &r->target;
    if (*t->username != '\0') {
        const char *argv[] = {"AUTH", t->username, t->password};
        redis_send(r, on_auth, r, 3, argv, NULL);
    } else if (*t->password != '\0') {
        const char *argv[] = {"AUTH", t->password};
        redis_send(r, on_auth, r, 2, argv, NULL);
    }
    if (r->o.client_name != NULL) {
        const char *argv[] = {"CLIENT", "SETNAME", r->o.client_name};
        redis_send(r, NULL, NULL, 3, argv, NULL);
    }
    redis_sendf(r, on_client_id, r, "CLIENT ID");
    if (t->db != 0)
        redis_sendf(r, on_select, r, "SELECT %d", t->db);
    redis_sendf(r, on_info, r, "INFO");
}
