/* job_add - dray job add QUEUE: one job with all options that a Bull client can give. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/str.h"
#include "common/queue/admin.h"
#include "master/cli/job_cmd.h"
#include "master/cli/queue_place.h"

#define DATA_MAX (16u << 20)

struct added {
    bool done;
    enum queue_status status;
    char id[256], why[256];
};

static void on_added(enum queue_status s, const char *id, const char *why, void *arg)
{
    struct added *a = arg;
    a->done = true;
    a->status = s;
    str_copy(a->id, id != NULL ? id : "", sizeof a->id);
    str_copy(a->why, why != NULL ? why : queue_status_name(s), sizeof a->why);
}

/* true, false, a number, {age,count} as Bull writes it: "true", "100", "age=3600", "count=100,age=3600". */
static bool read_keep(const char *text, struct queue_keep *k)
{
    char copy[64], *save = NULL;
    *k = (struct queue_keep){.form = QUEUE_KEEP_NONE};
    if (strcmp(text, "true") == 0)
        return true;
    k->form = QUEUE_KEEP_ALL;
    if (strcmp(text, "false") == 0)
        return true;
    k->form = QUEUE_KEEP_COUNT;
    if (str_parse_u64(text, &k->count) == 0)
        return true;
    *k = (struct queue_keep){.form = QUEUE_KEEP_RULE, .count = UINT64_MAX, .age_s = UINT64_MAX};
    if (strlen(text) >= sizeof copy)
        return false;
    str_copy(copy, text, sizeof copy);
    for (char *part = strtok_r(copy, ",", &save); part != NULL; part = strtok_r(NULL, ",", &save)) {
        if (str_starts(part, "count=") ? str_parse_u64(part + 6, &k->count) != 0
                                       : !str_starts(part, "age=") || str_parse_u64(part + 4, &k->age_s) != 0)
            return false;
    }
    return true;
}

/* "fixed:1s", "exponential:500ms". */
static bool read_backoff(const char *text, struct queue_add_options *o)
{
    const char *colon = strchr(text, ':');
    o->backoff = str_starts(text, "fixed:")         ? QUEUE_BACKOFF_FIXED
                 : str_starts(text, "exponential:") ? QUEUE_BACKOFF_EXPONENTIAL
                                                    : QUEUE_BACKOFF_NONE;
    return o->backoff != QUEUE_BACKOFF_NONE && str_parse_duration(colon + 1, false, &o->backoff_ms) == 0;
}

/* The text itself, @FILE, or - for standard input. */
static int read_data(const char *text, struct buf *data)
{
    bool is_file = text[0] == '@' && text[1] != '\0';
    FILE *from = is_file ? fopen(text + 1, "re") : strcmp(text, "-") == 0 ? stdin : NULL;
    char part[65536];
    size_t n;
    if (from == NULL && is_file) {
        fprintf(stderr, "dray job add: %s: %s\n", text + 1, strerror(errno));
        return EXIT_CODE_IOERR;
    }
    if (from == NULL)
        return buf_puts(data, text) == 0 ? EXIT_CODE_OK : EXIT_CODE_NOMEM;
    int code = EXIT_CODE_OK;
    while (code == EXIT_CODE_OK && (n = fread(part, 1, sizeof part, from)) > 0)
        if (buf_append(data, part, n) != 0) {
            fprintf(stderr, "dray job add: the data is larger than %u bytes\n", DATA_MAX);
            code = EXIT_CODE_FAILURE;
        }
    if (code == EXIT_CODE_OK && ferror(from)) {
        fprintf(stderr, "dray job add: reading the data failed\n");
        code = EXIT_CODE_IOERR;
    }
    if (is_file)
        fclose(from);
    return code;
}

static int tell(const struct job_add_options *o, const char *queue, const struct added *a)
{
    bool there = a->status == QUEUE_DUPLICATE || a->status == QUEUE_DEBOUNCED;
    if (a->status != QUEUE_OK && !there) {
        fprintf(stderr, "dray job add %s: %s\n", queue, a->why);
        return a->status == QUEUE_AWAY || a->status == QUEUE_UNKNOWN ? EXIT_CODE_UNREACHABLE
               : a->status == QUEUE_INVALID                          ? EXIT_CODE_USAGE
                                                                     : EXIT_CODE_FAILURE;
    }
    if (o->json) {
        json_t *j = json_pack("{s:s, s:s, s:s}", "queue", queue, "id", a->id, "status",
                              a->status == QUEUE_OK ? "added" : queue_status_name(a->status));
        json_dumpf(j, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(j);
    } else {
        printf("%s\n", a->id);
        if (there)
            fprintf(stderr, "dray job add %s: %s: that job is there already\n", queue,
                    queue_status_name(a->status));
    }
    return EXIT_CODE_OK;
}

static int send(struct queue_session *s, const char *queue, const struct job_add_options *o,
                const struct buf *data)
{
    struct queue_target t;
    struct added a = {0};
    char why[256];
    if (queue_target_find(s->conf, queue, &t, why, sizeof why) < 0) {
        fprintf(stderr, "dray job: %s\n", why);
        return EXIT_CODE_USAGE;
    }
    if (t.n > 1) {
        fprintf(stderr, "dray job add %s: it has %zu partitions; name one (%s#0), or send events instead\n",
                queue, t.n, queue);
        queue_target_fini(&t);
        return EXIT_CODE_USAGE;
    }
    int known = o->create ? EXIT_CODE_OK : queue_session_know(s, &t);
    if (known != EXIT_CODE_OK) {
        if (known == EXIT_CODE_NOT_RUNNING)
            fprintf(stderr, "dray job add %s: --create makes that queue\n", queue);
        queue_target_fini(&t);
        return known;
    }
    struct queue *q = queue_session_queue(s, &t.places[0]);
    queue_add_job(q, &o->add, data->data, data->len, on_added, &a);
    int code = queue_session_wait(s, &a.done, 0) ? tell(o, queue, &a) : EXIT_CODE_UNREACHABLE;
    queue_free(q);
    queue_target_fini(&t);
    return code;
}

int job_add_run(const struct cli *cli, const char *queue, struct job_add_options *o)
{
    struct queue_session s;
    struct buf data;
    const char *why;
    o->json = cli->json;
    if (o->backoff != NULL && !read_backoff(o->backoff, &o->add))
        return cli_usage("job", "--backoff %s: expected fixed:DURATION or exponential:DURATION", o->backoff);
    if (o->remove_on_complete != NULL && !read_keep(o->remove_on_complete, &o->add.remove_on_complete))
        return cli_usage("job", "--remove-on-complete %s: expected true, false, a number, or count=N,age=S",
                         o->remove_on_complete);
    if (o->remove_on_fail != NULL && !read_keep(o->remove_on_fail, &o->add.remove_on_fail))
        return cli_usage("job", "--remove-on-fail %s: expected true, false, a number, or count=N,age=S",
                         o->remove_on_fail);
    if (o->is_repeated && job_repeat_read(o) != EXIT_CODE_OK)
        return EXIT_CODE_USAGE;
    buf_init(&data, DATA_MAX);
    int code = read_data(o->data != NULL ? o->data : "{}", &data);
    if (code == EXIT_CODE_OK && (why = queue_add_check(&o->add, data.data, data.len)) != NULL)
        code = cli_usage("job", "add: %s", why);
    if (code == EXIT_CODE_OK && (code = queue_session_open(cli, "job", &s)) == EXIT_CODE_OK) {
        code = send(&s, queue, o, &data);
        queue_session_close(&s);
    }
    buf_fini(&data);
    return code;
}
