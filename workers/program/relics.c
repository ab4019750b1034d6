/* relics - see relics.h. */
#include "workers/program/relics.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/str.h"

#define ENVIRON_MAX (1 << 20)

/* --- one process, as /proc tells --- */

struct process {
    char name[32], state;
    pid_t parent, group, session;
    unsigned long long started; /* ticks since boot: with the pid, a process' identity */
};

static bool look_at(pid_t pid, struct process *p)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    fd_close(&fd);
    if (n <= 0)
        return false;
    text[n] = '\0';
    const char *open_at = strchr(text, '('), *close_at = strrchr(text, ')');
    if (open_at == NULL || close_at == NULL || close_at < open_at)
        return false;
    snprintf(p->name, sizeof p->name, "%.*s", (int)(close_at - open_at - 1), open_at + 1);
    return sscanf(close_at + 1,
                  " %c %d %d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &p->state,
                  &p->parent, &p->group, &p->session, &p->started) == 5;
}

static bool lives(pid_t pid, unsigned long long started, struct process *p)
{
    return pid > 0 && look_at(pid, p) && p->started == started && p->state != 'Z' && p->state != 'X';
}

/* Calls fn for each process there is; ends when it returns true, and returns that. */
static bool any_process(bool (*fn)(pid_t pid, const struct process *p, void *arg), void *arg)
{
    DIR *dir = opendir("/proc");
    bool found = false;
    for (struct dirent *e; dir != NULL && !found && (e = readdir(dir)) != NULL;) {
        struct process p;
        uint64_t pid;
        if (isdigit((unsigned char)e->d_name[0]) && str_parse_u64(e->d_name, &pid) == 0 &&
            look_at((pid_t)pid, &p) && p.state != 'Z' && p.state != 'X')
            found = fn((pid_t)pid, &p, arg);
    }
    if (dir != NULL)
        closedir(dir);
    return found;
}

/* --- our own children --- */

bool relics_remain(void)
{
    for (;;) {
        siginfo_t info = {0};
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) != 0) {
            if (errno == EINTR)
                continue;
            return false; /* ECHILD */
        }
        if (info.si_pid == 0)
            return true;
    }
}

static bool signal_child(pid_t pid, const struct process *p, void *arg)
{
    if (p->parent == getpid())
        (void)kill(pid, *(const int *)arg);
    return false;
}

void relics_signal(int signo)
{
    (void)any_process(signal_child, &signo);
}

/* --- the note --- */

int relics_note(const char *path, pid_t program)
{
    struct process p = {.started = 0}, k = {.started = 0};
    char text[128];
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -1;
    (void)look_at(program, &p);
    (void)look_at(getpid(), &k);
    int n =
        snprintf(text, sizeof text, "%d %llu %d %llu\n", (int)program, p.started, (int)getpid(), k.started);
    int r = fd_write_full(fd, text, (size_t)n);
    fd_close(&fd);
    return r;
}

void relics_unnote(const char *path)
{
    (void)unlink(path);
}

static bool is_of_group(pid_t pid, const struct process *p, void *arg)
{
    (void)pid;
    return p->group == *(const pid_t *)arg;
}

struct mark {
    char text[128];
    bool found;
};

/* Who lost its keeper came to the keeper's parent, which is ours too. */
static bool kill_marked(pid_t pid, const struct process *p, void *arg)
{
    char path[64], *env = NULL;
    size_t len = 0;
    struct mark *m = arg;
    if (p->parent != getppid() || pid == getpid())
        return false;
    snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    if (fd_read_file(path, ENVIRON_MAX, &env, &len) == 0 && memmem(env, len, m->text, strlen(m->text) + 1)) {
        m->found = true;
        (void)kill(pid, SIGKILL);
    }
    free(env);
    return false;
}

static bool kill_lost(const char *id)
{
    struct mark m = {.found = false};
    snprintf(m.text, sizeof m.text, "%s=%s", RELICS_MARK, id);
    (void)any_process(kill_marked, &m);
    return m.found;
}

static enum relics_state look_at_note(const char *path)
{
    char text[128];
    int program, keeper;
    unsigned long long program_started, keeper_started;
    struct process p;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    fd_close(&fd);
    if (n <= 0)
        return RELICS_NONE;
    text[n] = '\0';
    if (sscanf(text, "%d %llu %d %llu", &program, &program_started, &keeper, &keeper_started) != 4 ||
        program <= 1)
        return RELICS_NONE;
    if (keeper != getpid() && lives(keeper, keeper_started, &p))
        return RELICS_KEPT;
    pid_t group = program;
    bool leader = lives(program, program_started, &p);
    if (!leader && look_at(program, &p) && p.started != program_started)
        return RELICS_NONE; /* the number belongs to somebody else by now */
    if (!any_process(is_of_group, &group))
        return RELICS_NONE;
    (void)kill(-group, SIGKILL);
    return RELICS_LOST;
}

enum relics_state relics_look(const char *path, const char *id)
{
    enum relics_state state = look_at_note(path);
    return state == RELICS_NONE && kill_lost(id) ? RELICS_LOST : state;
}

/* --- the others --- */

static bool is_peer(pid_t pid, const struct process *p, void *arg)
{
    static const char *const kinds[] = {"ingest.", "delivery.", "console.", "spool.", "scheduler."};
    (void)pid;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (p->session == *(const pid_t *)arg && str_starts(p->name, kinds[i]))
            return true;
    return false;
}

bool relics_peers(void)
{
    pid_t session = getsid(0);
    return any_process(is_peer, &session);
}
