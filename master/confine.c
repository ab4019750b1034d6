/* confine - see confine.h. */
#include "master/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "master/confine_dirs.h"
#include "master/state.h"

/* The master's turns must be short also where its children use all processors. */
#define NICE_MASTER (-10)
#define OOM_PATH    "/proc/self/oom_score_adj"
#define OOM_MASTER  (-500)
#define OOM_WORKER  100
#define OOM_MAX     1000
#define CHILD_UMASK 0077

struct confine {
    struct user users[KIND_COUNT];
    bool changes[KIND_COUNT];
    int oom_base, nice; /* the master's own before it was changed */
};

/* The kinds' own keys. A program has limits of its own, and its data may be Redis'. */
static const struct {
    ptrdiff_t user, memory; /* in struct conf_master; memory -1: none */
} keys[KIND_COUNT] = {
    [KIND_PROGRAM] = {offsetof(struct conf_master, users_program), -1},
    [KIND_DELIVERY] = {offsetof(struct conf_master, users_delivery),
                       offsetof(struct conf_master, memory_delivery_bytes)},
    [KIND_SPOOL] = {offsetof(struct conf_master, users_spool),
                    offsetof(struct conf_master, memory_spool_bytes)},
    [KIND_CONSOLE] = {offsetof(struct conf_master, users_console),
                      offsetof(struct conf_master, memory_console_bytes)},
    [KIND_INGEST] = {offsetof(struct conf_master, users_ingest),
                     offsetof(struct conf_master, memory_ingest_bytes)},
};

static const char *user_text(const struct conf_master *c, int kind)
{
    const char *own = *(char *const *)((const char *)c + keys[kind].user);
    return own[0] != '\0' ? own : c->user;
}

/* ---- out of memory: whom the kernel takes first */

static int read_oom(void)
{
    char text[16] = "";
    int fd = open(OOM_PATH, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    fd_close(&fd);
    return n > 0 ? (int)strtol(text, NULL, 10) : 0;
}

/* Async-signal-safe. Raising is everybody's right; lowering is refused to most, and that is no fault. */
static void write_oom(int score)
{
    char text[8];
    size_t at = sizeof text;
    unsigned n = (unsigned)abs(score);
    do
        text[--at] = (char)('0' + n % 10);
    while ((n /= 10) > 0);
    if (score < 0)
        text[--at] = '-';
    int fd = open(OOM_PATH, O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, text + at, sizeof text - at) < 0)
        errno = 0;
    if (fd >= 0)
        close(fd);
}

/* ---- start */

static int find_user(struct master *m, int kind, enum exitcode *code)
{
    struct confine *c = m->confine;
    struct user *u = &c->users[kind];
    const char *text = user_text(&m->conf->master, kind);
    char why[160];
    if (text[0] == '\0')
        return 0;
    if (user_find(text, u, why, sizeof why) < 0) {
        log_crit("user_unknown", "child_kind=%s user=%s msg=%s", kinds[kind].name, log_q(text), log_q(why));
        *code = EXIT_CODE_CONFIG;
        return -1;
    }
    if (geteuid() != 0 && u->uid == geteuid() && u->gid == getegid())
        return 0;
    if (geteuid() != 0) {
        log_crit("user_not_ours", "child_kind=%s user=%s remedy=%s", kinds[kind].name, log_q(text),
                 log_q("start dray as root, or as that user, or leave master.user and master.users empty"));
        *code = EXIT_CODE_NOPERM;
        return -1;
    }
    c->changes[kind] = true;
    return 0;
}

int confine_start(struct master *m, enum exitcode *code)
{
    struct confine *c = m->confine = xcalloc(1, sizeof *c);
    bool any = false;
    for (int k = 0; k < KIND_COUNT; k++) {
        if (find_user(m, k, code) < 0)
            return -1;
        any = any || c->changes[k];
    }
    c->oom_base = read_oom();
    if (c->oom_base == 0)
        write_oom(OOM_MASTER);
    errno = 0;
    c->nice = getpriority(PRIO_PROCESS, 0);
    if (errno == 0 && (c->nice == 0 || c->nice == NICE_MASTER)) { /* that: before an upgrade */
        c->nice = 0;
        (void)setpriority(PRIO_PROCESS, 0, NICE_MASTER); /* refused to most, and that is no fault */
    }
    if (!any)
        return 0;
    const struct confine_owners owners = {
        .ingest = c->changes[KIND_INGEST] ? &c->users[KIND_INGEST] : NULL,
        .spool = c->changes[KIND_SPOOL] ? &c->users[KIND_SPOOL] : NULL,
        .delivery = c->changes[KIND_DELIVERY] ? &c->users[KIND_DELIVERY] : NULL,
        .program = c->changes[KIND_PROGRAM] ? &c->users[KIND_PROGRAM] : NULL};
    if (confine_dirs_give(m->conf, &owners) < 0) {
        *code = EXIT_CODE_NOPERM;
        return -1;
    }
    for (int k = 0; k < KIND_COUNT; k++)
        if (c->changes[k])
            log_info("runs_as", "child_kind=%s uid=%u gid=%u groups=%zu", kinds[k].name,
                     (unsigned)c->users[k].uid, (unsigned)c->users[k].gid, c->users[k].n_groups);
    return 0;
}

void confine_stop(struct master *m)
{
    if (m->confine != NULL && m->confine->changes[KIND_PROGRAM])
        confine_dirs_clean(m->conf);
    free(m->confine);
    m->confine = NULL;
}

/* ---- a child */

/* What is for the master alone: the service manager's descriptors and sockets; overrides, which may be secrets and stand
 * in the configuration that the child is given. */
static bool is_masters_own(const char *variable)
{
    static const char *const names[] = {
        "NOTIFY_SOCKET=", "WATCHDOG_USEC=",  "WATCHDOG_PID=",         "LISTEN_PID=",
        "LISTEN_FDS=",    "LISTEN_FDNAMES=", "CREDENTIALS_DIRECTORY="};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_starts(variable, names[i]))
            return true;
    size_t name = strcspn(variable, "=");
    return str_starts(variable, "DRAY_") && memmem(variable, name, "__", 2) != NULL;
}

static char **environment_of_child(void)
{
    size_t n = 0, kept = 0;
    while (environ[n] != NULL)
        n++;
    char **all = xcalloc(n + 1, sizeof *all);
    for (size_t i = 0; i < n; i++)
        if (!is_masters_own(environ[i]))
            all[kept++] = environ[i];
    return all;
}

/* The keeper of a program that has a user of its own changes to it when it executes the program. */
static bool keeps_rights(const struct slot *s)
{
    const struct conf *c = s->master->conf;
    size_t first = c->redis.mode == CONF_REDIS_MANAGED ? 1 : 0;
    if (kind_id(s->kind) != KIND_PROGRAM || s->index < first || s->index - first >= c->n_programs)
        return false;
    const struct conf_program *p = &c->programs[s->index - first];
    return p->user[0] != '\0' || p->group[0] != '\0';
}

void confine_plan(const struct slot *s, struct confine_plan *p)
{
    const struct confine *c = s->master->confine;
    const struct conf_master *conf = &s->master->conf->master;
    enum kind_id k = kind_id(s->kind);
    bool is_program = k == KIND_PROGRAM;
    uint64_t memory = keys[k].memory >= 0 ? *(const uint64_t *)((const char *)conf + keys[k].memory) : 0;
    int base = c->oom_base > 0 ? c->oom_base : 0, oom = base + (is_program ? 0 : OOM_WORKER);
    *p = (struct confine_plan){.changes_user = c->changes[k] && !keeps_rights(s),
                               .user = c->users[k],
                               .memory = memory > 0 ? (rlim_t)memory : RLIM_INFINITY,
                               .keeps_capabilities = is_program,
                               .core = conf->core == CONF_CORE_ON,
                               .oom_score_adj = oom < OOM_MAX ? oom : OOM_MAX,
                               .nice = c->nice,
                               .umask = is_program ? 0 : CHILD_UMASK,
                               .environment = environment_of_child()};
#ifdef __SANITIZE_ADDRESS__
    p->memory = RLIM_INFINITY; /* its shadow memory counts */
#endif
}

void confine_plan_end(struct confine_plan *p)
{
    free(p->environment);
    p->environment = NULL;
}

static void limit(__rlimit_resource_t what, rlim_t most)
{
    struct rlimit l;
    if (getrlimit(what, &l) < 0)
        return;
    if (most < l.rlim_max)
        l.rlim_max = most;
    l.rlim_cur = l.rlim_max;
    (void)setrlimit(what, &l); /* never above what there was */
}

const char *confine_apply(const struct confine_plan *p)
{
    limit(RLIMIT_CORE, p->core ? RLIM_INFINITY : 0);
    if (p->memory != RLIM_INFINITY)
        limit(RLIMIT_DATA, p->memory);
    if (p->umask != 0)
        (void)umask(p->umask);
    write_oom(p->oom_score_adj);
    (void)setpriority(PRIO_PROCESS, 0, p->nice);
    if (!p->keeps_capabilities)
        (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    const char *failed = p->changes_user ? user_become(&p->user) : NULL;
    if (failed == NULL && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 && errno != EINVAL)
        failed = "no_new_privs";
    return failed;
}
