/* hook - see hook.h. */
#include "common/base/hook.h"

#ifdef DRAY_TEST
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/exitcode.h"
#include "common/base/fd.h"

/* What no child needs: each must be refused, and the process goes on. */
static void try_forbidden(void)
{
    char *const argv[] = {"/bin/true", NULL};
    if (execve(argv[0], argv, NULL) == 0 || errno != EPERM)
        abort();
    for (int i = 0; i < 2; i++)
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 || errno != EPERM)
            abort();
    if (socket(AF_PACKET, SOCK_RAW, 0) >= 0 || errno != EPERM)
        abort();
    if (kill(getppid(), 0) == 0 || errno != EPERM)
        abort();
    long child = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); /* a fork */
    if (child == 0)
        _exit(0);
    if (child > 0 || errno != EPERM)
        abort();
}

/* Stays reachable: it is memory that is wanted, not a leak sanitizer's report. */
static void leak(void)
{
    enum { BYTES = 1 << 20 };
    static void **last;
    void **more = malloc(BYTES);
    if (more == NULL)
        return;
    memset(more, 1, BYTES);
    more[0] = last;
    last = more;
}

/* What a sanitizer must tell, from inside of the filter too. */
static void overrun(void)
{
    void *(*volatile fill)(void *, int, size_t) = memset; /* kept, although nobody reads what it wrote */
    char *bytes = malloc(8);
    if (bytes != NULL)
        (void)fill(bytes, 1, 9);
    free(bytes);
}

static void act(const char *word)
{
    if (strcmp(word, "kill") == 0)
        raise(SIGKILL);
    else if (strcmp(word, "stop") == 0)
        raise(SIGSTOP);
    else if (strcmp(word, "leak") == 0)
        leak();
    else if (strcmp(word, "abort") == 0)
        abort();
    else if (strcmp(word, "forbidden") == 0)
        try_forbidden();
    else if (strcmp(word, "segv") == 0)
        raise(SIGSEGV);
    else if (strcmp(word, "exit") == 0)
        exit(1);
    else if (strcmp(word, "overrun") == 0)
        overrun();
    else if (strcmp(word, "spin") == 0)
        for (;;)
            (void)getppid();
}

void hook_at_data(const char *name, const void *data, size_t len)
{
    char path[4096], text[4096], word[16] = "", keep[16] = "";
    const char *dir = getenv("DRAY_TEST_HOOKS");
    int fd = -1;
    if (dir == NULL || snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path ||
        (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
        return;
    ssize_t n = read(fd, text, sizeof text - 1);
    fd_close(&fd);
    if (n <= 0)
        return;
    text[n] = '\0';
    const char *wanted = strchr(text, '\n');
    if (wanted != NULL && wanted[1] != '\0' &&
        (data == NULL || memmem(data, len, wanted + 1, strlen(wanted + 1)) == NULL))
        return;
    if (sscanf(text, "%15s %15s", word, keep) < 1)
        return;
    if (strcmp(keep, "keep") != 0 && unlink(path) < 0)
        return; /* another process was faster */
    act(word);
}

void hook_at(const char *name)
{
    hook_at_data(name, NULL, 0);
}

uint64_t hook_ms(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

const char *hook_executable(const char *otherwise)
{
    const char *path = getenv("DRAY_TEST_EXE");
    return path != NULL ? path : otherwise;
}

/* ---- crash points */

/* Numbers of 32 bits, as tests/lib/hooks.py writes and reads them. */
struct cell {
    atomic_int left;    /* passes until the death; 0: not armed */
    atomic_uint how;    /* 0: SIGKILL, 1: exit code 70 */
    atomic_uint passed; /* by anybody, ever */
    atomic_uint dead;   /* who died here last */
};

static struct cell own[HOOK_POINTS];
static struct cell *cells = own;
static unsigned char later[HOOK_POINTS];

static void arm_own(const char *text)
{
    static const char *const names[] = {
#define P(name, side, sentence) #name,
#include "common/base/crash_points.def"
#undef P
    };
    size_t len = strcspn(text, ":");
    int n = text[len] == ':' ? atoi(text + len + 1) : 1;
    for (size_t i = 0; i < HOOK_POINTS; i++)
        if (strlen(names[i]) == len && strncmp(names[i], text, len) == 0)
            atomic_store(&own[i].left, n);
}

/* Before main(), and so before anything is forbidden to this process. */
__attribute__((constructor)) static void map_points(void)
{
    const char *dir = getenv("DRAY_TEST_HOOKS"), *text = getenv("DRAY_CRASH_AT");
    char path[4096];
    if (text != NULL)
        arm_own(text);
    if (dir == NULL || snprintf(path, sizeof path, "%s/points", dir) >= (int)sizeof path)
        return;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    void *page = mmap(NULL, sizeof own, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    fd_close(&fd);
    if (page != MAP_FAILED)
        cells = page;
}

static bool is_due(enum hook_point p)
{
    struct cell *c = &cells[p];
    atomic_fetch_add(&c->passed, 1);
    int left = atomic_load(&c->left);
    while (left > 0)
        if (atomic_compare_exchange_weak(&c->left, &left, left - 1))
            return left == 1;
    return false;
}

__attribute__((noreturn)) static void die(enum hook_point p)
{
    atomic_store(&cells[p].dead, (unsigned)getpid());
    if (atomic_load(&cells[p].how) == 0)
        (void)kill(getpid(), SIGKILL);
    _exit(EXIT_CODE_BUG);
}

void hook_pass(enum hook_point p)
{
    if (is_due(p))
        die(p);
}

void hook_pass_later(enum hook_point p)
{
    later[p] = 1;
}

void hook_written(void)
{
    for (int p = 0; p < HOOK_POINTS; p++)
        if (later[p] != 0) {
            later[p] = 0;
            hook_pass((enum hook_point)p);
        }
}

void hook_pass_half(enum hook_point p, int fd, const struct iovec *iov, int n)
{
    size_t all = 0;
    if (!is_due(p))
        return;
    for (int i = 0; i < n; i++)
        all += iov[i].iov_len;
    for (int i = 0; i < n && all / 2 > 0; i++) {
        size_t len = iov[i].iov_len < all / 2 ? iov[i].iov_len : all / 2;
        if (write(fd, iov[i].iov_base, len) != (ssize_t)len)
            break;
        all -= 2 * len;
    }
    die(p);
}

const char *hook_root(const char *otherwise)
{
    const char *path = getenv("DRAY_TEST_ROOT");
    return path != NULL ? path : otherwise;
}
#endif
