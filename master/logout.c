/* logout - see logout.h. */
#include "master/logout.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#define WAIT_MS      200
#define PACKET_SHORT 1024 /* of RFC 3164: every syslog daemon takes so much */

enum type { TO_STDERR, TO_FILE, TO_SYSLOG, TO_JOURNAL };

struct logout {
    enum type type;
    enum logform_style style;
    int facility, fd;
    bool regular;  /* no poll tells when it would wait */
    bool priority; /* each line begins with <N> */
    char *path;
};

static const char *socket_path(enum type type)
{
#if DRAY_TEST
    const char *path = getenv(type == TO_SYSLOG ? "DRAY_SYSLOG_SOCKET" : "DRAY_JOURNAL_SOCKET");
    if (path != NULL)
        return path;
#endif
    return type == TO_SYSLOG ? "/dev/log" : "/run/systemd/journal/socket";
}

static int open_socket(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = str_copy(sa.sun_path, path, sizeof sa.sun_path) < sizeof sa.sun_path
                 ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)
                 : -1;
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&sa, sizeof sa) < 0)
        fd_close(&fd);
    return fd;
}

/* JOURNAL_STREAM names the stream that the service manager gave us, by device and inode. */
static bool is_journal_stream(const struct stat *st)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    return stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && device == st->st_dev &&
           inode == st->st_ino;
}

static enum logform_style style_of_stderr(void)
{
    const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");
    bool plain = (no_colour != NULL && no_colour[0] != '\0') || term == NULL || strcmp(term, "dumb") == 0;
    return !isatty(STDERR_FILENO) ? LOGFORM_LOGFMT : plain ? LOGFORM_COLUMNS : LOGFORM_COLOURS;
}

static int open_it(struct logout *o)
{
    struct stat st;
    switch (o->type) {
    case TO_STDERR:
        o->fd = STDERR_FILENO;
        break;
    case TO_FILE: /* a fifo without a reader is an error, not something to wait for */
        o->fd = open(o->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
        break;
    case TO_SYSLOG:
    case TO_JOURNAL:
        o->fd = open_socket(o->path);
        break;
    }
    if (o->fd < 0)
        return -1;
    bool known = fstat(o->fd, &st) == 0;
    o->regular = known && S_ISREG(st.st_mode);
    o->priority = o->type == TO_STDERR && known && is_journal_stream(&st);
    return 0;
}

struct logout *logout_new(const struct conf_log *c)
{
    static const int facilities[] = {3, 1, 16, 17, 18, 19, 20, 21, 22, 23}; /* as in log.def */
    struct logout *o = xcalloc(1, sizeof *o);
    o->facility = facilities[c->facility];
    o->style = c->format == CONF_LOG_JSON ? LOGFORM_JSON : LOGFORM_LOGFMT;
    if (str_starts(c->output, "file:")) {
        o->type = TO_FILE;
        o->path = xstrdup(c->output + strlen("file:"));
    } else if (strcmp(c->output, "syslog") == 0 || strcmp(c->output, "journal") == 0) {
        o->type = c->output[0] == 's' ? TO_SYSLOG : TO_JOURNAL;
        o->path = xstrdup(socket_path(o->type));
    } else if (c->format == CONF_LOG_AUTO) {
        o->style = style_of_stderr();
    }
    if (o->path == NULL)
        o->path = xstrdup("");
    if (open_it(o) < 0) {
        int error = errno;
        logout_free(o);
        errno = error;
        return NULL;
    }
    return o;
}

struct logout *logout_again(const struct logout *old)
{
    struct logout *o = xcalloc(1, sizeof *o);
    *o = *old;
    o->path = xstrdup(old->path);
    if (open_it(o) < 0) {
        int error = errno;
        logout_free(o);
        errno = error;
        return NULL;
    }
    return o;
}

void logout_free(struct logout *o)
{
    if (o == NULL)
        return;
    if (o->type != TO_STDERR)
        fd_close(&o->fd);
    free(o->path);
    free(o);
}

const char *logout_remedy(const struct conf_log *c)
{
    if (strcmp(c->output, "syslog") == 0)
        return "no syslog daemon listens at /dev/log: start one, or set log.output to stderr or file:PATH";
    if (strcmp(c->output, "journal") == 0)
        return "no journal listens at /run/systemd/journal/socket: set log.output to stderr, syslog or file:PATH";
    return "log.output: the folder must be there and writable for dray";
}

bool logout_is_packets(const struct logout *o)
{
    return o->type == TO_SYSLOG || o->type == TO_JOURNAL;
}

void logout_format(const struct logout *o, struct buf *out, const struct logform_line *line)
{
    if (o->type == TO_JOURNAL) {
        logform_put_journal(out, o->facility, line);
    } else if (o->type == TO_SYSLOG) {
        logform_put_syslog(out, o->style, o->facility, getpid(), line);
    } else {
        if (o->priority)
            logform_put_priority(out, line->level, 0);
        logform_put(out, o->style, line);
    }
}

static bool takes(const struct logout *o)
{
    struct pollfd p = {.fd = o->fd, .events = POLLOUT};
    return poll(&p, 1, WAIT_MS) != 0; /* a broken one is written to as well, to hear of it */
}

/* A shared stderr must not be made non-blocking: it is the terminal's. What a pipe that is ready takes at once is
 * PIPE_BUF. */
long logout_write(struct logout *o, const char *data, size_t len)
{
    if (!o->regular && !takes(o)) {
        errno = EAGAIN;
        return -1;
    }
    return write(o->fd, data, o->regular || len < LOG_LINE_MAX ? len : LOG_LINE_MAX);
}

/* The journal takes what is too large for a packet as a sealed memory file. */
static int send_as_file(const struct logout *o, const char *data, size_t len)
{
    int fd = memfd_create("dray-log", MFD_CLOEXEC | MFD_ALLOW_SEALING), done = -1;
    if (fd >= 0 && fd_write_full(fd, data, len) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0) {
        char control[CMSG_SPACE(sizeof(int))] = {0};
        struct msghdr m = {.msg_control = control, .msg_controllen = sizeof control};
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
        done = sendmsg(o->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -1 : 0;
    }
    fd_close(&fd);
    return done;
}

static int send_once(const struct logout *o, const char *data, size_t len)
{
    ssize_t n;
    do {
        n = send(o->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EMSGSIZE)
        return o->type == TO_JOURNAL                                              ? send_as_file(o, data, len)
               : send(o->fd, data, PACKET_SHORT, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -1
                                                                                  : 0;
    return n < 0 ? -1 : 0;
}

int logout_send(struct logout *o, const char *data, size_t len)
{
    if (send_once(o, data, len) == 0)
        return 0;
    if (errno == EAGAIN)
        return takes(o) ? send_once(o, data, len) : (errno = EAGAIN, -1);
    fd_close(&o->fd); /* the daemon went away, perhaps to come again */
    if ((o->fd = open_socket(o->path)) < 0)
        return -1;
    return send_once(o, data, len);
}
