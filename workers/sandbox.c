/* sandbox - see sandbox.h. What each kind may read and write stands here, what it may call in sandbox.def. */
#include "workers/sandbox.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <resolv.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/fd.h"
#include "common/base/log.h"

#define PATHS_MAX 24

struct paths {
    const char *read[PATHS_MAX], *write[PATHS_MAX];
    size_t n_read, n_write;
    char quarantine[PATH_MAX], spool[PATH_MAX];
};

static void may(const char **list, size_t *n, const char *path)
{
    if (path != NULL && path[0] != '\0' && *n < PATHS_MAX - 1)
        list[(*n)++] = path;
}

static void find_paths(enum sandbox_kind kind, const struct conf *c, struct paths *p)
{
    /* Time zones, character sets, the machine, itself. */
    static const char *const everybody[] = {
        "/etc/localtime",          "/usr/share/zoneinfo", "/usr/lib/locale", "/proc",
        "/sys/devices/system/cpu", "/sys/kernel/mm",      "/dev/null",       "/dev/urandom"};
    /* Names, certificates, modules of the C library and of OpenSSL. */
    static const char *const network[] = {"/etc",
                                          "/usr",
                                          "/lib",
                                          "/lib64",
                                          "/run/systemd/resolve",
                                          "/run/resolvconf",
                                          "/run/NetworkManager",
                                          "/run/nscd",
                                          "/var/lib/ca-certificates"};
    for (size_t i = 0; i < sizeof everybody / sizeof *everybody; i++)
        may(p->read, &p->n_read, everybody[i]);
    may(p->write, &p->n_write, "/dev/null");
    if (kind == SANDBOX_DELIVERY) {
        for (size_t i = 0; i < sizeof network / sizeof *network; i++)
            may(p->read, &p->n_read, network[i]);
        may(p->read, &p->n_read, getenv("SSL_CERT_FILE"));
        may(p->read, &p->n_read, getenv("SSL_CERT_DIR"));
    }
    if (kind == SANDBOX_SPOOL) {
        (void)fd_make_dirs(conf_state_path(c, "spool", p->spool, sizeof p->spool), 0700);
        may(p->write, &p->n_write, p->spool);
        (void)fd_make_dirs(conf_state_path(c, "quarantine/spool.0", p->quarantine, sizeof p->quarantine),
                           0700);
        may(p->write, &p->n_write, p->quarantine);
    }
    if (kind == SANDBOX_INGEST) {
        (void)fd_make_dirs(conf_state_path(c, "quarantine", p->quarantine, sizeof p->quarantine), 0700);
        may(p->write, &p->n_write, p->quarantine);
    }
#ifdef DRAY_TEST /* sanitizers read what they name and write reports; hooks are files */
    may(p->read, &p->n_read, "/");
    may(p->write, &p->n_write, ".");
    may(p->write, &p->n_write, getenv("DRAY_TEST_HOOKS"));
#endif
}

enum exitcode sandbox_enter_files(enum sandbox_kind kind, const struct conf *c)
{
    struct paths p = {.n_read = 0};
    if (kind == SANDBOX_NONE || c->master.landlock == CONF_LANDLOCK_OFF)
        return EXIT_CODE_OK;
    find_paths(kind, c, &p);
    int abi = sandbox_files_restrict(p.read, p.write);
    if (abi < 0) {
        log_crit("landlock_failed", "error=%s remedy=%s", log_q(strerror(errno)),
                 log_q("master.landlock: off"));
        return EXIT_CODE_OSERR;
    }
    if (abi == 0)
        log_info("landlock_absent", "what=%s",
                 log_q("this kernel cannot keep files out of a process' reach"));
    else
        log_debug("landlock", "abi=%d read=%zu write=%zu", abi, p.n_read, p.n_write);
    return EXIT_CODE_OK;
}

/* What a look-up loads on its first use, it loads here. The long label never leaves the host: every module of
 * nsswitch.conf is asked, and the last refuses to send it. */
static void warm_up_names(void)
{
    static const char *const names[] = {
        "127.0.0.1", "localhost",
        "a-label-of-more-than-sixty-three-letters-is-sent-to-no-server-at-all.invalid"};
    (void)res_init();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
        struct addrinfo *found = NULL;
        if (getaddrinfo(names[i], "80", &hints, &found) == 0)
            freeaddrinfo(found);
    }
}

enum exitcode sandbox_enter_calls(enum sandbox_kind kind, const struct conf *c)
{
    if (kind == SANDBOX_NONE || c->master.seccomp == CONF_SECCOMP_OFF)
        return EXIT_CODE_OK;
    if (kind == SANDBOX_DELIVERY)
        warm_up_names();
    if (sandbox_calls_restrict(kind, c->master.seccomp == CONF_SECCOMP_LOG) == 0) {
        log_debug("seccomp", "mode=%s", c->master.seccomp == CONF_SECCOMP_LOG ? "log" : "on");
        return EXIT_CODE_OK;
    }
    if (errno == EINVAL || errno == ENOSYS) {
        log_warn("seccomp_absent", "what=%s", log_q("this kernel filters no system calls"));
        return EXIT_CODE_OK;
    }
    log_crit("seccomp_failed", "error=%s remedy=%s", log_q(strerror(errno)), log_q("master.seccomp: off"));
    return EXIT_CODE_OSERR;
}
