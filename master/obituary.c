/* obituary - see obituary.h. */
#include "master/obituary.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/exitcode.h"
#include "common/base/fd.h"
#include "common/base/hook.h"
#include "common/base/log.h"
#include "common/base/sig.h"
#include "common/base/str.h"
#include "master/slot.h"
#include "master/state.h"

#define DOING_MAX 200

/* ------------------------------------------------------------------ the OOM killer's count */

bool obituary_parse_oom(const char *text, uint64_t *out)
{
    return cgroup_number(text, "oom_kill", out);
}

static bool read_file(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t len = 0;
    ssize_t n;
    while (len + 1 < size && (n = read(fd, text + len, size - 1 - len)) > 0)
        len += (size_t)n;
    fd_close(&fd);
    text[len] = '\0';
    return true;
}

/* The count where the child is; that of the whole machine where its group has none. */
static bool read_oom(const struct obituary *o, char file[32], uint64_t *out)
{
    char text[CGROUP_FILE_MAX], path[CGROUP_PATH_MAX];
    const char *own = o->group.v2 ? "memory.events" : "memory.oom_control";
    if (o->has_group && cgroup_read(&o->group, own, text, sizeof text) == 0 &&
        obituary_parse_oom(text, out)) {
        str_copy(file, own, 32);
        return true;
    }
    snprintf(path, sizeof path, "%s/proc/vmstat", hook_root(""));
    str_copy(file, "/proc/vmstat", 32);
    return read_file(path, text, sizeof text) && obituary_parse_oom(text, out);
}

static void mark_oom(struct obituary *o)
{
    struct oom_mark fresh = {0};
    fresh.known = read_oom(o, fresh.file, &fresh.now);
    fresh.before = o->oom.known && strcmp(o->oom.file, fresh.file) == 0 ? o->oom.now : fresh.now;
    o->oom = fresh;
}

static uint32_t hash(const char *text)
{
    uint32_t h = 2166136261u;
    for (; *text != '\0'; text++)
        h = (h ^ (unsigned char)*text) * 16777619u;
    return h;
}

/* Where it is; it may have been moved. pid 0: where the master is. */
static void find_group(struct obituary *o, pid_t pid)
{
    char path[64], text[CGROUP_FILE_MAX];
    snprintf(path, sizeof path, "/proc/%d/cgroup", (int)(pid != 0 ? pid : getpid()));
    if (!read_file(path, text, sizeof text) || (o->group_hash != 0 && hash(text) == o->group_hash))
        return;
    o->group_hash = hash(text);
    o->has_group = cgroup_find(hook_root(""), hook_root("")[0] == '\0' ? pid : 0, "memory", &o->group) == 0;
    o->oom.known = false;
}

static bool same_count(const struct obituary *a, const struct obituary *b)
{
    return strcmp(a->oom.file, b->oom.file) == 0 &&
           (a->oom.file[0] == '/' || strcmp(a->group.dir, b->group.dir) == 0);
}

/* Times it has struck since the look before the last, for which no other death was explained by it. */
static uint64_t oom_rise(struct slot *s)
{
    struct obituary *o = &s->obituary;
    char file[32];
    uint64_t now;
    struct slot *other;
    if (!o->oom.known || !read_oom(o, file, &now) || strcmp(file, o->oom.file) != 0 || now <= o->oom.before)
        return 0;
    list_foreach(other, &s->master->slots, struct slot, link)
    {
        struct oom_mark *m = &other->obituary.oom;
        if (other == s || !m->known || !same_count(&other->obituary, o))
            continue;
        m->before++;
        m->now = m->now < m->before ? m->before : m->now;
    }
    return now - o->oom.before;
}

/* ------------------------------------------------------------------ while it lives */

static struct obituary own; /* what a child begins with: it is born where the master is */

void obituary_begin(struct slot *s)
{
    struct obituary *o = &s->obituary;
    find_group(&own, 0);
    *o = own;
    lastwords_begin(&o->words);
    mark_oom(o);
}

/* Asked once it is READY: before, it is still about to drop its rights. */
static void look_at_core(struct slot *s)
{
    struct obituary *o = &s->obituary;
    struct rlimit limit;
    struct stat st;
    char path[32], text[2048];
    uint64_t uid = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)s->pid);
    if (prlimit(s->pid, RLIMIT_CORE, NULL, &limit) < 0 || !read_file(path, text, sizeof text))
        return;
    const char *line = strstr(text, "\nUid:\t");
    unsigned long long n = 0;
    if (line != NULL && sscanf(line, "\nUid: %llu", &n) == 1)
        uid = n;
    /* The folder of a process that may not be dumped is root's, whoever it runs as. */
    o->dumpable = uid == 0 || (stat(path, &st) == 0 && st.st_uid == uid);
    o->core_limit = limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
    o->core_known = true;
}

void obituary_tick(struct master *m)
{
    struct slot *s;
    list_foreach(s, &m->slots, struct slot, link)
    {
        if (s->pid == 0)
            continue;
        find_group(&s->obituary, s->pid);
        mark_oom(&s->obituary);
        if (!s->obituary.core_known && s->state == SLOT_UP)
            look_at_core(s);
    }
}

/* ------------------------------------------------------------------ what it used */

struct obituary_used obituary_used(void)
{
    static uint64_t cpu_ms, max_rss_bytes; /* of all so far */
    struct obituary_used used = {0};
    struct rusage all;
    if (getrusage(RUSAGE_CHILDREN, &all) < 0)
        return used;
    uint64_t cpu = (uint64_t)(all.ru_utime.tv_sec + all.ru_stime.tv_sec) * 1000 +
                   (uint64_t)(all.ru_utime.tv_usec + all.ru_stime.tv_usec) / 1000;
    uint64_t rss = (uint64_t)all.ru_maxrss * 1024;
    used.cpu_ms = cpu - cpu_ms;
    used.max_rss_bytes =
        rss > max_rss_bytes ? rss : 0; /* the largest of all: known only when this one is it */
    cpu_ms = cpu;
    max_rss_bytes = rss;
    return used;
}

/* ------------------------------------------------------------------ the line */

const char *obituary_no_core(int signo, bool core_on, bool known, uint64_t limit, bool dumpable,
                             const char *pattern)
{
    static const int dumping[] = {SIGQUIT, SIGILL,  SIGTRAP, SIGABRT, SIGBUS,
                                  SIGFPE,  SIGSEGV, SIGSYS,  SIGXCPU, SIGXFSZ};
    bool dumps = false;
    for (size_t i = 0; i < sizeof dumping / sizeof *dumping; i++)
        dumps = dumps || dumping[i] == signo;
    if (!dumps)
        return NULL;
    if (!core_on)
        return "master.core is off";
    if (known && limit == 0)
        return "RLIMIT_CORE is 0";
    if (known && !dumpable)
        return "it had dropped its rights and was not dumpable";
    if (pattern[0] == '\0' || pattern[0] == '\n')
        return "kernel.core_pattern is empty";
    if (pattern[0] == '|')
        return "kernel.core_pattern names a program, which did not take it";
    return "the folder of kernel.core_pattern was not writable, or it was too big";
}

char *obituary_exit_text(int status, char *dst, size_t size)
{
    if (WIFSIGNALED(status))
        snprintf(dst, size, "%s", sig_name(WTERMSIG(status)));
    else
        snprintf(dst, size, "%d %s", WEXITSTATUS(status), exitcode_name(WEXITSTATUS(status)));
    return dst;
}

/* crash, kill, oom, hang, boot, exit ..., or "" for an end that was asked for. */
static const char *reason_of(const struct slot *s, int status, uint64_t oom)
{
    bool asked = s->state == SLOT_DRAIN;
    if (s->kill_reason != NULL)
        return s->kill_reason;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && !s->signalled)
        return oom > 0 ? "oom" : "kill";
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGKILL ? "kill" : asked && WTERMSIG(status) == SIGTERM ? "" : "crash";
    enum exit_class class = exitcode_class(WEXITSTATUS(status));
    if ((class == EXIT_CLASS_OK && asked) || class == EXIT_CLASS_IMMEDIATE)
        return "";
    return s->ready_ms == 0 ? "boot" : "exit";
}

static void name_sender(const struct slot *s, int signo, uint64_t oom, char *by, size_t size)
{
    const struct lastwords *w = &s->obituary.words;
    char path[40], name[32] = "";
    if (s->signalled) {
        str_copy(by, "the supervisor", size);
    } else if (oom > 0) {
        str_copy(by, "kernel OOM killer", size);
    } else if (w->crashed && w->sender > 0 && w->sender != (long)s->pid) {
        snprintf(path, sizeof path, "/proc/%ld/comm", w->sender);
        if (read_file(path, name, sizeof name))
            name[strcspn(name, "\n")] = '\0';
        snprintf(by, size, name[0] != '\0' ? "pid %ld (%s)" : "pid %ld", w->sender, name);
    } else {
        str_copy(by, signo == SIGKILL || signo == SIGTERM ? "somebody else" : "itself", size);
    }
}

static void sentence_of_kill(const struct slot *s, uint64_t oom, char *text, size_t size)
{
    const struct oom_mark *m = &s->obituary.oom;
    if (s->signalled)
        snprintf(text, size, "killed by signal 9, by us: %s",
                 s->kill_reason != NULL ? s->kill_reason : "it did not end");
    else if (oom > 0)
        snprintf(text, size, "killed by signal 9, not by us: kernel OOM killer (%s%s oom_kill rose by %llu)",
                 m->file[0] == '/' ? "" : "cgroup ", m->file, (unsigned long long)oom);
    else
        snprintf(text, size, "killed by signal 9, not by us: somebody sent it%s",
                 m->known ? "" : ", or the kernel was out of memory (nothing counts that here)");
}

static void put_signal(struct buf *b, const struct slot *s, int status, uint64_t oom)
{
    int signo = WTERMSIG(status);
    char by[64], text[200], pattern[256] = "";
    name_sender(s, signo, oom, by, sizeof by);
    if (signo == SIGKILL)
        sentence_of_kill(s, oom, text, sizeof text);
    else
        snprintf(text, sizeof text, "killed by signal %d%s%s", signo,
                 s->obituary.words.address[0] != '\0' ? " at " : "", s->obituary.words.address);
    (void)buf_printf(b, "signal=%s by=%s msg=%s core=%s", sig_name(signo), log_q(by), log_q(text),
                     WCOREDUMP(status) ? "yes" : "no");
    if (WCOREDUMP(status))
        return;
    (void)read_file("/proc/sys/kernel/core_pattern", pattern, sizeof pattern);
    const struct obituary *o = &s->obituary;
    const char *why = obituary_no_core(signo, s->master->conf->master.core != 0, o->core_known, o->core_limit,
                                       o->dumpable, pattern);
    if (why != NULL)
        (void)buf_printf(b, " core_why=%s", log_q(why));
}

/* As it said itself last: in its crash report, in its DRAINED, in a heartbeat. */
static long long in_hand(const struct slot *s)
{
    if (s->obituary.words.held_in_all >= 0)
        return s->obituary.words.held_in_all;
    return s->death.reason[0] == '\0' ? (long long)s->left : (long long)s->beat.in_hand;
}

static void put_life(struct buf *b, const struct slot *s, const struct obituary_used *used)
{
    const struct lastwords *w = &s->obituary.words;
    uint64_t peak = used->max_rss_bytes > s->usage.peak_bytes ? used->max_rss_bytes : s->usage.peak_bytes;
    (void)buf_printf(b, " ran_ms=%llu in_hand=%lld jobs=%llu cpu_ms=%llu max_rss=%llu",
                     (unsigned long long)(s->death.at_ms - s->spawned_ms), in_hand(s),
                     (unsigned long long)s->beat.jobs, (unsigned long long)used->cpu_ms,
                     (unsigned long long)peak);
    if (w->held[0] != '\0')
        (void)buf_printf(b, " held=%s", log_q(w->held));
    if (s->note[0] != '\0')
        (void)buf_printf(b, " doing=%s", log_qn(s->note, strnlen(s->note, DOING_MAX)));
    if (w->said[0] != '\0')
        (void)buf_printf(b, " said=%s", log_q(w->said));
}

static void count(struct slot *s)
{
    struct metrics *own_metrics = s->master->own;
    const char *reason = s->death.reason;
    metric_add(metrics_series(own_metrics, METRIC_WORKER_RESTARTS, s->kind->name, reason, NULL), 1);
    metric_add(metrics_series(own_metrics, METRIC_DEATHS, s->kind->name, reason, NULL), 1);
    s->deaths.ring[s->deaths.n++ % DEATHS_KEPT] = s->death;
}

void obituary_write(struct slot *s, const struct obituary_used *used)
{
    int status = s->death.status;
    bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && !s->signalled;
    uint64_t oom = killed ? oom_rise(s) : 0;
    struct buf b;
    const char *reason = s->death.reason = reason_of(s, status, oom);
    buf_init(&b, LOG_LINE_MAX);
    if (WIFSIGNALED(status))
        put_signal(&b, s, status, oom);
    else
        (void)buf_printf(&b, "code=%d name=%s msg=%s", WEXITSTATUS(status),
                         exitcode_name(WEXITSTATUS(status)), log_q(exitcode_sentence(WEXITSTATUS(status))));
    put_life(&b, s, used);
    log_event(reason[0] == '\0' ? LOGL_INFO : LOGL_WARN, reason[0] == '\0' ? "child_ended" : "child_died",
              "child_kind=%s child_slot=%u child_gen=%u child_pid=%d reason=%s %s", s->kind->name, s->index,
              s->generation, (int)s->pid, reason[0] == '\0' ? "asked" : reason, buf_cstr(&b));
    buf_fini(&b);
    if (reason[0] != '\0')
        count(s);
}

void obituary_inherit(struct slot *heir, const struct slot *dead)
{
    heir->deaths = dead->deaths;
}
