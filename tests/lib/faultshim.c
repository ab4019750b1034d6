/* Loaded into dray (LD_PRELOAD): the Nth call of one kind fails, or every call from the Nth on. The test says which, through a
 * page that all have mapped (file FAULTSHIM). It concerns one process, and what that has forked and not executed yet: the one
 * named there, or the next one of a kind that starts ("master", or what stands behind -x).
 *
 * With -DWITH_MALLOC the allocator too (not beside a sanitizer, which has its own). */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum call {
    NONE,
    PIPE2,
    SOCKETPAIR,
    FCNTL,
    SENDMSG,
    FORK,
    RECVMSG,
    WRITE,
    READ,
    EPOLL_CREATE1,
    EPOLL_CTL,
    EPOLL_WAIT,
    MEMFD_CREATE,
    ACCEPT4,
    OPEN,
    SOCKET,
    CONNECT,
    EVENTFD,
    TIMERFD,
    PTHREAD_CREATE,
    FSYNC,
    RENAME,
    MALLOC
};

struct page {
    int32_t pid;
    int32_t call;
    int32_t left;  /* 1: the next call fails */
    int32_t error; /* errno */
    int32_t fired;
    int32_t keep;     /* and every one behind it */
    int32_t claim;    /* 1: the next process of `kind` is the one */
    int32_t at_least; /* malloc: only what is so big counts */
    char kind[32];
};

static struct page *page;
static pid_t loaded;

__attribute__((constructor)) static void map_page(int argc, char **argv)
{
    const char *path = getenv("FAULTSHIM");
    int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
    int32_t one = 1;
    loaded = getpid();
    if (fd < 0)
        return;
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p != MAP_FAILED)
        page = p;
    close(fd);
    const char *kind = argc >= 3 && strcmp(argv[1], "-x") == 0    ? argv[2]
                       : argc >= 2 && strcmp(argv[1], "run") == 0 ? "master"
                                                                  : "";
    if (strcmp(kind, "program") == 0) /* what it starts has an allocator of its own */
        unsetenv("LD_PRELOAD");
    if (page != NULL && kind[0] != '\0' && strcmp(kind, page->kind) == 0 &&
        __atomic_compare_exchange_n(&page->claim, &one, 0, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        __atomic_store_n(&page->pid, loaded, __ATOMIC_RELEASE);
}

static int fails(enum call call)
{
    struct page *p = page;
    if (p == NULL || p->pid != loaded || __atomic_load_n(&p->call, __ATOMIC_ACQUIRE) != (int32_t)call)
        return 0;
    int32_t left = __atomic_sub_fetch(&p->left, 1, __ATOMIC_ACQ_REL);
    if (left > 0 || (left < 0 && !p->keep))
        return 0;
    errno = p->error;
    __atomic_add_fetch(&p->fired, 1, __ATOMIC_ACQ_REL);
    return 1;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int pipe2(int fds[2], int flags)
{
    return fails(PIPE2) ? -1 : NEXT(pipe2)(fds, flags);
}

int socketpair(int domain, int type, int protocol, int fds[2])
{
    return fails(SOCKETPAIR) ? -1 : NEXT(socketpair)(domain, type, protocol, fds);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
    return fails(SENDMSG) ? -1 : NEXT(sendmsg)(fd, m, flags);
}

ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
    return fails(RECVMSG) ? -1 : NEXT(recvmsg)(fd, m, flags);
}

ssize_t write(int fd, const void *data, size_t n)
{
    return fails(WRITE) ? -1 : NEXT(write)(fd, data, n);
}

ssize_t read(int fd, void *data, size_t n)
{
    return fails(READ) ? -1 : NEXT(read)(fd, data, n);
}

pid_t fork(void)
{
    return fails(FORK) ? -1 : NEXT(fork)();
}

int epoll_create1(int flags)
{
    return fails(EPOLL_CREATE1) ? -1 : NEXT(epoll_create1)(flags);
}

int epoll_ctl(int ep, int op, int fd, struct epoll_event *e)
{
    return op != EPOLL_CTL_DEL && fails(EPOLL_CTL) ? -1 : NEXT(epoll_ctl)(ep, op, fd, e);
}

int epoll_wait(int ep, struct epoll_event *e, int n, int ms)
{
    return fails(EPOLL_WAIT) ? -1 : NEXT(epoll_wait)(ep, e, n, ms);
}

int memfd_create(const char *name, unsigned flags)
{
    return fails(MEMFD_CREATE) ? -1 : NEXT(memfd_create)(name, flags);
}

int accept4(int fd, struct sockaddr *a, socklen_t *len, int flags)
{
    return fails(ACCEPT4) ? -1 : NEXT(accept4)(fd, a, len, flags);
}

int socket(int domain, int type, int protocol)
{
    return fails(SOCKET) ? -1 : NEXT(socket)(domain, type, protocol);
}

int connect(int fd, const struct sockaddr *a, socklen_t len)
{
    return fails(CONNECT) ? -1 : NEXT(connect)(fd, a, len);
}

int eventfd(unsigned count, int flags)
{
    return fails(EVENTFD) ? -1 : NEXT(eventfd)(count, flags);
}

int timerfd_create(clockid_t id, int flags)
{
    return fails(TIMERFD) ? -1 : NEXT(timerfd_create)(id, flags);
}

int pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg)
{
    return fails(PTHREAD_CREATE) ? errno : NEXT(pthread_create)(t, a, fn, arg);
}

int fsync(int fd)
{
    return fails(FSYNC) ? -1 : NEXT(fsync)(fd);
}

int rename(const char *from, const char *to)
{
    return fails(RENAME) ? -1 : NEXT(rename)(from, to);
}

#define OPENING(name, params, ...)                                                                           \
    int name params                                                                                          \
    {                                                                                                        \
        va_list ap;                                                                                          \
        va_start(ap, flags);                                                                                 \
        mode_t mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(ap, mode_t) : 0;                       \
        va_end(ap);                                                                                          \
        return fails(OPEN) ? -1 : NEXT(name)(__VA_ARGS__, mode);                                             \
    }

OPENING(open, (const char *path, int flags, ...), path, flags)
OPENING(open64, (const char *path, int flags, ...), path, flags)
OPENING(openat, (int dir, const char *path, int flags, ...), dir, path, flags)

FILE *fopen(const char *path, const char *mode)
{
    return fails(OPEN) ? NULL : NEXT(fopen)(path, mode);
}

FILE *fopen64(const char *path, const char *mode)
{
    return fails(OPEN) ? NULL : NEXT(fopen64)(path, mode);
}

#define CONTROLLING(name)                                                                                    \
    int name(int fd, int command, ...)                                                                       \
    {                                                                                                        \
        va_list ap;                                                                                          \
        va_start(ap, command);                                                                               \
        void *arg = va_arg(ap, void *);                                                                      \
        va_end(ap);                                                                                          \
        return fails(FCNTL) ? -1 : NEXT(name)(fd, command, arg);                                             \
    }

CONTROLLING(fcntl)
CONTROLLING(fcntl64)

#ifdef WITH_MALLOC
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
extern void *__libc_memalign(size_t align, size_t n);

/* What libseccomp asks for it gets: without it 2.5.4 crashes, loops, or makes a filter that lets nothing through. */
static uintptr_t spared, spared_end;

static int find_spared(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size, (void)arg;
    if (strstr(info->dlpi_name, "/libseccomp.so") == NULL)
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD && (info->dlpi_phdr[i].p_flags & PF_X) != 0) {
            spared = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
            spared_end = spared + info->dlpi_phdr[i].p_memsz;
        }
    return 1;
}

__attribute__((constructor)) static void spare(void)
{
    (void)dl_iterate_phdr(find_spared, NULL);
}

static int is_none(size_t n, const void *caller)
{
    uintptr_t from = (uintptr_t)caller;
    return page != NULL && page->call == MALLOC && n >= (size_t)page->at_least &&
           (from < spared || from >= spared_end) && fails(MALLOC);
}

#define has_none(n) is_none(n, __builtin_return_address(0))

void *malloc(size_t n)
{
    return has_none(n) ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    return has_none(n * size) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    return has_none(n) ? NULL : __libc_realloc(p, n);
}

void *memalign(size_t align, size_t n)
{
    return has_none(n) ? NULL : __libc_memalign(align, n);
}

void *aligned_alloc(size_t align, size_t n)
{
    return has_none(n) ? NULL : __libc_memalign(align, n);
}

int posix_memalign(void **out, size_t align, size_t n)
{
    if (has_none(n))
        return ENOMEM;
    void *p = __libc_memalign(align, n);
    if (p != NULL)
        *out = p;
    return p != NULL ? 0 : ENOMEM;
}
#endif
