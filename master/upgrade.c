/* upgrade - see upgrade.h. What happens before the exec; upgrade_adopt.c is what happens after it. */
#include "master/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/sig.h"
#include "common/base/str.h"
#include "common/base/version.h"
#include "master/control_sock.h"
#include "master/logmux.h"
#include "master/logsink.h"
#include "master/reconcile.h"
#include "master/reload.h"
#include "master/sd.h"
#include "master/signals.h"
#include "master/spawn.h"
#include "master/upgrade_adopt.h"
#include "master/upgrade_state.h"

#define PREFLIGHT_S 10
#define QUIET_TURNS                                                                                          \
    3 /* a signal that was caught is heard of in the next turn of the loop, and served in it */
#define ANSWER_MAX 4096
#define FLUSH_MS   30

/* ------------------------------------------------------------------ the program's file */

static bool find_in_path(const char *name, char *dst, size_t size)
{
    const char *path = getenv("PATH");
    for (const char *p = path != NULL ? path : "/usr/local/bin:/usr/bin:/bin"; *p != '\0';) {
        size_t n = strcspn(p, ":");
        int len = snprintf(dst, size, "%.*s/%s", (int)n, p, name);
        if (n > 0 && len > 0 && (size_t)len < size && dst[0] == '/' && access(dst, X_OK) == 0)
            return true;
        p += n + (p[n] == ':');
    }
    return false;
}

/* Links are not followed: the next release may stand behind the same one. */
static char *own_path(const char *name)
{
    char path[PATH_MAX], folder[PATH_MAX];
    bool found = false;
    if (strchr(name, '/') == NULL)
        found = find_in_path(name, path, sizeof path);
    else if (name[0] == '/')
        found = str_copy(path, name, sizeof path) < sizeof path;
    else if (getcwd(folder, sizeof folder) != NULL) {
        int n = snprintf(path, sizeof path, "%s/%s", folder, name);
        found = n > 0 && (size_t)n < sizeof path;
    }
    if (found && !str_starts(path, "/proc/") && access(path, X_OK) == 0)
        return xstrdup(path);
    static const char deleted[] = " (deleted)";
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    path[n > 0 ? n : 0] = '\0';
    size_t len = strlen(path), tail = sizeof deleted - 1;
    if (len > tail && strcmp(path + len - tail, deleted) == 0)
        path[len - tail] = '\0';
    return xstrdup(path);
}

static void on_late(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop;
    (void)revents;
    struct upgrade *u = w->data;
    u->late = true;
    (void)kill(u->pid, SIGKILL);
}

static void on_idle(struct ev_loop *loop, ev_idle *w, int revents)
{
    (void)loop;
    (void)w;
    (void)revents;
}

struct upgrade *upgrade_new(struct master *m)
{
    struct upgrade *u = xcalloc(1, sizeof *u);
    u->master = m;
    u->answer_fd = u->next_fd = -1;
    u->exe_fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);
    u->path = own_path(m->options->argv[0]);
    ev_timer_init(&u->deadline, on_late, PREFLIGHT_S, 0.);
    ev_idle_init(&u->idle, on_idle);
    u->deadline.data = u->idle.data = u;
    return u;
}

static void forget_try(struct upgrade *u)
{
    ev_timer_stop(u->master->loop, &u->deadline);
    ev_idle_stop(u->master->loop, &u->idle);
    fd_close(&u->answer_fd);
    fd_close(&u->next_fd);
    logmux_free(u->log);
    u->log = NULL;
    u->pid = 0;
    u->late = false;
}

void upgrade_free(struct upgrade *u)
{
    if (u == NULL)
        return;
    if (u->pid > 0)
        (void)kill(u->pid, SIGKILL);
    forget_try(u);
    fd_close(&u->exe_fd);
    free(u->path);
    free(u->binary);
    free(u);
}

/* ------------------------------------------------------------------ telling */

static void note_result(struct upgrade *u, const char *result, const char *label)
{
    (void)str_copy(u->result, result, sizeof u->result);
    metric_add(metrics_series(u->master->own, METRIC_UPGRADES, label, NULL), 1);
}

static void refused(struct upgrade *u, enum exitcode code, const char *reason)
{
    log_error("upgrade_refused", "binary=%s reason=%s remedy=%s",
              log_q(u->binary != NULL ? u->binary : u->path), log_q(reason),
              log_q("the running program goes on; mend what the reason names and try again"));
    u->phase = UPGRADE_IDLE;
    u->failed++;
    forget_try(u);
    note_result(u, reason, "refused");
    control_sock_upgraded(u->master->control_sock,
                          json_pack("{s:b,s:i,s:s}", "ok", 0, "code", (int)code, "error", reason));
}

const char *upgrade_phase_name(enum upgrade_phase p)
{
    static const char *const names[] = {"idle", "preflight", "exec", "roll"};
    return names[p];
}

json_t *upgrade_json(const struct master *m)
{
    const struct upgrade *u = m->upgrade;
    json_t *o = json_object();
    json_object_set_new(o, "count", json_integer(u->count));
    json_object_set_new(o, "failed", json_integer(u->failed));
    json_object_set_new(o, "phase", json_string(upgrade_phase_name(u->phase)));
    json_object_set_new(o, "pending", json_boolean(u->pending));
    json_object_set_new(o, "last_result", json_string(u->result));
    json_object_set_new(o, "from", json_string(u->from));
    json_object_set_new(o, "to", json_string(u->to));
    json_object_set_new(o, "took_ms", json_integer((json_int_t)u->took_ms));
    json_object_set_new(o, "path", json_string(u->path));
    return o;
}

/* ------------------------------------------------------------------ preflight */

static int state_file(struct master *m, struct upgrade_fds *fds)
{
    struct buf text;
    buf_init(&text, UPGRADE_STATE_MAX);
    int fd = memfd_create("dray-state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || upgrade_state_write(m, &text, fds) < 0 || fd_write_full(fd, text.data, text.len) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
        fd_close(&fd);
    buf_fini(&text);
    return fd;
}

static void begin(struct master *m, const char *binary)
{
    struct upgrade *u = m->upgrade;
    char text[UPGRADE_TEXT_MAX];
    u->pending = false;
    u->began_ms = clock_mono_ms();
    free(u->binary);
    u->binary = xstrdup(binary);
    (void)str_copy(u->from, version_text(), sizeof u->from);
    u->to[0] = '\0';
    log_info("upgrade_begin", "binary=%s from=%s", log_q(binary), u->from);
    int state = -1, log = -1;
    if ((u->next_fd = open(binary, O_PATH | O_CLOEXEC)) < 0) {
        snprintf(text, sizeof text, "%s: %s", binary, strerror(errno));
    } else if ((state = state_file(m, NULL)) < 0 ||
               spawn_preflight(m, u->next_fd, (const int[]){state, m->conf_fd}, &u->pid, &u->answer_fd,
                               &log) < 0) {
        snprintf(text, sizeof text, "the preflight could not be started: %s", strerror(errno));
    } else {
        u->phase = UPGRADE_PREFLIGHT;
        u->log = logmux_new(m, log, &(struct logsink_origin){.kind = "preflight", .pid = u->pid});
        ev_now_update(m->loop);
        ev_timer_set(&u->deadline, PREFLIGHT_S, 0.);
        ev_timer_start(m->loop, &u->deadline);
    }
    fd_close(&state);
    if (u->phase == UPGRADE_IDLE)
        refused(u, EXIT_CODE_NOPERM, text);
}

static bool may_begin(const struct master *m)
{
    return m->phase == MASTER_RUNNING && !reconcile_rolling(m) && !reload_is_under_way(m);
}

void upgrade_later(struct master *m)
{
    struct upgrade *u = m->upgrade;
    if (u->phase == UPGRADE_PREFLIGHT || u->phase == UPGRADE_QUIET || m->phase == MASTER_STOPPING)
        return; /* it is the same one; or there will be none */
    u->pending = true;
}

enum exitcode upgrade_now(struct master *m, const char *binary, char *text, size_t size)
{
    struct upgrade *u = m->upgrade;
    const char *wanted = binary != NULL ? binary : u->path;
    bool same = u->binary != NULL && strcmp(u->binary, wanted) == 0;
    if (wanted[0] != '/') {
        snprintf(text, size, "the path of the binary must be absolute");
        return EXIT_CODE_USAGE;
    }
    if (same && (u->phase == UPGRADE_PREFLIGHT || u->phase == UPGRADE_QUIET))
        return EXIT_CODE_OK;
    if (u->phase != UPGRADE_IDLE || !may_begin(m)) {
        snprintf(text, size,
                 "not now: it is starting, stopping or already replacing processes; try again later");
        return EXIT_CODE_TEMP;
    }
    begin(m, wanted);
    if (u->phase != UPGRADE_IDLE)
        return EXIT_CODE_OK;
    (void)str_copy(text, u->result, size);
    return EXIT_CODE_NOPERM;
}

/* What it said, as {"ok":true,...}; or why this is not enough. */
static json_t *read_answer(struct upgrade *u, int status, char *why, size_t size)
{
    char text[ANSWER_MAX];
    ssize_t n = recv(u->answer_fd, text, sizeof text, MSG_DONTWAIT);
    json_t *o = n > 0 ? json_loadb(text, (size_t)n, JSON_DISABLE_EOF_CHECK, NULL) : NULL;
    const char *error = json_string_value(json_object_get(o, "error"));
    if (u->late)
        snprintf(why, size, "the preflight gave no answer within %d s", PREFLIGHT_S);
    else if (error != NULL)
        snprintf(why, size, "%s", error);
    else if (WIFSIGNALED(status))
        snprintf(why, size, "the preflight died of %s", sig_name(WTERMSIG(status)));
    else if (WEXITSTATUS(status) != 0)
        snprintf(why, size, "the preflight ended with code %d (%s)%s", WEXITSTATUS(status),
                 exitcode_sentence(WEXITSTATUS(status)), o == NULL ? " and no answer: is this dray?" : "");
    else if (!json_is_true(json_object_get(o, "ok")) || !json_is_string(json_object_get(o, "version")))
        snprintf(why, size, "the preflight gave no answer: is this dray?");
    else
        return o;
    json_decref(o);
    return NULL;
}

bool upgrade_reaped(struct master *m, pid_t pid, int status)
{
    struct upgrade *u = m->upgrade;
    char why[UPGRADE_TEXT_MAX];
    if (u == NULL || u->pid == 0 || u->pid != pid)
        return false;
    u->pid = 0;
    ev_timer_stop(m->loop, &u->deadline);
    logmux_free(u->log); /* its last words come first */
    u->log = NULL;
    json_t *answer = read_answer(u, status, why, sizeof why);
    if (m->phase == MASTER_STOPPING) {
        refused(u, EXIT_CODE_TEMP, "it is stopping");
    } else if (answer == NULL) {
        refused(u, EXIT_CODE_CONFIG, why);
    } else {
        (void)str_copy(u->to, json_string_value(json_object_get(answer, "version")), sizeof u->to);
        log_info("upgrade_preflight", "binary=%s version=%s ms=%llu", log_q(u->binary), u->to,
                 (unsigned long long)(clock_mono_ms() - u->began_ms));
        u->phase = UPGRADE_QUIET;
        u->turns = QUIET_TURNS;
        signals_hold();
        ev_idle_start(m->loop, &u->idle);
    }
    json_decref(answer);
    return true;
}

/* ------------------------------------------------------------------ exec */

static char **environment(const char *variable)
{
    size_t n = 0;
    while (environ[n] != NULL)
        n++;
    char **all = xcalloc(n + 2, sizeof *all);
    memcpy(all, environ, n * sizeof *all);
    all[n] = (char *)(uintptr_t)variable;
    return all;
}

/* Returns only when it could not be done. */
static int execute(struct master *m)
{
    struct upgrade *u = m->upgrade;
    struct upgrade_fds fds = {.n = 0};
    char variable[96];
    u->count++; /* of the state: the successor's count */
    int state = state_file(m, &fds);
    u->count--;
    if (state < 0)
        return -1;
    fds.fds[fds.n < UPGRADE_FDS_MAX ? fds.n++ : 0] = state;
    fds.fds[fds.n < UPGRADE_FDS_MAX ? fds.n++ : 0] = u->exe_fd;
    snprintf(variable, sizeof variable, UPGRADE_VARIABLE "=%d:%d:%d:", (int)getpid(), state, u->exe_fd);
    char **env = environment(variable);
    for (size_t i = 0; i < fds.n; i++)
        (void)fd_set_cloexec(fds.fds[i], false);
    (void)execveat(u->next_fd, "", m->options->argv, env, AT_EMPTY_PATH);
    int error = errno;
    fd_set_cloexec_from(STDERR_FILENO + 1);
    free(env);
    fd_close(&state);
    errno = error;
    return -1;
}

static void go(struct master *m)
{
    struct upgrade *u = m->upgrade;
    char why[UPGRADE_TEXT_MAX];
    if (!may_begin(m)) { /* something came in between: from the beginning, as soon as it may be */
        signals_release();
        forget_try(u);
        u->phase = UPGRADE_IDLE;
        if (m->phase == MASTER_STOPPING)
            refused(u, EXIT_CODE_TEMP, "it is stopping");
        else
            u->pending = true;
        return;
    }
    log_info("upgrade_exec", "binary=%s version=%s", log_q(u->binary), u->to);
    sd_notify_text("RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=upgrade to %s",
                   (unsigned long long)clock_mono_us(), u->to);
    (void)logsink_flush(m->sink, FLUSH_MS); /* what is not written then goes along */
    (void)execute(m);
    snprintf(why, sizeof why, "%s could not be executed: %s", u->binary, strerror(errno));
    sd_notify_text("READY=1");
    signals_release();
    refused(u, EXIT_CODE_OSERR, why);
}

/* ------------------------------------------------------------------ afterwards */

void upgrade_adopted(struct master *m, const char *from, const char *back)
{
    struct upgrade *u = m->upgrade;
    (void)str_copy(u->from, from, sizeof u->from);
    if (back != NULL) {
        log_error("upgrade_failed", "to=%s reason=%s remedy=%s", u->to, log_q(back),
                  log_q("the program of before goes on, and nothing was lost; the new one is at fault"));
        u->count -= u->count > 0;
        u->failed++;
        u->from[0] = '\0';
        (void)str_copy(u->from, version_text(), sizeof u->from);
        note_result(u, back, "failed");
        sd_notify_text("READY=1");
        control_sock_upgraded(m->control_sock, json_pack("{s:b,s:i,s:s}", "ok", 0, "code", EXIT_CODE_FAILURE,
                                                         "error", u->result));
        return;
    }
    (void)str_copy(u->to, version_text(), sizeof u->to);
    u->adopted_ms = clock_mono_ms();
    u->generation = m->last_generation;
    u->phase = UPGRADE_ROLL;
    log_info("upgrade_adopted", "from=%s to=%s ms=%llu", u->from, u->to,
             (unsigned long long)(u->adopted_ms - u->began_ms));
    reconcile_roll_over(m);
}

static unsigned count_old(const struct master *m)
{
    const struct slot *s;
    unsigned n = 0;
    list_foreach(s, &m->slots, const struct slot, link) n += slot_present(s) && s->state != SLOT_DRAIN &&
                                                             s->generation <= m->upgrade->generation &&
                                                             (!s->kind->exclusive || s->hand_over);
    return n;
}

static void finish(struct master *m)
{
    struct upgrade *u = m->upgrade;
    unsigned old = count_old(m);
    char text[UPGRADE_TEXT_MAX] = "ok";
    u->phase = UPGRADE_IDLE;
    u->took_ms = clock_mono_ms() - u->began_ms;
    if (old > 0) {
        snprintf(text, sizeof text,
                 "%u processes still run the old program: see event=replace_failed in the log", old);
        log_error("upgrade_partial", "to=%s processes=%u remedy=%s", u->to, old,
                  log_q("see the lines above; dray restart tries again"));
    }
    log_info("upgraded", "from=%s to=%s ms=%llu", u->from, u->to, (unsigned long long)u->took_ms);
    note_result(u, text, "done");
    sd_notify_text("READY=1");
    json_t *reply =
        json_pack("{s:b,s:s,s:s,s:I}", "ok", 1, "from", u->from, "to", u->to, "ms", (json_int_t)u->took_ms);
    if (old > 0)
        json_object_set_new(reply, "warnings", json_pack("[s]", text));
    control_sock_upgraded(m->control_sock, reply);
}

void upgrade_look(struct master *m)
{
    struct upgrade *u = m->upgrade;
    switch (u->phase) {
    case UPGRADE_IDLE:
        if (u->pending && may_begin(m))
            begin(m, u->path);
        break;
    case UPGRADE_PREFLIGHT:
        if (m->phase == MASTER_STOPPING && u->pid > 0)
            (void)kill(u->pid, SIGKILL);
        break;
    case UPGRADE_QUIET:
        if (--u->turns == 0)
            go(m);
        break;
    case UPGRADE_ROLL:
        if (!reconcile_rolling(m))
            finish(m);
        break;
    }
}
