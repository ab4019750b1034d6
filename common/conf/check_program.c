/* check_program - the rules of the list programs: what can be known to fail is told before anything is started. */
#include "common/conf/internal.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/exec.h"
#include "common/base/str.h"

static const char list[] = "programs";

struct subject {
    struct conf_layers *l;
    const struct conf *c;
    const struct conf_program *it;
    size_t i;
};

static void tell(const struct subject *s, const char *row, const char *what)
{
    conf_check_tell(s->l, list, s->it->id, s->i, row, what);
}

static void check_command(const struct subject *s, const char *row, char *const *command)
{
    char path[PATH_MAX], what[512];
    const char *name = command[0];
    if (name == NULL) {
        tell(s, row, "must name a program, as in [\"/usr/bin/stunnel\", \"/etc/stunnel/redis.conf\"]");
        return;
    }
    if (strchr(name, '/') != NULL && name[0] != '/') {
        tell(s, row, "the program must be an absolute path, or a bare name that is found in PATH");
        return;
    }
    if (exec_find(name, path, sizeof path) == 0)
        return;
    snprintf(what, sizeof what, "%.200s: %s", name,
             errno == ENOENT && name[0] != '/' ? "no such program in PATH" : strerror(errno));
    tell(s, row, what);
}

static void check_user(const struct subject *s)
{
    const struct conf_program *it = s->it;
    errno = 0;
    const struct passwd *pw = it->user[0] != '\0' ? getpwnam(it->user) : NULL;
    if (it->user[0] != '\0' && pw == NULL)
        tell(s, "user", "this host has no such user");
    else if (pw != NULL && geteuid() != 0 && pw->pw_uid != geteuid())
        tell(s, "user", "only root may run a program as another user");
    const struct group *gr = it->group[0] != '\0' ? getgrnam(it->group) : NULL;
    if (it->group[0] != '\0' && gr == NULL)
        tell(s, "group", "this host has no such group");
    else if (gr != NULL && geteuid() != 0 && gr->gr_gid != getegid())
        tell(s, "group", "only root may run a program with another group");
}

static void check_surroundings(const struct subject *s)
{
    const struct conf_program *it = s->it;
    struct stat st;
    if (it->directory[0] != '\0' && it->directory[0] != '/')
        tell(s, "directory", "must be an absolute path");
    else if (it->directory[0] != '\0' && (stat(it->directory, &st) != 0 || !S_ISDIR(st.st_mode)))
        tell(s, "directory", "there is no such folder");
    for (char *const *v = it->environment; *v != NULL; v++)
        if (strchr(*v, '=') == NULL || (*v)[0] == '=')
            tell(s, "environment", "each word must be NAME=value");
    size_t len = strlen(it->umask);
    if (len > 0 && (len < 3 || len > 4 || it->umask[strspn(it->umask, "01234567")] != '\0' ||
                    (len == 4 && it->umask[0] != '0')))
        tell(s, "umask", "expected octal permissions such as \"0027\"");
}

static void check_ready(const struct subject *s)
{
    const struct conf_program *it = s->it;
    char address[256];
    switch ((enum conf_ready)it->ready_type) {
    case CONF_READY_TCP:
        if (str_starts(it->ready_address, "unix:"))
            tell(s, "ready.address", "is for type unix, without \"unix:\"");
        else
            tell(s, "ready.address",
                 it->ready_address[0] == '\0' ? "type tcp needs one, as in 127.0.0.1:6390"
                                              : conf_check_address(it->ready_address));
        break;
    case CONF_READY_UNIX:
        snprintf(address, sizeof address, "unix:%.200s", it->ready_address);
        tell(s, "ready.address",
             it->ready_address[0] == '\0' ? "type unix needs the path of a socket"
                                          : conf_check_address(address));
        break;
    case CONF_READY_COMMAND:
        check_command(s, "ready.command", it->ready_command);
        break;
    case CONF_READY_NONE:
    case CONF_READY_NOTIFY:
    case CONF_READY_FD:
        break;
    }
    if (it->ready_address[0] != '\0' && it->ready_type != CONF_READY_TCP && it->ready_type != CONF_READY_UNIX)
        tell(s, "ready.address", "has a meaning only with ready.type tcp or unix");
    if (it->ready_command[0] != NULL && it->ready_type != CONF_READY_COMMAND)
        tell(s, "ready.command", "has a meaning only with ready.type command");
    if (it->health_interval_ms > 0 && (it->ready_type == CONF_READY_NONE || it->ready_type == CONF_READY_FD))
        tell(s, "health.interval", "needs a question to ask: a ready.type of tcp, unix, command or notify");
}

static void check_end(const struct subject *s)
{
    const struct conf_program *it = s->it;
    for (char *const *w = it->success_codes; *w != NULL; w++) {
        uint64_t code;
        if (str_parse_u64(*w, &code) != 0 || code > 255)
            tell(s, "success_codes", "each must be an exit code from 0 to 255");
    }
}

static void check_id(const struct subject *s)
{
    const char *id = s->it->id;
    tell(s, "id", conf_check_id(id));
    if (s->c->redis.mode == CONF_REDIS_MANAGED && strcmp(id, "redis") == 0)
        tell(s, "id", "is the name of the managed Redis; take another");
    for (size_t j = 0; j < s->i; j++)
        if (strcmp(s->c->programs[j].id, id) == 0)
            tell(s, "id", "another program has the same id");
}

void conf_check_programs(struct conf_layers *l, const struct conf *c)
{
    for (size_t i = 0; i < c->n_programs; i++) {
        const struct subject s = {l, c, &c->programs[i], i};
        check_id(&s);
        if (i == CONF_PROGRAMS_MAX)
            tell(&s, "id", "at most 64 programs are supervised");
        check_command(&s, "command", s.it->command);
        check_user(&s);
        check_surroundings(&s);
        check_ready(&s);
        check_end(&s);
    }
}
