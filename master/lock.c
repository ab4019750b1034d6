/* lock - see lock.h. */
#include "master/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/id.h"
#include "common/base/log.h"

static int make_dir(const char *key, const char *path)
{
    if (fd_make_dirs(path, 0750) == 0 && access(path, W_OK | X_OK) == 0)
        return 0;
    log_crit("dir_failed", "key=%s path=%s err=%s remedy=%s", key, log_q(path), log_q(strerror(errno)),
             log_q("give the service's user a folder that it may write to"));
    return -1;
}

int lock_take(const struct conf *c, enum exitcode *code)
{
    char path[PATH_MAX], text[32] = "";
    *code = EXIT_CODE_NOPERM;
    if (make_dir("node.run_dir", c->node.run_dir) < 0 || make_dir("node.state_dir", c->node.state_dir) < 0)
        return -1;
    conf_run_path(c, "lock", path, sizeof path);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0) {
        log_crit("lock_failed", "path=%s err=%s", log_q(path), log_q(strerror(errno)));
        return -1;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (read(fd, text, sizeof text - 1) < 0)
            text[0] = '\0';
        log_crit("already_running", "owner_pid=%lu run_dir=%s remedy=%s", strtoul(text, NULL, 10),
                 log_q(c->node.run_dir),
                 log_q("stop it with dray stop, or give this instance another node.run_dir"));
        *code = EXIT_CODE_TEMP;
        fd_close(&fd);
        return -1;
    }
    int n = snprintf(text, sizeof text, "%d\n", (int)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n)
        log_warn("lock_pid_not_written", "path=%s err=%s", log_q(path), log_q(strerror(errno)));
    *code = EXIT_CODE_OK;
    return fd;
}

int lock_identity(const struct conf *c, char *node, uint64_t *run)
{
    char path[PATH_MAX], temp[PATH_MAX], *text = NULL;
    size_t len;
    unsigned long long before = 0;
    conf_state_path(c, "node", path, sizeof path);
    conf_state_path(c, "node.tmp", temp, sizeof temp);
    if (fd_read_file(path, 256, &text, &len) < 0 || sscanf(text, "%36[0-9a-f-] %llu", node, &before) != 2 ||
        strlen(node) != UUID_SIZE - 1) {
        if (text != NULL)
            log_warn("node_file_replaced", "path=%s", log_q(path));
        id_uuid4(node);
        before = 0;
    }
    free(text);
    *run = before + 1;
    char line[96];
    int n = snprintf(line, sizeof line, "%s %llu\n", node, (unsigned long long)*run);
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (fd < 0 || fd_write_full(fd, line, (size_t)n) < 0 || fsync(fd) < 0 || rename(temp, path) < 0) {
        log_crit("node_file_failed", "path=%s err=%s remedy=%s", log_q(path), log_q(strerror(errno)),
                 log_q("node.state_dir must be writable and have room"));
        fd_close(&fd);
        return -1;
    }
    fd_close(&fd);
    return 0;
}
