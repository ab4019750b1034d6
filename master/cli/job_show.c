/* job_show - see job_show.h. */
#include "master/cli/job_show.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/str.h"
#include "master/cli/queue_show.h"
#include "master/cli/table.h"

#define SHOWN_MAX 4096 /* bytes of a value that a terminal is given */

/* All places of one queue; appends what is found. EXIT_CODE_OK, or what is wrong was said. */
static int find_in(struct queue_look *l, const struct conf *c, const char *verb, const char *queue,
                   const char *id, json_t *found)
{
    struct queue_target t;
    int rc = 0;
    if (queue_target_find(c, queue, &t, l->error, sizeof l->error) < 0) {
        fprintf(stderr, "dray %s: %s\n", verb, l->error);
        return EXIT_CODE_USAGE;
    }
    for (size_t k = 0; k < t.n && rc == 0; k++) {
        l->prefix = t.places[k].prefix;
        json_t *job = queue_look_job(l, t.places[k].name, t.places[k].label, id);
        if (job == NULL)
            rc = queue_show_failed(l, verb, t.places[k].label);
        else if (!json_is_null(job))
            json_array_append(found, job);
        json_decref(job);
    }
    queue_target_fini(&t);
    return rc;
}

static const char *queue_of(const json_t *found, size_t i)
{
    return json_string_value(json_object_get(json_array_get(found, i), "queue"));
}

static int say_several(const char *verb, const char *id, const json_t *found)
{
    fprintf(stderr, "dray %s: several queues have a job %s:", verb, id);
    for (size_t i = 0; i < json_array_size(found); i++)
        fprintf(stderr, "%s %s", i > 0 ? "," : "", queue_of(found, i));
    fprintf(stderr, "; name one with --queue\n");
    return EXIT_CODE_USAGE;
}

/* ---- print */

/* An instant as Bull writes it, milliseconds since 1970. False: it is none. */
static bool put_time(const char *key, const char *text, char *dst, size_t size)
{
    static const char *const times[] = {"timestamp", "processedOn", "finishedOn", "retriedOn", "dueOn"};
    uint64_t ms;
    struct tm tm;
    char day[32];
    bool is_time = false;
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        is_time = is_time || strcmp(times[i], key) == 0;
    if (!is_time || str_parse_u64(text, &ms) != 0 || ms > 253402300799999)
        return false;
    time_t s = (time_t)(ms / 1000);
    if (gmtime_r(&s, &tm) == NULL)
        return false;
    (void)strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(dst, size, "%s.%03uZ (%s)", day, (unsigned)(ms % 1000), text);
    return true;
}

static void print_field(const char *key, const json_t *value)
{
    char *own = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    const char *text = own != NULL ? own : json_string_value(value);
    size_t len = strlen(text);
    char shown[SHOWN_MAX + 4], name[64];
    str_copy(name, key, sizeof name);
    table_make_printable(name);
    if (!put_time(key, text, shown, sizeof shown)) {
        size_t n = len <= SHOWN_MAX ? len : SHOWN_MAX;
        while (n < len && n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
            n--;
        memcpy(shown, text, n);
        shown[n] = '\0';
    }
    table_make_printable(shown);
    printf("%-14s %s", name, shown);
    if (len > SHOWN_MAX)
        printf(" ... (%zu bytes; all of it: -o json)", len);
    putchar('\n');
    free(own);
}

/* What a person looks for first, then what else there is; a stack trace line by line. */
static void print_job(const json_t *job)
{
    static const char *const first[] = {
        "id",          "queue",      "state",        "name",           "lock",      "dueOn", "failedReason",
        "returnvalue", "progress",   "attemptsMade", "stalledCounter", "timestamp", "delay", "priority",
        "processedOn", "finishedOn", "retriedOn",    "opts",           "data"};
    const char *key;
    json_t *value;
    size_t i;
    for (i = 0; i < sizeof first / sizeof *first; i++)
        if ((value = json_object_get(job, first[i])) != NULL)
            print_field(first[i], value);
    json_object_foreach((json_t *)(uintptr_t)job, key, value)
    {
        bool shown = false;
        for (i = 0; i < sizeof first / sizeof *first; i++)
            shown = shown || strcmp(first[i], key) == 0;
        json_t *line;
        if (shown)
            continue;
        if (strcmp(key, "stacktrace") != 0 || !json_is_array(value)) {
            print_field(key, value);
            continue;
        }
        json_array_foreach(value, i, line)
        {
            print_field(key, line);
        }
    }
}

int job_show_find(struct queue_look *l, const struct conf *c, const char *verb, const json_t *names,
                  const char *queue, const char *id, bool json)
{
    json_t *found = json_array(), *name;
    size_t i;
    int code = EXIT_CODE_OK;
    if (queue != NULL)
        code = find_in(l, c, verb, queue, id, found);
    json_array_foreach(names, i, name)
    {
        if (queue == NULL && code == EXIT_CODE_OK)
            code = find_in(l, c, verb, json_string_value(name), id, found);
    }
    if (code == EXIT_CODE_OK && json_array_size(found) == 0)
        code = EXIT_CODE_NOT_RUNNING;
    else if (code == EXIT_CODE_OK && json_array_size(found) > 1)
        code = say_several(verb, id, found);
    else if (code == EXIT_CODE_OK && json)
        queue_show_json(json_array_get(found, 0));
    else if (code == EXIT_CODE_OK)
        print_job(json_array_get(found, 0));
    json_decref(found);
    return code;
}
