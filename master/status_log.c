/* status_log - what status says about the log: the last errors, warnings by event, levels. */
#include "common/base/clock.h"
#include "common/base/log.h"
#include "master/logerrors.h"
#include "master/loglevel.h"
#include "master/logsink.h"
#include "master/state.h"
#include "master/status.h"

static json_t *integer(uint64_t n)
{
    return json_integer((json_int_t)n);
}

struct list_at {
    json_t *list;
    uint64_t now;
};

static void add_error(const struct logerrors_line *line, void *arg)
{
    const struct list_at *at = arg;
    json_t *o = json_object();
    json_object_set_new(o, "ms_ago", integer(at->now - line->mono_ms));
    json_object_set_new(o, "kind", json_string(line->kind));
    json_object_set_new(o, "slot", integer(line->slot));
    json_object_set_new(o, "level", json_string(log_level_name(line->level)));
    json_object_set_new(o, "event", json_string(line->event));
    json_object_set_new(o, "text", json_string(line->text));
    json_array_append_new(at->list, o);
}

static void add_warning(const char *event, uint64_t n, uint64_t last_ms, void *arg)
{
    const struct list_at *at = arg;
    json_t *o = json_object();
    json_object_set_new(o, "event", json_string(event));
    json_object_set_new(o, "count", integer(n));
    json_object_set_new(o, "last_ms_ago", integer(at->now - last_ms));
    json_array_append_new(at->list, o);
}

void status_add_log(const struct master *m, json_t *o)
{
    uint64_t now = clock_mono_ms();
    struct list_at errors = {json_array(), now}, warnings = {json_array(), now};
    json_t *log = json_object();
    logerrors_each(logsink_errors(m->sink), add_error, &errors);
    logerrors_each_warning(logsink_errors(m->sink), add_warning, &warnings);
    json_object_set_new(o, "errors", errors.list);
    json_object_set_new(o, "warnings", warnings.list);
    json_object_set_new(log, "level", json_string(log_level_name((enum log_level)m->conf->log.level)));
    json_object_set_new(log, "output", json_string(m->conf->log.output));
    json_object_set_new(log, "dropped_lines", integer(logsink_dropped(m->sink)));
    json_object_set_new(log, "levels", loglevel_json(m));
    json_object_set_new(o, "log", log);
}
