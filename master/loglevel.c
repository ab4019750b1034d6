/* loglevel - see loglevel.h. The filter stands twice: in the child, which then does not even form the line, and at its
 * stream here, for what was on its way. */
#include "master/loglevel.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/exitcode.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "ipc/chan.h"
#include "master/logmux.h"
#include "master/slot.h"
#include "master/state.h"

#define RULES_MAX 32

static enum log_level level_for(const struct master *m, const char *kind, int slot)
{
    enum log_level level = (enum log_level)m->conf->log.level;
    const struct loglevel_rule *r;
    int best = -1;
    list_foreach(r, &m->levels, struct loglevel_rule, link)
    {
        int width = (r->kind[0] != '\0') + (r->slot != LOGLEVEL_ALL);
        if ((r->kind[0] == '\0' || strcmp(r->kind, kind) == 0) &&
            (r->slot == LOGLEVEL_ALL || r->slot == slot) && width > best) {
            best = width;
            level = r->level;
        }
    }
    return level;
}

static void send_level(struct slot *s, enum log_level level)
{
    struct msg msg = {.type = MSG_LEVEL, .generation = s->generation, .u.level.level = level};
    if (s->chan != NULL && s->configured)
        (void)chan_send(s->chan, &msg, NULL, 0);
}

void loglevel_apply(struct master *m)
{
    struct slot *s;
    log_set_level(level_for(m, "master", 0));
    list_foreach(s, &m->slots, struct slot, link)
    {
        enum log_level level = level_for(m, s->kind->name, (int)s->index);
        if (s->log != NULL)
            logmux_set_level(s->log, level);
        send_level(s, level);
    }
}

static const char *of_whom(const struct loglevel_rule *r)
{
    return r->kind[0] != '\0' ? r->kind : "all";
}

int loglevel_set(struct master *m, enum log_level level, const char *kind, int slot, uint64_t for_ms)
{
    struct loglevel_rule *r, *found = NULL;
    unsigned n = 0;
    list_foreach(r, &m->levels, struct loglevel_rule, link)
    {
        n++;
        if (strcmp(r->kind, kind != NULL ? kind : "") == 0 && r->slot == slot)
            found = r;
    }
    if (found == NULL && n == RULES_MAX)
        return -1;
    if (found == NULL) {
        found = xcalloc(1, sizeof *found);
        str_copy(found->kind, kind != NULL ? kind : "", sizeof found->kind);
        found->slot = slot;
        list_push_back(&m->levels, &found->link);
    }
    found->level = level;
    found->until_ms = for_ms != 0 ? clock_mono_ms() + for_ms : 0;
    loglevel_apply(m);
    log_info("level", "of=%s to=%s for_ms=%llu", of_whom(found), log_level_name(level),
             (unsigned long long)for_ms);
    return 0;
}

static void drop_all(struct master *m)
{
    struct loglevel_rule *r;
    list_foreach(r, &m->levels, struct loglevel_rule, link)
    {
        list_remove(&r->link);
        free(r);
    }
}

void loglevel_reset(struct master *m, const char *why)
{
    if (!list_empty(&m->levels)) /* while it may still be heard */
        log_info("level", "of=all to=%s why=%s", log_level_name((enum log_level)m->conf->log.level),
                 log_q(why));
    drop_all(m);
    loglevel_apply(m);
}

void loglevel_tell(struct slot *s)
{
    enum log_level level = level_for(s->master, s->kind->name, (int)s->index);
    logmux_set_level(s->log, level);
    if (level != (enum log_level)s->master->conf->log.level)
        send_level(s, level);
}

void loglevel_tick(struct master *m)
{
    uint64_t now = clock_mono_ms();
    bool ended = false;
    struct loglevel_rule *r;
    list_foreach(r, &m->levels, struct loglevel_rule, link)
    {
        if (r->until_ms == 0 || now < r->until_ms)
            continue;
        log_info("level", "of=%s to=%s why=%s", of_whom(r),
                 log_level_name((enum log_level)m->conf->log.level), log_q("its time is over"));
        list_remove(&r->link);
        free(r);
        ended = true;
    }
    if (ended)
        loglevel_apply(m);
}

void loglevel_free(struct master *m)
{
    drop_all(m);
}

json_t *loglevel_json(const struct master *m)
{
    uint64_t now = clock_mono_ms();
    json_t *list = json_array(), *o;
    const struct loglevel_rule *r;
    list_foreach(r, &m->levels, struct loglevel_rule, link)
    {
        json_array_append_new(list, o = json_object());
        json_object_set_new(o, "kind", r->kind[0] != '\0' ? json_string(r->kind) : json_null());
        json_object_set_new(o, "slot", r->slot != LOGLEVEL_ALL ? json_integer(r->slot) : json_null());
        json_object_set_new(o, "level", json_string(log_level_name(r->level)));
        if (r->until_ms != 0)
            json_object_set_new(o, "left_ms",
                                json_integer(r->until_ms > now ? (json_int_t)(r->until_ms - now) : 0));
    }
    return list;
}

bool loglevel_save(const struct master *m, size_t n, struct loglevel_rule *out)
{
    const struct loglevel_rule *r;
    list_foreach(r, &m->levels, const struct loglevel_rule, link)
    {
        if (n-- > 0)
            continue;
        *out = *r;
        return true;
    }
    return false;
}

void loglevel_restore(struct master *m, const struct loglevel_rule *rule)
{
    struct loglevel_rule *r = xcalloc(1, sizeof *r);
    *r = *rule;
    list_push_back(&m->levels, &r->link);
}

static json_t *refuse(const char *text)
{
    return json_pack("{s:b,s:i,s:s}", "ok", 0, "code", EXIT_CODE_USAGE, "error", text);
}

/* NULL, or why not. */
static const char *change(struct master *m, const json_t *request, const char *name)
{
    const json_t *slot = json_object_get(request, "slot"), *of = json_object_get(request, "kind");
    json_int_t for_ms = json_integer_value(json_object_get(request, "for_ms")), n = json_integer_value(slot);
    const char *kind = json_string_value(of);
    enum log_level level;
    if (log_level_parse(name, &level) < 0)
        return "a level is one of crit, error, warn, info, debug, or file";
    if (of != NULL && (kind == NULL || (strcmp(kind, "master") != 0 && kind_find(kind) == NULL)))
        return "there is no kind of process with that name";
    if (slot != NULL && (kind == NULL || !json_is_integer(slot) || n < 0 || n > INT_MAX))
        return "a slot is a number of a kind's processes";
    if (for_ms < 0 ||
        loglevel_set(m, level, kind, slot != NULL ? (int)n : LOGLEVEL_ALL, (uint64_t)for_ms) < 0)
        return "so many levels at a time are not possible";
    return NULL;
}

json_t *loglevel_answer(struct master *m, const json_t *request)
{
    const char *name = json_string_value(json_object_get(request, "level")), *why = NULL;
    if (name != NULL && strcmp(name, "file") == 0)
        loglevel_reset(m, "asked for");
    else if (name != NULL)
        why = change(m, request, name);
    return why != NULL
               ? refuse(why)
               : json_pack("{s:b,s:s,s:o}", "ok", 1, "log_level",
                           log_level_name((enum log_level)m->conf->log.level), "levels", loglevel_json(m));
}
