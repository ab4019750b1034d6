/* paths - see paths.h. */
#include "workers/program/paths.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/exec.h"
#include "common/base/fd.h"
#include "common/base/log.h"

/* redis-server changes its directory: paths must not depend on ours. */
static int absolute_path(const char *path, char dst[LOCKFILE_PATH_MAX])
{
    char cwd[PATH_MAX];
    int n = path[0] == '/'                    ? snprintf(dst, LOCKFILE_PATH_MAX, "%s", path)
            : getcwd(cwd, sizeof cwd) != NULL ? snprintf(dst, LOCKFILE_PATH_MAX, "%s/%s", cwd, path)
                                              : -1;
    return n > 0 && n < LOCKFILE_PATH_MAX ? 0 : -1;
}

static int find_paths(struct program *p, const struct conf *conf)
{
    char path[LOCKFILE_PATH_MAX];
    char target[sizeof CONF_REDIS_SOCKET_OWN] = "";
    const char *socket = CONF_REDIS_SOCKET;
    if (readlink(conf_run_path(conf, socket, path, sizeof path), target, sizeof target - 1) > 0 &&
        strcmp(target, CONF_REDIS_SOCKET_OWN) == 0)
        socket = CONF_REDIS_SOCKET_OWN;
    if (absolute_path(conf_run_path(conf, socket, path, sizeof path), p->socket) != 0 ||
        absolute_path(conf_state_path(conf, "redis.lock", path, sizeof path), p->lock_path) != 0 ||
        absolute_path(conf_state_path(conf, conf->redis.managed_dir, path, sizeof path), p->dir) != 0 ||
        strlen(p->socket) >= sizeof((struct sockaddr_un *)0)->sun_path) {
        log_crit("redis_path_too_long", "socket=%s max=%zu remedy=%s", log_q(p->socket),
                 sizeof((struct sockaddr_un *)0)->sun_path - 1, log_q("a shorter node.run_dir"));
        return -1;
    }
    return 0;
}

enum exitcode paths_prepare(struct program *p, const struct conf *conf)
{
    if (exec_find(conf->redis.managed_binary, p->binary, sizeof p->binary) != 0) {
        log_crit(
            "redis_binary_missing", "binary=%s error=%s remedy=%s", log_q(conf->redis.managed_binary),
            log_q(strerror(errno)),
            log_q("apt-get install redis-server, or set redis.managed.binary, or redis.mode: standalone"));
        return EXIT_CODE_EXEC;
    }
    if (find_paths(p, conf) != 0)
        return EXIT_CODE_CONFIG;
    if (fd_make_dirs(p->dir, 0700) != 0 || (p->lock_fd = lockfile_open(p->lock_path)) < 0) {
        int code = errno == EACCES || errno == EPERM || errno == EROFS ? EXIT_CODE_NOPERM : EXIT_CODE_IOERR;
        log_crit("redis_dir_unusable", "dir=%s lock=%s error=%s", log_q(p->dir), log_q(p->lock_path),
                 log_q(strerror(errno)));
        return (enum exitcode)code;
    }
    server_arguments(&conf->redis, p->socket, p->dir, &p->args);
    return EXIT_CODE_OK;
}
