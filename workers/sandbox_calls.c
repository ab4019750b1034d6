/* sandbox_calls - see sandbox.h: the table sandbox.def as a filter of the kernel, and what happens to a denied call. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <ucontext.h>
#include <unistd.h>

#include "common/base/log.h"
#include "workers/sandbox.h"

#pragma GCC diagnostic ignored "-Wmissing-field-initializers" /* libseccomp's macros, as clang sees them */

#define CALLS_MAX 1024 /* numbers told one by one */

/* ---- a denied call */

static atomic_ulong told[CALLS_MAX / (8 * sizeof(unsigned long))];
static atomic_uint denied;

static char *put_text(char *at, const char *s)
{
    while (*s != '\0')
        *at++ = *s++;
    return at;
}

static char *put_number(char *at, unsigned n)
{
    char digits[12];
    size_t len = 0;
    do {
        digits[len++] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    while (len > 0)
        *at++ = digits[--len];
    return at;
}

/* The line that log_event would write. */
static void tell(unsigned nr, uintptr_t where)
{
    char line[160] = {LOG_TAG, '0' + LOGL_ERROR}, hex[2 * sizeof where + 1];
    size_t n = sizeof hex - 1;
    hex[n] = '\0';
    do {
        hex[--n] = "0123456789abcdef"[where & 15];
        where >>= 4;
    } while (where != 0);
    char *at = put_text(line + 2, "event=syscall_denied nr=");
    at = put_number(at, nr);
    at = put_text(at, " at=0x");
    at = put_text(at, hex + n);
    at = put_text(at, " remedy=\"ausyscall names the number; master.seccomp: off lets it pass\"\n");
    ssize_t ignored = write(STDERR_FILENO, line, (size_t)(at - line));
    (void)ignored;
}

static void answer_eperm(ucontext_t *context)
{
#if defined(__x86_64__)
    context->uc_mcontext.gregs[REG_RAX] = -EPERM;
#elif defined(__aarch64__)
    context->uc_mcontext.regs[0] = (unsigned long long)-EPERM;
#else
    (void)context; /* never: sandbox_calls_restrict refuses */
#endif
}

static void on_denied(int signo, siginfo_t *info, void *context)
{
    int saved = errno;
    if (info->si_code != 1 /* SYS_SECCOMP */) { /* sent by somebody */
        signal(signo, SIG_DFL);
        raise(signo);
        return;
    }
    unsigned nr = (unsigned)info->si_syscall, word = nr % CALLS_MAX / (8 * sizeof(unsigned long));
    unsigned long bit = 1ul << nr % (8 * sizeof(unsigned long));
    if ((atomic_fetch_or(&told[word], bit) & bit) == 0) {
        atomic_fetch_add(&denied, 1);
        tell(nr, (uintptr_t)info->si_call_addr);
    }
    answer_eperm(context);
    errno = saved;
}

unsigned sandbox_calls_denied(void)
{
    return atomic_load(&denied);
}

/* ---- rules: which arguments are allowed. Each returns 0 or a negative errno, as libseccomp. */

typedef int (*rule_fn)(scmp_filter_ctx f, int nr);

static int allow(scmp_filter_ctx f, int nr, unsigned n, const struct scmp_arg_cmp *args)
{
    return seccomp_rule_add_array(f, SCMP_ACT_ALLOW, nr, n, args);
}

static int allow_one(scmp_filter_ctx f, int nr, struct scmp_arg_cmp arg)
{
    return allow(f, nr, 1, &arg);
}

static int allow_words(scmp_filter_ctx f, int nr, unsigned arg, const unsigned *words, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int r = allow_one(f, nr, SCMP_CMP32(arg, SCMP_CMP_EQ, words[i]));
        if (r < 0)
            return r;
    }
    return 0;
}

static int rule_ANY(scmp_filter_ctx f, int nr)
{
    return allow(f, nr, 0, NULL);
}

static int rule_NOT_THERE(scmp_filter_ctx f, int nr)
{
    return seccomp_rule_add_array(f, SCMP_ACT_ERRNO(ENOSYS), nr, 0, NULL);
}

static int rule_NO_EXEC(scmp_filter_ctx f, int nr)
{
    return allow_one(f, nr, SCMP_CMP(2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
}

#define WRITING (O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND)

static int rule_READ_ONLY(scmp_filter_ctx f, int nr)
{
    return allow_one(f, nr, SCMP_CMP(2, SCMP_CMP_MASKED_EQ, WRITING, O_RDONLY));
}

static int rule_READ_ONLY_OLD(scmp_filter_ctx f, int nr)
{
    return allow_one(f, nr, SCMP_CMP(1, SCMP_CMP_MASKED_EQ, WRITING, O_RDONLY));
}

static int rule_OWN_PROCESS(scmp_filter_ctx f, int nr)
{
    return allow_one(f, nr, SCMP_CMP32(0, SCMP_CMP_EQ, (uint32_t)getpid()));
}

static int rule_THREAD(scmp_filter_ctx f, int nr)
{
    return allow_one(f, nr,
                     SCMP_CMP(0, SCMP_CMP_MASKED_EQ, CLONE_THREAD | CLONE_VM, CLONE_THREAD | CLONE_VM));
}

static int rule_SMALL_IOCTL(scmp_filter_ctx f, int nr)
{
    static const unsigned words[] = {FIONBIO, FIONREAD, TCGETS};
    return allow_words(f, nr, 1, words, sizeof words / sizeof *words);
}

static int rule_SMALL_PRCTL(scmp_filter_ctx f, int nr)
{
    static const unsigned words[] = {PR_SET_NAME, PR_GET_NAME, PR_GET_DUMPABLE, PR_SET_VMA};
    return allow_words(f, nr, 0, words, sizeof words / sizeof *words);
}

/* Its own, and only to look. */
static int rule_ASK_LIMIT(scmp_filter_ctx f, int nr)
{
    return allow_one(f, nr, SCMP_CMP(2, SCMP_CMP_EQ, 0));
}

/* Streams and datagrams; netlink's routing table is what getaddrinfo asks. No raw sockets, no other families. */
static int rule_PLAIN_SOCKET(scmp_filter_ctx f, int nr)
{
    static const unsigned families[] = {AF_UNIX, AF_INET, AF_INET6}, types[] = {SOCK_STREAM, SOCK_DGRAM};
    const uint64_t type_mask = ~(uint64_t)(SOCK_CLOEXEC | SOCK_NONBLOCK) & UINT32_MAX;
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < 2; j++) {
            const struct scmp_arg_cmp args[] = {SCMP_CMP32(0, SCMP_CMP_EQ, families[i]),
                                                SCMP_CMP64(1, SCMP_CMP_MASKED_EQ, type_mask, types[j])};
            int r = allow(f, nr, 2, args);
            if (r < 0)
                return r;
        }
    const struct scmp_arg_cmp netlink[] = {SCMP_CMP32(0, SCMP_CMP_EQ, AF_NETLINK),
                                           SCMP_CMP32(2, SCMP_CMP_EQ, 0)};
    return allow(f, nr, 2, netlink);
}

static int rule_LEAK_CHECK(scmp_filter_ctx f, int nr)
{
    return allow_one(f, nr, SCMP_CMP(0, SCMP_CMP_MASKED_EQ, CLONE_UNTRACED, CLONE_UNTRACED));
}

static int rule_LEAK_CHECK_TRACE(scmp_filter_ctx f, int nr)
{
    static const unsigned words[] = {PTRACE_ATTACH,  PTRACE_DETACH,    PTRACE_CONT,
                                     PTRACE_GETREGS, PTRACE_GETREGSET, PTRACE_KILL};
    return allow_words(f, nr, 0, words, sizeof words / sizeof *words);
}

/* ---- the table */

#define ALL      (SANDBOX_INGEST | SANDBOX_DELIVERY | SANDBOX_CONSOLE | SANDBOX_SPOOL)
#define INGEST   SANDBOX_INGEST
#define DELIVERY SANDBOX_DELIVERY
#define CONSOLE  SANDBOX_CONSOLE
#define SPOOL    SANDBOX_SPOOL
#define TEST     SANDBOX_TEST

static const struct {
    const char *name;
    unsigned kinds;
    rule_fn rule;
} table[] = {
#define S(name, kinds, rule) {#name, kinds, rule_##rule},
#include "workers/sandbox.def"
#undef S
};

static int fill(scmp_filter_ctx f, unsigned kinds)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        int nr = (table[i].kinds & kinds) != 0 ? seccomp_syscall_resolve_name(table[i].name) : -1;
        if (nr < 0)
            continue;
        int r = table[i].rule(f, nr);
        if (r < 0 && r != -EEXIST)
            return r;
    }
    return 0;
}

int sandbox_calls_restrict(enum sandbox_kind kind, bool default_log)
{
    unsigned kinds = kind;
#if !defined(__x86_64__) && !defined(__aarch64__)
    errno = ENOSYS; /* which register holds a call's result is not known here */
    return -1;
#endif
#ifdef DRAY_TEST
    kinds |= SANDBOX_TEST;
#endif
    struct sigaction sa = {.sa_sigaction = on_denied, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    sigemptyset(&sa.sa_mask);
    if (sigaction(SIGSYS, &sa, NULL) < 0)
        return -1;
    scmp_filter_ctx f = seccomp_init(default_log ? SCMP_ACT_LOG : SCMP_ACT_TRAP);
    if (f == NULL) {
        errno = ENOMEM;
        return -1;
    }
    int r = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);
    if (r == 0)
        r = seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (r == 0)
        r = seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (r == 0)
        r = fill(f, kinds);
    if (r == 0)
        r = seccomp_load(f);
    seccomp_release(f);
    errno = -r;
    return r == 0 ? 0 : -1;
}
