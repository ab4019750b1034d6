/* control_verb - see control_verb.h. A verb is a row of the table at the end. */
#include "master/control_verb.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/exitcode.h"
#include "master/control_sock.h"
#include "master/loglevel.h"
#include "master/pause.h"
#include "master/reconcile.h"
#include "master/slot.h"
#include "master/state.h"
#include "master/status.h"
#include "master/upgrade.h"

json_t *control_verb_refuse(int code, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return json_pack("{s:b,s:i,s:s}", "ok", 0, "code", code, "error", text);
}

json_t *control_verb_okay(void)
{
    return json_pack("{s:b}", "ok", 1);
}

static json_t *verb_status(struct master *m, const json_t *request)
{
    (void)request;
    json_t *o = status_json(m);
    json_object_set_new(o, "ok", json_true());
    return o;
}

static const struct kind *named_kind(const json_t *request, json_t **error)
{
    const char *name = json_string_value(json_object_get(request, "kind"));
    const struct kind *k = name != NULL ? kind_find(name) : NULL;
    *error = k != NULL
                 ? NULL
                 : control_verb_refuse(
                       EXIT_CODE_USAGE,
                       "there is no kind of process named \"%s\"; kinds: ingest, delivery, console, program",
                       name != NULL ? name : "");
    return k;
}

static json_t *verb_scale(struct master *m, const json_t *request)
{
    json_t *error, *n = json_object_get(request, "n"), *by = json_object_get(request, "by");
    const struct kind *k = named_kind(request, &error);
    int done = -1;
    if (k == NULL)
        return error;
    if (m->phase == MASTER_STOPPING)
        return control_verb_refuse(EXIT_CODE_TEMP, "it is stopping");
    if (json_is_true(json_object_get(request, "auto")))
        done = scale_auto(m, k);
    else if (json_is_integer(by) && json_integer_value(by) >= -1000 && json_integer_value(by) <= 1000)
        done = scale_step(m, k, (int)json_integer_value(by));
    else if (json_is_integer(n) && json_integer_value(n) >= 0 && json_integer_value(n) <= UINT_MAX)
        done = scale_set(m, k, (unsigned)json_integer_value(n));
    if (done < 0 && k->exclusive)
        return control_verb_refuse(EXIT_CODE_USAGE, "%s cannot be scaled", k->name);
    if (done < 0)
        return control_verb_refuse(EXIT_CODE_USAGE, "%s can have %u to %u processes", k->name, scale_least(k),
                                   scale_most(k));
    const struct conf_master *c = &m->conf->master;
    return json_pack("{s:b,s:i,s:I}", "ok", 1, "wanted", (int)m->wanted[kind_id(k)], "wait_ms",
                     (json_int_t)c->health_boot_ms + (json_int_t)c->drain_ms +
                         (json_int_t)c->health_kill_grace_ms);
}

static struct slot *named_program(struct master *m, const char *name)
{
    struct slot *s;
    list_foreach(s, &m->slots, struct slot, link)
    {
        const char *own = kind_id(s->kind) == KIND_PROGRAM ? conf_program_slot_name(m->conf, s->index) : NULL;
        if (own != NULL && strcmp(own, name) == 0)
            return s;
    }
    return NULL;
}

static json_t *verb_restart(struct master *m, const json_t *request)
{
    json_t *error = NULL;
    const struct kind *k = NULL;
    if (json_object_get(request, "kind") != NULL && (k = named_kind(request, &error)) == NULL)
        return error;
    if (m->phase != MASTER_RUNNING)
        return control_verb_refuse(EXIT_CODE_TEMP, "it is still starting, or stopping: try again later");
    const char *name = json_string_value(json_object_get(request, "name"));
    struct slot *program =
        name != NULL && k != NULL && kind_id(k) == KIND_PROGRAM ? named_program(m, name) : NULL;
    if (name != NULL && program == NULL)
        return control_verb_refuse(EXIT_CODE_NOT_RUNNING, "there is no program \"%.60s\"", name);
    if (program != NULL)
        reconcile_roll_slot(program);
    else
        reconcile_roll(m, k);
    return control_verb_okay();
}

static json_t *verb_stop(struct master *m, const json_t *request)
{
    reconcile_stop(m, json_is_true(json_object_get(request, "now")), EXIT_CODE_OK);
    return json_pack("{s:b,s:i,s:I}", "ok", 1, "pid", (int)getpid(), "drain_ms",
                     (json_int_t)m->conf->master.drain_ms);
}

static json_t *verb_dump(struct master *m, const json_t *request)
{
    (void)request;
    status_dump(m);
    return control_verb_okay();
}

static json_t *verb_pause(struct master *m, const json_t *request)
{
    const char *name = json_string_value(json_object_get(request, "queue"));
    const json_t *paused = json_object_get(request, "paused");
    if (name == NULL || !json_is_boolean(paused))
        return control_verb_refuse(EXIT_CODE_USAGE, "queue and paused are needed");
    if (pause_set(m, name, json_is_true(paused)) < 0)
        return control_verb_refuse(EXIT_CODE_USAGE, "there is no destination or takeover named \"%.100s\"",
                                   name);
    return control_verb_okay();
}

static json_t *verb_config(struct master *m, const json_t *request)
{
    (void)request;
    struct buf text;
    json_t *reply = NULL, *conf;
    buf_init(&text, CONTROL_SOCK_REPLY_MAX);
    if (conf_dump(m->conf, false, &text) == 0 && (conf = json_loadb(text.data, text.len, 0, NULL)) != NULL)
        reply = json_pack("{s:b,s:o}", "ok", 1, "config", conf);
    buf_fini(&text);
    return reply != NULL ? reply
                         : control_verb_refuse(EXIT_CODE_BUG, "the configuration cannot be written out");
}

/* NULL: it is under way, and the answer comes when it is done. */
static json_t *verb_upgrade(struct master *m, const json_t *request)
{
    char text[UPGRADE_TEXT_MAX];
    enum exitcode code =
        upgrade_now(m, json_string_value(json_object_get(request, "binary")), text, sizeof text);
    if (code != EXIT_CODE_OK)
        return control_verb_refuse((int)code, "%s", text);
    return json_is_false(json_object_get(request, "wait")) ? control_verb_okay() : NULL;
}

static const struct {
    const char *name;
    json_t *(*fn)(struct master *m, const json_t *request);
    enum control_verb_later later; /* when fn gives no answer, or there is none */
} verbs[] = {
    {"status", verb_status, CONTROL_VERB_NOW},       {"scale", verb_scale, CONTROL_VERB_NOW},
    {"restart", verb_restart, CONTROL_VERB_NOW},     {"stop", verb_stop, CONTROL_VERB_NOW},
    {"dump", verb_dump, CONTROL_VERB_NOW},           {"level", loglevel_answer, CONTROL_VERB_NOW},
    {"config", verb_config, CONTROL_VERB_NOW},       {"pause", verb_pause, CONTROL_VERB_NOW},
    {"upgrade", verb_upgrade, CONTROL_VERB_UPGRADE}, {"flush", NULL, CONTROL_VERB_FLUSH},
    {"reload", NULL, CONTROL_VERB_RELOAD},
};

json_t *control_verb_answer(struct master *m, const json_t *request, enum control_verb_later *later)
{
    const char *verb = json_string_value(json_object_get(request, "verb"));
    *later = CONTROL_VERB_NOW;
    if (verb == NULL)
        return control_verb_refuse(EXIT_CODE_USAGE, "send one JSON object a line: {\"verb\":\"status\"}");
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(verbs[i].name, verb) != 0)
            continue;
        json_t *reply = verbs[i].fn != NULL ? verbs[i].fn(m, request) : NULL;
        if (reply == NULL)
            *later = verbs[i].later;
        turn_part(&m->turn, verbs[i].name);
        return reply;
    }
    return control_verb_refuse(EXIT_CODE_USAGE, "there is no verb \"%.60s\"", verb);
}
