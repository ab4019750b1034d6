/* redis_server - a redis-server of a test's own: on a unix socket in a folder of its own, gone at the end. */
#ifndef DRAY_TESTS_UNIT_REDIS_SERVER_H
#define DRAY_TESTS_UNIT_REDIS_SERVER_H

#include <ev.h>
#include <fcntl.h>
#include <ftw.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct server {
    pid_t pid;
    char dir[64];
    char path[96];
    char url[128];
    redisContext *c; /* a blocking connection for looking at what was done */
};

static inline int server_remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

/* Starts (or starts again) in s->dir; args: further options, NULL-terminated. */
static inline void server_run(struct server *s, const char *const *args)
{
    const char *argv[32] = {"redis-server", "--port", "0", "--unixsocket", s->path, "--dir",
                            s->dir,         "--save", "",  "--daemonize",  "no",    "--loglevel",
                            "warning"};
    size_t n = 13;
    while (args != NULL && *args != NULL && n < 31)
        argv[n++] = *args++;
    pid_t parent = getpid();
    s->pid = fork();
    if (s->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int null = open("/dev/null", O_RDWR);
        dup2(null, 1);
        if (getppid() == parent)
            execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    if (s->pid < 0)
        abort();
    for (int i = 0; i < 1000; i++) {
        s->c = redisConnectUnix(s->path);
        if (s->c != NULL && s->c->err == 0)
            break;
        if (s->c != NULL)
            redisFree(s->c);
        s->c = NULL;
        usleep(10000);
    }
    if (s->c == NULL) {
        fprintf(stderr, "redis-server did not start\n");
        abort();
    }
}

static inline void server_start(struct server *s, const char *const *args)
{
    memset(s, 0, sizeof *s);
    strcpy(s->dir, "/tmp/dray-redis-XXXXXX");
    if (mkdtemp(s->dir) == NULL)
        abort();
    snprintf(s->path, sizeof s->path, "%s/r.sock", s->dir);
    snprintf(s->url, sizeof s->url, "unix://%s", s->path);
    server_run(s, args);
}

static inline void server_kill(struct server *s)
{
    if (s->c != NULL)
        redisFree(s->c);
    s->c = NULL;
    if (s->pid > 0) {
        kill(s->pid, SIGKILL);
        waitpid(s->pid, NULL, 0);
    }
    s->pid = 0;
    unlink(s->path);
}

static inline void server_stop(struct server *s)
{
    server_kill(s);
    nftw(s->dir, server_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* The reply as text in a rotating static buffer: integers and strings as they are, "(nil)", arrays joined by commas. */
static inline void server_render(const redisReply *r, char *dst, size_t size)
{
    if (r == NULL)
        snprintf(dst, size, "(lost)");
    else if (r->type == REDIS_REPLY_INTEGER)
        snprintf(dst, size, "%lld", r->integer);
    else if (r->type == REDIS_REPLY_NIL)
        snprintf(dst, size, "(nil)");
    else if (r->type != REDIS_REPLY_ARRAY)
        snprintf(dst, size, "%s", r->str);
    else {
        dst[0] = '\0';
        for (size_t i = 0, n = 0; i < r->elements && n + 1 < size; i++) {
            if (i > 0)
                dst[n++] = ',';
            server_render(r->element[i], dst + n, size - n);
            n += strlen(dst + n);
        }
    }
}

static inline const char *server_ask(struct server *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static inline const char *server_ask(struct server *s, const char *fmt, ...)
{
    static char texts[8][8192];
    static unsigned turn;
    char *text = texts[turn++ % 8];
    va_list ap;
    va_start(ap, fmt);
    redisReply *r = redisvCommand(s->c, fmt, ap);
    va_end(ap);
    server_render(r, text, sizeof texts[0]);
    if (r != NULL)
        freeReplyObject(r);
    return text;
}

/* Runs the loop until *done, at most 20 s. */
static inline void on_loop_deadline(struct ev_loop *loop, ev_timer *w, int events)
{
    (void)events;
    *(bool *)w->data = true;
    ev_break(loop, EVBREAK_ONE);
}

static inline bool loop_until(struct ev_loop *loop, const bool *done)
{
    bool late = false;
    ev_timer deadline;
    ev_timer_init(&deadline, on_loop_deadline, 20.0, 0.0);
    deadline.data = &late;
    ev_timer_start(loop, &deadline);
    while (!*done && !late)
        ev_run(loop, EVRUN_ONCE);
    ev_timer_stop(loop, &deadline);
    return *done;
}

static inline void loop_for(struct ev_loop *loop, double seconds)
{
    bool late = false;
    ev_timer deadline;
    ev_timer_init(&deadline, on_loop_deadline, seconds, 0.0);
    deadline.data = &late;
    ev_timer_start(loop, &deadline);
    while (!late)
        ev_run(loop, EVRUN_ONCE);
    ev_timer_stop(loop, &deadline);
}

#endif
