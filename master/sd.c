/* sd - see sd.h. */
#include "master/sd.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/str.h"
#include "master/health.h"
#include "master/slot.h"
#include "master/state.h"

#define EXTEND_SLACK_MS 2000

/* Every part of the protocol goes to one of these addresses: 0, or -1. */
static int address(struct sockaddr_un *sa, socklen_t *len)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t n = path != NULL ? strlen(path) : 0;
    if (n < 2 || (path[0] != '/' && path[0] != '@') || n >= sizeof sa->sun_path)
        return -1;
    *sa = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(sa->sun_path, path, n);
    if (path[0] == '@')
        sa->sun_path[0] = '\0';
    *len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    return 0;
}

void sd_notify_text(const char *fmt, ...)
{
    struct sockaddr_un sa;
    socklen_t sa_len;
    if (address(&sa, &sa_len) < 0)
        return;
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n <= 0)
        return;
    size_t len = (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, text, len, MSG_NOSIGNAL, (const struct sockaddr *)&sa, sa_len);
    fd_close(&fd);
}

/* ---- watchdog */

static void on_watchdog(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)w, (void)revents;
    sd_notify_text("WATCHDOG=1");
}

static uint64_t watchdog_us(void)
{
    const char *us = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    uint64_t n = 0, whose = 0;
    if (us == NULL || str_parse_u64(us, &n) != 0)
        return 0;
    if (pid != NULL && (str_parse_u64(pid, &whose) != 0 || whose != (uint64_t)getpid()))
        return 0;
    return n;
}

void sd_start(struct master *m)
{
    double seconds = (double)watchdog_us() / 2e6;
    ev_timer_init(&m->sd.watchdog, on_watchdog, 0, seconds);
    if (seconds > 0)
        ev_timer_start(m->loop, &m->sd.watchdog);
}

void sd_stop(struct master *m)
{
    ev_timer_stop(m->loop, &m->sd.watchdog);
}

/* ---- status, time */

void sd_status(struct master *m)
{
    char text[sizeof m->sd.status] = "";
    int n = snprintf(text, sizeof text, "%s:", health_verdict(m).state);
    for (int k = 0; k < KIND_COUNT; k++) {
        const struct slot *s;
        unsigned up = 0;
        list_foreach(s, &m->slots, struct slot, link) up +=
            kind_id(s->kind) == (enum kind_id)k && s->state == SLOT_UP;
        if (m->wanted[k] > 0 && n > 0 && (size_t)n < sizeof text)
            n += snprintf(text + n, sizeof text - (size_t)n, " %s %u/%u", kinds[k].name, up, m->wanted[k]);
    }
    if (strcmp(text, m->sd.status) == 0)
        return;
    memcpy(m->sd.status, text, sizeof text);
    sd_notify_text("STATUS=%s", text);
}

void sd_extend(const struct master *m, uint64_t ms)
{
    if (m->phase != MASTER_RUNNING)
        sd_notify_text("EXTEND_TIMEOUT_USEC=%llu", (unsigned long long)(ms + EXTEND_SLACK_MS) * 1000);
}
