/* Loaded into dray (LD_PRELOAD): the Nth call of one kind fails. The test says which, through a page that both have mapped
 * (file FAULTSHIM); it concerns the one process named there, and what it has forked and not executed yet. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum call { NONE, PIPE2, SOCKETPAIR, FCNTL, SENDMSG, FORK };

struct page {
    int32_t pid;
    int32_t call;
    int32_t left;  /* 1: the next call fails */
    int32_t error; /* errno */
    int32_t fired;
};

static struct page *page;
static pid_t loaded;

__attribute__((constructor)) static void map_page(void)
{
    const char *path = getenv("FAULTSHIM");
    int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
    loaded = getpid();
    if (fd < 0)
        return;
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p != MAP_FAILED)
        page = p;
    close(fd);
}

static int fails(enum call call)
{
    struct page *p = page;
    if (p == NULL || p->pid != loaded || __atomic_load_n(&p->call, __ATOMIC_ACQUIRE) != (int32_t)call)
        return 0;
    if (__atomic_sub_fetch(&p->left, 1, __ATOMIC_ACQ_REL) != 0)
        return 0;
    errno = p->error;
    __atomic_add_fetch(&p->fired, 1, __ATOMIC_ACQ_REL);
    return 1;
}

static void *next(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

int pipe2(int fds[2], int flags)
{
    return fails(PIPE2) ? -1 : ((int (*)(int[2], int))next("pipe2"))(fds, flags);
}

int socketpair(int domain, int type, int protocol, int fds[2])
{
    return fails(SOCKETPAIR)
               ? -1
               : ((int (*)(int, int, int, int[2]))next("socketpair"))(domain, type, protocol, fds);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
    return fails(SENDMSG) ? -1 : ((ssize_t(*)(int, const struct msghdr *, int))next("sendmsg"))(fd, m, flags);
}

pid_t fork(void)
{
    return fails(FORK) ? -1 : ((pid_t(*)(void))next("fork"))();
}

int fcntl(int fd, int command, ...)
{
    va_list ap;
    va_start(ap, command);
    void *arg = va_arg(ap, void *);
    va_end(ap);
    return fails(FCNTL) ? -1 : ((int (*)(int, int, void *))next("fcntl"))(fd, command, arg);
}

int fcntl64(int fd, int command, ...)
{
    va_list ap;
    va_start(ap, command);
    void *arg = va_arg(ap, void *);
    va_end(ap);
    return fails(FCNTL) ? -1 : ((int (*)(int, int, void *))next("fcntl64"))(fd, command, arg);
}
