/* queue_who - see queue_who.h. */
#include "common/redis/redis.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>

#include "common/base/str.h"
#include "common/queue/partition.h"
#include "common/queue/queue.h"
#include "master/cli/queue_who.h"

#define KEY_SIZE 512

/* The name of the token's node: asked for once. */
static const char *node_of(struct queue_look *l, const char *token)
{
    char key[QUEUE_PREFIX_SIZE + 128];
    queue_node_key(l->home_prefix, token, key, sizeof key);
    if (l->nodes == NULL)
        l->nodes = json_object();
    const json_t *known = json_object_get(l->nodes, key);
    if (known == NULL) {
        redisReply *r = queue_look_ask(l, "GET %s", key);
        json_object_set_new(l->nodes, key,
                            r != NULL && r->type == REDIS_REPLY_STRING ? queue_look_text(r) : json_null());
        freeReplyObject(r);
        known = json_object_get(l->nodes, key);
    }
    return json_string_value(known);
}

json_t *queue_who_name(struct queue_look *l, const char *token)
{
    if (token == NULL)
        return json_null();
    const char *run = strchr(token, '.'), *slot = run != NULL ? strchr(run + 1, '.') : NULL;
    if (slot == NULL || strchr(slot + 1, '.') == NULL) /* <node>.<run>.<slot>.<generation> */
        return json_string(token);
    const char *node = node_of(l, token);
    int len = (int)strcspn(slot + 1, ".");
    if (node != NULL)
        return json_sprintf("%s delivery.%.*s", node, len, slot + 1);
    return json_sprintf("node %.8s delivery.%.*s", token, len, slot + 1);
}

/* The value of " FIELD=" in a line of CLIENT LIST. */
static char *value_of(const char *line, const char *field, char *dst, size_t size)
{
    const char *at = strstr(line, field);
    size_t n = at != NULL ? strcspn(at + strlen(field), " ") : 0;
    snprintf(dst, size, "%.*s", (int)n, at != NULL ? at + strlen(field) : "");
    return dst;
}

json_t *queue_who_works(struct queue_look *l, const char *name)
{
    json_t *workers = json_array();
    char wanted[KEY_SIZE], client[KEY_SIZE], address[KEY_SIZE];
    const struct queue_options o = {.prefix = l->prefix, .name = name, .token = ""};
    queue_client_name(&o, wanted, sizeof wanted);
    size_t len = strlen(wanted) - 3; /* without ":w:": Bull's own workers have nothing behind it */
    wanted[len] = '\0';
    redisReply *r = queue_look_ask(l, "CLIENT LIST TYPE normal");
    char *save = NULL;
    for (char *line = r != NULL ? strtok_r(r->str, "\n", &save) : NULL; line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        value_of(line, " name=", client, sizeof client);
        value_of(line, " addr=", address, sizeof address);
        const char *rest = client + len;
        if (!str_starts(client, wanted) || (*rest != '\0' && *rest != ':'))
            continue;
        const char *token = str_starts(rest, ":w:") ? rest + 3 : NULL;
        json_t *who = token != NULL ? queue_who_name(l, token) : json_string("bull");
        json_array_append_new(
            workers, json_pack("{s:o, s:s?, s:s}", "worker", who, "token", token, "address", address));
    }
    freeReplyObject(r);
    return workers;
}

json_t *queue_who_holds(struct queue_look *l, const char *name)
{
    char key[KEY_SIZE];
    redisReply *r = queue_look_ask(l, "GET %s", queue_key(l->prefix, name, "dray:lease", key, sizeof key));
    json_t *holder = NULL;
    if (r != NULL && r->type == REDIS_REPLY_STRING) {
        r->str[strcspn(r->str, "/")] = '\0';
        holder = json_string(r->str);
    }
    freeReplyObject(r);
    return holder != NULL ? holder : json_null();
}

json_t *queue_who_stands_by(struct queue_look *l, const char *name)
{
    char key[KEY_SIZE];
    json_t *members = json_array();
    redisReply *r =
        queue_look_ask(l, "ZRANGE %s 0 -1", queue_key(l->prefix, name, "dray:members", key, sizeof key));
    for (size_t i = 0; r != NULL && r->type == REDIS_REPLY_ARRAY && i < r->elements; i++) {
        json_t *token = queue_look_text(r->element[i]);
        json_array_append_new(
            members,
            json_pack("{s:o, s:O}", "worker", queue_who_name(l, json_string_value(token)), "token", token));
        json_decref(token);
    }
    freeReplyObject(r);
    return members;
}
