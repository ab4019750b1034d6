/* quarantine_act - see quarantine_act.h. What is to leave is read first; then one record after the other goes its way, and
 * is taken out right behind: whatever ends this program, a record is still there or has arrived. */
#include "master/cli/quarantine_act.h"

#include <ev.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/base/version.h"
#include "common/http/client.h"
#include "master/cli/quarantine_act.h"

#define TIMEOUT_MS 30000
#define HOLD_MAX   (256u << 20) /* bytes of records read at a time */

struct held { /* a record that is to leave */
    char *place, *source, *reason, *queue, *id;
    void *bytes;
    size_t len;
    uint64_t wall_ms;
};

struct work {
    const struct quarantine_act *a;
    struct held *records;
    size_t n, size, bytes;
    bool texts;             /* their bytes too */
    size_t left_for_later;  /* did not fit */
    long done, again, kept; /* again: set aside anew by the intake */
    struct ev_loop *loop;
    struct http_client *http;
    bool answered;
    struct http_answer answer;
    char body[256];
};

static void hold(const struct quarantine_record *r, void *arg)
{
    struct work *w = arg;
    if (w->texts && w->n > 0 && w->bytes + r->len > HOLD_MAX) {
        w->left_for_later++;
        return;
    }
    if (w->n == w->size) {
        w->size = w->size > 0 ? 2 * w->size : 64;
        w->records = xrealloc(w->records, w->size * sizeof *w->records);
    }
    struct held *h = &w->records[w->n++];
    *h = (struct held){.place = xstrdup(r->place),
                       .source = xstrdup(r->source),
                       .reason = xstrdup(r->reason),
                       .queue = xstrdup(r->queue),
                       .id = xstrdup(r->id),
                       .wall_ms = r->wall_ms};
    if (!w->texts)
        return;
    h->bytes = xmalloc(r->len + 1);
    memcpy(h->bytes, r->bytes, r->len);
    h->len = r->len;
    w->bytes += r->len;
}

static void work_fini(struct work *w)
{
    for (size_t i = 0; i < w->n; i++) {
        struct held *h = &w->records[i];
        free(h->place);
        free(h->source);
        free(h->reason);
        free(h->queue);
        free(h->id);
        free(h->bytes);
    }
    free(w->records);
    http_client_free(w->http);
    if (w->loop != NULL)
        ev_loop_destroy(w->loop);
}

/* What is meant, and is it meant so? CLI_GO_ON, or the exit status. */
static int begin(struct work *w, const char *verb, const char *would)
{
    const struct quarantine_act *a = w->a;
    char line[16];
    if (quarantine_list_each(a->root, a->want, hold, w) < 0) {
        fprintf(stderr, "dray quarantine: %s: %s\n", a->root, strerror(errno));
        return errno == EACCES ? EXIT_CODE_NOPERM : EXIT_CODE_IOERR;
    }
    size_t n = w->n + w->left_for_later;
    if (a->dry_run && a->json)
        printf("{\"act\":\"%s\",\"dry_run\":true,\"records\":%zu}\n", verb, n);
    else if (a->dry_run && !a->quiet)
        printf("would %s %zu record%s\n", would, n, n == 1 ? "" : "s");
    if (a->dry_run)
        return EXIT_CODE_OK;
    if (n == 0 || a->yes || (a->want->n_places > 0 && strcmp(verb, "rm") != 0))
        return CLI_GO_ON;
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
        fprintf(stderr,
                "dray quarantine %s: would %s %zu record%s; say --yes to do it, --dry-run to only count\n",
                verb, would, n, n == 1 ? "" : "s");
        return EXIT_CODE_FAILURE;
    }
    fprintf(stderr, "%s %zu record%s? [y/N] ", would, n, n == 1 ? "" : "s");
    bool yes = fgets(line, sizeof line, stdin) != NULL && (line[0] == 'y' || line[0] == 'Y');
    return yes ? CLI_GO_ON : EXIT_CODE_FAILURE;
}

static int finish(struct work *w, const char *verb, const char *did, int code)
{
    const struct quarantine_act *a = w->a;
    if (a->json)
        printf("{\"act\":\"%s\",\"dry_run\":false,\"records\":%ld,\"set_aside_again\":%ld,\"kept\":%ld}\n",
               verb, w->done, w->again, w->kept);
    else if (!a->quiet) {
        printf("%s %ld record%s", did, w->done, w->done == 1 ? "" : "s");
        if (w->again > 0)
            printf(", %ld set aside again by the intake", w->again);
        if (w->kept > 0)
            printf(", %ld stay", w->kept);
        putchar('\n');
    }
    if (w->left_for_later > 0 && !a->quiet)
        fprintf(stderr, "dray quarantine: %zu more records wait; say it again\n", w->left_for_later);
    work_fini(w);
    return code;
}

static int take_out(struct work *w, const struct held *h)
{
    const char *place = h->place;
    if (quarantine_remove(w->a->root, &place, 1) >= 0)
        return EXIT_CODE_OK;
    fprintf(stderr, "dray quarantine: %s: %s\n", h->place, strerror(errno));
    return errno == EACCES ? EXIT_CODE_NOPERM : EXIT_CODE_IOERR;
}

int quarantine_act_rm(const struct quarantine_act *a)
{
    struct work w = {.a = a};
    int code = begin(&w, "rm", "remove for good");
    if (code != CLI_GO_ON) {
        work_fini(&w);
        return code;
    }
    const char **places = xcalloc(w.n + 1, sizeof *places);
    for (size_t i = 0; i < w.n; i++)
        places[i] = w.records[i].place;
    w.done = quarantine_remove(a->root, places, w.n);
    int error = errno;
    free(places);
    code = EXIT_CODE_OK;
    if (w.done < 0) {
        fprintf(stderr, "dray quarantine rm: %s: %s\n", a->root, strerror(error));
        code = error == EACCES ? EXIT_CODE_NOPERM : EXIT_CODE_IOERR;
        w.done = 0;
    }
    return finish(&w, "rm", "removed", code);
}

/* ---- into a file */

int quarantine_act_save(const struct quarantine_act *a)
{
    struct work w = {.a = a, .texts = true};
    int code = begin(&w, "release", "save");
    if (code != CLI_GO_ON) {
        work_fini(&w);
        return code;
    }
    code = EXIT_CODE_OK;
    int fd = open(a->to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    FILE *out = fd >= 0 ? fdopen(fd, "a") : NULL;
    for (size_t i = 0; i < w.n && out != NULL; i++) {
        const struct held *h = &w.records[i];
        struct quarantine_record r = {h->wall_ms, h->reason, h->source, h->queue,
                                      h->id,      h->bytes,  h->len,    h->place};
        json_t *j = quarantine_list_json(&r, true);
        if (j == NULL || json_dumpf(j, out, JSON_COMPACT) < 0)
            code = EXIT_CODE_IOERR;
        putc('\n', out);
        json_decref(j);
    }
    if (out == NULL || fflush(out) != 0 || ferror(out) || fsync(fd) < 0)
        code = EXIT_CODE_IOERR;
    if (code != EXIT_CODE_OK)
        fprintf(stderr, "dray quarantine release: %s: %s\n", a->to, strerror(errno));
    if (out != NULL)
        fclose(out);
    const char **places = xcalloc(w.n + 1, sizeof *places);
    for (size_t i = 0; i < w.n; i++)
        places[i] = w.records[i].place;
    if (code == EXIT_CODE_OK && (w.done = quarantine_remove(a->root, places, w.n)) < 0) {
        fprintf(stderr, "dray quarantine release: %s: %s\n", a->root, strerror(errno));
        code = EXIT_CODE_IOERR;
        w.done = 0;
    }
    free(places);
    return finish(&w, "release", "saved", code);
}

/* ---- into the intake */

/* The first listener that speaks plain HTTP over TCP; NULL: there is none. malloc'ed. */
static char *own_url(const struct conf *c)
{
    for (size_t i = 0; i < c->n_listeners; i++) {
        const char *address = c->listeners[i].address, *port = strrchr(address, ':');
        if (str_starts(address, "unix:") || c->listeners[i].tls_cert[0] != '\0' || port == NULL)
            continue;
        bool any = port == address || str_starts(address, "0.0.0.0:") || str_starts(address, "*:");
        if (str_starts(address, "[::]:"))
            return xasprintf("http://[::1]%s/v1/batch", port);
        return any ? xasprintf("http://127.0.0.1%s/v1/batch", port)
                   : xasprintf("http://%s/v1/batch", address);
    }
    return NULL;
}

static void on_answer(struct http_call *call, const struct http_answer *a, void *arg)
{
    (void)call;
    struct work *w = arg;
    w->answered = true;
    w->answer = *a;
    size_t n = a->body_len < sizeof w->body - 1 ? a->body_len : sizeof w->body - 1;
    if (n > 0)
        memcpy(w->body, a->body, n);
    w->body[n] = '\0';
    for (size_t i = 0; i < n; i++)
        if (w->body[i] < ' ' || w->body[i] == 0x7f)
            w->body[i] = ' ';
    ev_break(w->loop, EVBREAK_ALL);
}

static void post(struct work *w, const struct held *h, const char *url, const char *key)
{
    bool batch = strcmp(h->reason, "poison") == 0 || strcmp(h->reason, "refused") == 0;
    struct http_piece pieces[3] = {{"{\"batch\":[", 10}, {h->bytes, h->len}, {"]}", 2}};
    char *user = xasprintf("%s:", key);
    size_t size = 4 * (strlen(user) / 3 + 2);
    char *code = xmalloc(size);
    str_base64_encode(user, strlen(user), code, size);
    char *auth = xasprintf("Authorization: Basic %s", code);
    const char *headers[] = {auth, "Content-Type: application/json",
                             "User-Agent: dray-quarantine/" DRAY_VERSION, NULL};
    struct http_call_options o = {
        .url = url, .headers = headers, .pieces = batch ? pieces + 1 : pieces, .n_pieces = batch ? 1 : 3};
    w->answered = false;
    if (http_client_post(w->http, &o, on_answer, w) != NULL)
        ev_run(w->loop, 0);
    free(auth);
    free(code);
    free(user);
}

static void say(const struct work *w, const struct held *h, const char *what, const char *why)
{
    if (!w->a->quiet)
        fprintf(stderr, "dray quarantine release: %s (%s, %s): %s%s%s\n", h->place, h->source, h->reason,
                what, *why != '\0' ? ": " : "", why);
}

/* One record; CLI_GO_ON: the next. */
static int release_one(struct work *w, const struct held *h, const char *url)
{
    const struct conf_source *s = conf_find_source(w->a->conf, h->source);
    if (s == NULL || s->write_key == NULL || s->write_key[0] == '\0') {
        say(w, h, "stays", "its source is not configured, or has no write key");
        w->kept++;
        return CLI_GO_ON;
    }
    post(w, h, url, s->write_key);
    const struct http_answer *a = &w->answer;
    if (!w->answered || a->error != HTTP_ERROR_NONE || a->status >= 500 || a->status == 429 ||
        a->status == 401 || a->status == 404) {
        say(w, h, "stays, and so do those behind it", w->answered && a->status > 0 ? w->body : a->text);
        return a->error == HTTP_ERROR_CONNECT ? EXIT_CODE_UNREACHABLE : EXIT_CODE_TEMP;
    }
    if (a->status < 200 || a->status > 299) {
        say(w, h, "is refused and stays", w->body);
        w->kept++;
        return CLI_GO_ON;
    }
    if (strstr(w->body, "quarantined") != NULL) { /* the intake has set it aside once more, as a new record */
        say(w, h, "is set aside again", w->body);
        w->again++;
    }
    w->done++;
    int code = take_out(w, h);
    return code == EXIT_CODE_OK ? CLI_GO_ON : code;
}

int quarantine_act_release(const struct quarantine_act *a)
{
    struct work w = {.a = a, .texts = true};
    char *own = a->url == NULL ? own_url(a->conf) : NULL;
    const char *url = a->url != NULL ? a->url : own;
    if (url == NULL) {
        fputs(
            "dray quarantine release: no listener speaks plain HTTP over TCP; say where with --url, or save with "
            "--to\n",
            stderr);
        return EXIT_CODE_USAGE;
    }
    int code = begin(&w, "release", "release");
    if (code != CLI_GO_ON) {
        work_fini(&w);
        free(own);
        return code;
    }
    struct http_client_options o = {
        .connect_timeout_ms = 5000, .timeout_ms = TIMEOUT_MS, .response_max = 1024, .connections_max = 1};
    w.loop = ev_loop_new(EVFLAG_AUTO);
    w.http = w.loop != NULL ? http_client_new(w.loop, &o) : NULL;
    code = w.http != NULL ? CLI_GO_ON : EXIT_CODE_OSERR;
    for (size_t i = 0; i < w.n && code == CLI_GO_ON; i++) {
        code = release_one(&w, &w.records[i], url);
        if (code != CLI_GO_ON)
            w.kept += (long)(w.n - i);
    }
    if (code == CLI_GO_ON)
        code = w.kept > 0 ? EXIT_CODE_FAILURE : EXIT_CODE_OK;
    free(own);
    return finish(&w, "release", "released", code);
}
