/* sandbox_files - see sandbox.h: Landlock, spoken to by number, as neither Debian's C library nor all kernels know it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "workers/sandbox.h"

/* The same on all architectures. */
#define NR_CREATE_RULESET 444
#define NR_ADD_RULE       445
#define NR_RESTRICT_SELF  446

/* Headers older than the kernel do not name these. */
#define FS_REFER     (1ull << 13) /* ABI 2 */
#define FS_TRUNCATE  (1ull << 14) /* ABI 3 */
#define FS_IOCTL_DEV (1ull << 15) /* ABI 5 */
#define SCOPE_ALL    3ull         /* ABI 6: abstract sockets and signals of others */

#define FS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_CHANGE                                                                                            \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |        \
     LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | FS_REFER | FS_TRUNCATE)
#define FS_ABI_1 ((1ull << 13) - 1)
/* What a rule of a file, not of a folder, may name. */
#define FS_OF_FILE (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE)

struct ruleset { /* landlock_ruleset_attr of ABI 6; an older kernel is told the shorter size */
    uint64_t fs, net, scoped;
};

static uint64_t known(int abi)
{
    return FS_ABI_1 | (abi >= 2 ? FS_REFER : 0) | (abi >= 3 ? FS_TRUNCATE : 0) |
           (abi >= 5 ? FS_IOCTL_DEV : 0);
}

/* What is not there cannot be opened anyway. */
static int add(int ruleset, const char *path, uint64_t access)
{
    struct stat st;
    int fd = open(path, O_PATH | O_CLOEXEC), r = 0;
    if (fd < 0 || fstat(fd, &st) < 0) {
        fd_close(&fd);
        return 0;
    }
    struct landlock_path_beneath_attr rule = {
        .allowed_access = S_ISDIR(st.st_mode) ? access : access & FS_OF_FILE, .parent_fd = fd};
    r = (int)syscall(NR_ADD_RULE, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    fd_close(&fd);
    return r;
}

int sandbox_files_restrict(const char *const *read, const char *const *write)
{
    int abi = (int)syscall(NR_CREATE_RULESET, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 1)
        return errno == ENOSYS || errno == EOPNOTSUPP || errno == EPERM
                   ? 0
                   : -1; /* EPERM: a container's filter */
    struct ruleset all = {.fs = known(abi), .scoped = abi >= 6 ? SCOPE_ALL : 0};
    size_t size = abi >= 6 ? sizeof all : sizeof all.fs;
    int ruleset = (int)syscall(NR_CREATE_RULESET, &all, size, 0), r = ruleset < 0 ? -1 : 0;
    for (; r == 0 && *read != NULL; read++)
        r = add(ruleset, *read, all.fs & FS_READ);
    for (; r == 0 && *write != NULL; write++)
        r = add(ruleset, *write, all.fs & (FS_READ | FS_CHANGE));
    if (r == 0)
        r = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (r == 0)
        r = (int)syscall(NR_RESTRICT_SELF, ruleset, 0);
    fd_close(&ruleset);
    return r == 0 ? abi : -1;
}
