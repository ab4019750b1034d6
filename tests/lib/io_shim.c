/* Loaded into dray (LD_PRELOAD) to make its channels as bad as the system may make them. What else is started is left
 * alone: only a program file called dray is acted upon.
 *
 * IO_SHIM_SHORT  "local" or "tcp": each read and write of a pipe or a unix stream socket, or of a TCP socket, moves one
 *                byte at most. Writes to the log pipe stay whole: the kernel never cuts those of up to PIPE_BUF.
 * IO_SHIM_BREAK  a file of rows, mapped at once: a confined process may neither open nor remove a file. A row is the name
 *                of a kind (or master) and a byte for each write of such a process to a control channel. The Nth write
 *                finds the peer gone if byte N is set: the socket is shut down, it fails with EPIPE, the byte is cleared.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define LOG_FD 2
#define ROWS   8
#define POINTS 48

enum channel { OTHER, LOCAL, TCP };

struct row {
    char kind[16];
    unsigned char is_broken[POINTS];
};

static struct {
    int is_on;
    enum channel shorten;
    struct row *row;
    char kind[32];
    unsigned writes;
} shim;

/* This kind's row, or NULL: none of its writes is to fail. A file that cannot be used ends the process. */
static struct row *find_row(const char *file)
{
    int fd = open(file, O_RDWR | O_CLOEXEC);
    struct row *rows =
        fd < 0 ? MAP_FAILED : mmap(NULL, ROWS * sizeof *rows, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (rows == MAP_FAILED) {
        perror(file);
        abort();
    }
    close(fd);
    for (int i = 0; i < ROWS; i++)
        if (strncmp(rows[i].kind, shim.kind, sizeof rows[i].kind) == 0)
            return &rows[i];
    return NULL;
}

__attribute__((constructor)) static void start(void)
{
    char exe[4096], line[4096];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n < 5 || strncmp(exe + n - 5, "/dray", 5) != 0)
        return;
    const char *how = getenv("IO_SHIM_SHORT");
    shim.shorten = how == NULL ? OTHER : strcmp(how, "tcp") == 0 ? TCP : LOCAL;
    strcpy(shim.kind, "master");
    FILE *f = fopen("/proc/self/cmdline", "r");
    size_t len = f != NULL ? fread(line, 1, sizeof line - 1, f) : 0;
    if (f != NULL)
        fclose(f);
    line[len] = '\0';
    const char *word = line + strlen(line) + 1;
    if (word < line + len && strcmp(word, "-x") == 0)
        snprintf(shim.kind, sizeof shim.kind, "%.31s", word + 3);
    const char *file = getenv("IO_SHIM_BREAK");
    shim.row = file != NULL ? find_row(file) : NULL;
    shim.is_on = 1;
}

static enum channel channel_of(int fd, int *is_pair)
{
    struct stat st;
    int type = 0;
    struct sockaddr_storage a;
    socklen_t len = sizeof type, alen = sizeof a;
    *is_pair = 0;
    if (fstat(fd, &st) < 0)
        return OTHER;
    if (S_ISFIFO(st.st_mode))
        return LOCAL;
    if (!S_ISSOCK(st.st_mode) || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
        type != SOCK_STREAM || getsockname(fd, (struct sockaddr *)&a, &alen) < 0)
        return OTHER;
    if (a.ss_family != AF_UNIX)
        return TCP;
    if (alen <= sizeof(sa_family_t)) {
        struct sockaddr_storage peer;
        socklen_t plen = sizeof peer;
        *is_pair = getpeername(fd, (struct sockaddr *)&peer, &plen) == 0 && plen <= sizeof(sa_family_t);
    }
    return LOCAL;
}

static int shortened(int fd)
{
    int saved = errno, is_pair;
    int is = shim.is_on && shim.shorten != OTHER && channel_of(fd, &is_pair) == shim.shorten;
    errno = saved;
    return is;
}

/* Must this write fail? */
static int breaks(int fd)
{
    int saved = errno, is_pair;
    if (!shim.is_on || shim.row == NULL || channel_of(fd, &is_pair) != LOCAL || !is_pair)
        return 0;
    unsigned n = shim.writes++;
    if (n < POINTS && __atomic_exchange_n(&shim.row->is_broken[n], 0, __ATOMIC_SEQ_CST) != 0) {
        (void)shutdown(fd, SHUT_RDWR);
        errno = EPIPE;
        return 1;
    }
    errno = saved;
    return 0;
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

ssize_t read(int fd, void *data, size_t n)
{
    REAL(read);
    return real(fd, data, n > 1 && shortened(fd) ? 1 : n);
}

ssize_t write(int fd, const void *data, size_t n)
{
    REAL(write);
    if (breaks(fd))
        return -1;
    return real(fd, data, n > 1 && fd > LOG_FD && shortened(fd) ? 1 : n);
}

ssize_t recv(int fd, void *data, size_t n, int flags)
{
    REAL(recv);
    return real(fd, data, n > 1 && shortened(fd) ? 1 : n, flags);
}

ssize_t send(int fd, const void *data, size_t n, int flags)
{
    REAL(send);
    if (breaks(fd))
        return -1;
    return real(fd, data, n > 1 && shortened(fd) ? 1 : n, flags);
}

ssize_t recvfrom(int fd, void *data, size_t n, int flags, struct sockaddr *a, socklen_t *len)
{
    REAL(recvfrom);
    return real(fd, data, n > 1 && shortened(fd) ? 1 : n, flags, a, len);
}

ssize_t sendto(int fd, const void *data, size_t n, int flags, const struct sockaddr *a, socklen_t len)
{
    REAL(sendto);
    if (breaks(fd))
        return -1;
    return real(fd, data, n > 1 && shortened(fd) ? 1 : n, flags, a, len);
}

/* What _FORTIFY_SOURCE makes of calls with buffers of known size. */
ssize_t __read_chk(int fd, void *data, size_t n, size_t size)
{
    return n <= size ? read(fd, data, n) : (abort(), -1);
}

ssize_t __recv_chk(int fd, void *data, size_t n, size_t size, int flags)
{
    return n <= size ? recv(fd, data, n, flags) : (abort(), -1);
}

ssize_t __recvfrom_chk(int fd, void *data, size_t n, size_t size, int flags, struct sockaddr *a,
                       socklen_t *len)
{
    return n <= size ? recvfrom(fd, data, n, flags, a, len) : (abort(), -1);
}

/* The first byte there is, as a vector of one. */
static int first_byte(const struct iovec *iov, size_t n, struct iovec *one)
{
    for (size_t i = 0; i < n; i++)
        if (iov[i].iov_len > 0) {
            *one = (struct iovec){.iov_base = iov[i].iov_base, .iov_len = 1};
            return 1;
        }
    return 0;
}

ssize_t readv(int fd, const struct iovec *iov, int n)
{
    struct iovec one;
    REAL(readv);
    return shortened(fd) && first_byte(iov, (size_t)n, &one) ? real(fd, &one, 1) : real(fd, iov, n);
}

ssize_t writev(int fd, const struct iovec *iov, int n)
{
    struct iovec one;
    REAL(writev);
    if (breaks(fd))
        return -1;
    return fd > LOG_FD && shortened(fd) && first_byte(iov, (size_t)n, &one) ? real(fd, &one, 1)
                                                                            : real(fd, iov, n);
}

ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
    struct iovec one, *iov = m->msg_iov;
    size_t n = m->msg_iovlen;
    REAL(recvmsg);
    if (!shortened(fd) || !first_byte(iov, n, &one))
        return real(fd, m, flags);
    m->msg_iov = &one;
    m->msg_iovlen = 1;
    ssize_t got = real(fd, m, flags);
    m->msg_iov = iov;
    m->msg_iovlen = n;
    return got;
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
    struct iovec one;
    struct msghdr cut = *m;
    REAL(sendmsg);
    if (breaks(fd))
        return -1;
    if (shortened(fd) && first_byte(m->msg_iov, m->msg_iovlen, &one)) {
        cut.msg_iov = &one;
        cut.msg_iovlen = 1;
    }
    return real(fd, &cut, flags);
}
