/* listen - see listen.h. At the start, and only then, the master may wait (for an address in use). */
#include "master/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/addr.h"
#include "common/base/clock.h"
#include "common/base/fd.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#define LISTEN_BACKLOG  1024
#define LISTEN_MAX      64
#define LISTEN_WAIT_MS  2000
#define SD_LISTEN_FIRST 3
#define CONSOLE_MODE    0660

struct socket {
    int fd;
    enum kind_listen use;
    char *text; /* as configured */
    unsigned mode;
    char *unix_path; /* to be removed at the end, or NULL */
};

struct listen_set {
    struct socket sockets[LISTEN_MAX];
    size_t n;
    int inherited[LISTEN_MAX]; /* of LISTEN_FDS, -1 once used */
    size_t n_inherited;
};

static void take_inherited(struct listen_set *l)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
    uint64_t n, p;
    if (pid == NULL || fds == NULL || str_parse_u64(pid, &p) < 0 || (pid_t)p != getpid() ||
        str_parse_u64(fds, &n) < 0)
        return;
    for (uint64_t i = 0; i < n && i < LISTEN_MAX; i++) {
        int fd = SD_LISTEN_FIRST + (int)i;
        if (fd_set_cloexec(fd, true) < 0 || fd_set_nonblock(fd) < 0)
            continue;
        l->inherited[l->n_inherited++] = fd;
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
}

/* A connection to such a socket would wait for ever. */
static void close_unused(struct listen_set *l)
{
    for (size_t i = 0; i < l->n_inherited; i++) {
        struct sockaddr_storage sa;
        socklen_t len = sizeof sa;
        char text[160] = "?";
        if (l->inherited[i] < 0)
            continue;
        if (getsockname(l->inherited[i], (struct sockaddr *)&sa, &len) == 0)
            addr_format((struct sockaddr *)&sa, len, text, sizeof text);
        log_warn("listen_fd_unused", "fd=%d address=%s remedy=%s", l->inherited[i], log_q(text),
                 log_q("LISTEN_FDS: an address must be one of ingest.listeners or console.address"));
        fd_close(&l->inherited[i]);
    }
}

static int find_inherited(struct listen_set *l, const struct addr *want)
{
    char a[160], b[160];
    addr_format((const struct sockaddr *)&want->sa, want->len, a, sizeof a);
    for (size_t i = 0; i < l->n_inherited; i++) {
        struct sockaddr_storage sa;
        socklen_t len = sizeof sa;
        if (l->inherited[i] < 0 || getsockname(l->inherited[i], (struct sockaddr *)&sa, &len) < 0)
            continue;
        addr_format((struct sockaddr *)&sa, len, b, sizeof b);
        if (strcmp(a, b) == 0) {
            int fd = l->inherited[i];
            l->inherited[i] = -1;
            return fd;
        }
    }
    return -1;
}

static const char *remedy(int error)
{
    switch (error) {
    case EADDRINUSE:
        return "another program listens there: stop it or choose another address";
    case EACCES:
        return "not permitted: use a port above 1023, or give CAP_NET_BIND_SERVICE";
    case EADDRNOTAVAIL:
        return "no interface of this host has that address";
    default:
        return "correct the address";
    }
}

static int bind_wait(const struct addr *a, unsigned mode)
{
    uint64_t until = clock_mono_ms() + LISTEN_WAIT_MS;
    for (;;) {
        int fd = addr_listen(a, LISTEN_BACKLOG, mode);
        if (fd >= 0 || errno != EADDRINUSE || clock_mono_ms() >= until)
            return fd;
        (void)poll(NULL, 0, 50);
        errno = EADDRINUSE;
    }
}

/* One that the configuration asks for. */
struct wish {
    enum kind_listen use;
    const char *key, *text;
    unsigned mode;
};

static size_t wishes_of(const struct conf *c, struct wish *w, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n_listeners && n < max; i++) {
        const char *mode = c->listeners[i].mode;
        w[n++] = (struct wish){KIND_LISTEN_INGEST, "ingest.listeners", c->listeners[i].address,
                               mode != NULL ? (unsigned)strtoul(mode, NULL, 8) : CONSOLE_MODE};
    }
    if (c->master.processes_console > 0 && n < max)
        w[n++] = (struct wish){KIND_LISTEN_CONSOLE, "console.address", c->console.address, CONSOLE_MODE};
    return n;
}

static bool too_many(const struct conf *c)
{
    return c->n_listeners > LISTEN_MAX - 1; /* and the console's */
}

static void add(struct listen_set *l, const struct wish *w, int fd, bool own_file)
{
    struct socket *s = &l->sockets[l->n++];
    *s = (struct socket){.fd = fd, .use = w->use, .text = xstrdup(w->text), .mode = w->mode};
    if (own_file && str_starts(w->text, "unix:")) /* else the file is systemd's */
        s->unix_path = xstrdup(w->text + strlen("unix:"));
}

static int open_one(struct listen_set *l, const struct wish *w)
{
    struct addr a;
    int fd = -1;
    bool is_own = false;
    if (addr_parse(w->text, &a) == 0 && (fd = find_inherited(l, &a)) < 0) {
        fd = bind_wait(&a, w->mode);
        is_own = true;
    }
    if (fd < 0) {
        log_crit("listen_failed", "key=%s address=%s err=%s remedy=%s", w->key, log_q(w->text),
                 log_q(strerror(errno)), log_q(remedy(errno)));
        return -1;
    }
    add(l, w, fd, is_own);
    return 0;
}

struct listen_set *listen_open(const struct conf *c)
{
    struct listen_set *l = xcalloc(1, sizeof *l);
    struct wish wishes[LISTEN_MAX];
    size_t n = wishes_of(c, wishes, LISTEN_MAX);
    int bad = 0;
    take_inherited(l);
    if (too_many(c)) {
        log_crit("listen_failed", "key=ingest.listeners max=%d", LISTEN_MAX - 1);
        bad = -1;
    }
    for (size_t i = 0; i < n; i++)
        bad |= open_one(l, &wishes[i]);
    close_unused(l);
    if (bad == 0)
        return l;
    listen_close(l, NULL);
    return NULL;
}

static bool has_file(const struct listen_set *l, const char *path)
{
    for (size_t i = 0; l != NULL && i < l->n; i++)
        if (l->sockets[i].unix_path != NULL && strcmp(l->sockets[i].unix_path, path) == 0)
            return true;
    return false;
}

void listen_close(struct listen_set *l, const struct listen_set *kept)
{
    if (l == NULL)
        return;
    for (size_t i = 0; i < l->n; i++) {
        struct socket *s = &l->sockets[i];
        fd_close(&s->fd);
        if (s->unix_path != NULL && !has_file(kept, s->unix_path))
            (void)unlink(s->unix_path);
        free(s->unix_path);
        free(s->text);
    }
    free(l);
}

/* The socket that stands there already, a second descriptor of it. */
static int share(const struct listen_set *old, bool used[LISTEN_MAX], const struct wish *w, bool *own_file)
{
    for (size_t i = 0; i < old->n; i++) {
        const struct socket *s = &old->sockets[i];
        if (used[i] || s->use != w->use || s->text == NULL || strcmp(s->text, w->text) != 0)
            continue;
        used[i] = true;
        *own_file = s->unix_path != NULL;
        return fcntl(s->fd, F_DUPFD_CLOEXEC, 0);
    }
    errno = ENOENT;
    return -1;
}

struct listen_set *listen_change(const struct listen_set *old, const struct conf *c, struct buf *errors)
{
    struct listen_set *l = xcalloc(1, sizeof *l);
    struct wish wishes[LISTEN_MAX];
    size_t n = wishes_of(c, wishes, LISTEN_MAX);
    bool used[LISTEN_MAX] = {false}, bad = too_many(c);
    if (bad)
        (void)buf_printf(errors, "ingest.listeners: more than %d\n", LISTEN_MAX - 1);
    for (size_t i = 0; i < n; i++) {
        const struct wish *w = &wishes[i];
        struct addr a;
        bool own_file = true;
        int fd = share(old, used, w, &own_file);
        if (fd < 0 && errno == ENOENT && addr_parse(w->text, &a) == 0)
            fd = addr_listen(&a, LISTEN_BACKLOG, w->mode);
        if (fd >= 0) {
            add(l, w, fd, own_file);
            continue;
        }
        (void)buf_printf(errors, "%s: cannot listen at %s: %s; %s\n", w->key, w->text, strerror(errno),
                         remedy(errno));
        bad = true;
    }
    if (!bad)
        return l;
    listen_close(l, old);
    return NULL;
}

void listen_set_modes(const struct listen_set *l)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->sockets[i].unix_path != NULL)
            (void)chmod(l->sockets[i].unix_path, l->sockets[i].mode);
}

size_t listen_fds_for(const struct listen_set *l, enum kind_listen use, int *fds, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; use != KIND_LISTEN_NONE && i < l->n; i++) {
        if (l->sockets[i].use != use)
            continue;
        if (n < max)
            fds[n] = l->sockets[i].fd;
        n++;
    }
    return n;
}

char *listen_address(const struct listen_set *l, enum kind_listen use, size_t index, char *dst, size_t size)
{
    int fds[LISTEN_MAX];
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    dst[0] = '\0';
    if (index < listen_fds_for(l, use, fds, LISTEN_MAX) &&
        getsockname(fds[index], (struct sockaddr *)&sa, &len) == 0)
        addr_format((struct sockaddr *)&sa, len, dst, size);
    return dst;
}

bool listen_save(const struct listen_set *l, size_t i, int *fd, enum kind_listen *use, const char **unix_path)
{
    if (i >= l->n)
        return false;
    *fd = l->sockets[i].fd;
    *use = l->sockets[i].use;
    *unix_path = l->sockets[i].unix_path;
    return true;
}

struct listen_set *listen_new(void)
{
    return xcalloc(1, sizeof(struct listen_set));
}

int listen_restore(struct listen_set *l, int fd, enum kind_listen use, const char *unix_path)
{
    int listening = 0;
    socklen_t len = sizeof listening;
    if (l->n == LISTEN_MAX || getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0 || !listening)
        return -1;
    l->sockets[l->n++] =
        (struct socket){.fd = fd, .use = use, .unix_path = unix_path != NULL ? xstrdup(unix_path) : NULL};
    return 0;
}

void listen_name(struct listen_set *l, const struct conf *c)
{
    struct wish wishes[LISTEN_MAX];
    size_t n = wishes_of(c, wishes, LISTEN_MAX);
    for (size_t i = 0; i < l->n; i++) {
        bool known = i < n && wishes[i].use == l->sockets[i].use;
        free(l->sockets[i].text);
        l->sockets[i].text = xstrdup(known ? wishes[i].text : "");
        l->sockets[i].mode = known ? wishes[i].mode : CONSOLE_MODE;
    }
}
