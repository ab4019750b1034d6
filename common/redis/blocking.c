/* blocking - a plain connection for command line verbs. */
#include "common/redis/internal.h"

#include <stdio.h>
#include <sys/time.h>

#include "common/base/fd.h"

/* 0, or -1 with why filled in. */
static int expect_ok(redisContext *c, const char *what, int argc, const char **argv, char *why, size_t size)
{
    redisReply *reply = redisCommandArgv(c, argc, argv, NULL);
    if (reply == NULL) {
        snprintf(why, size, "%s: %s", what, c->errstr);
        return -1;
    }
    int rc = reply->type == REDIS_REPLY_ERROR ? -1 : 0;
    if (rc < 0)
        snprintf(why, size, "%s: %s", what, reply->str);
    freeReplyObject(reply);
    return rc;
}

static int greet(redisContext *c, const struct redis_target *t, char *why, size_t size)
{
    if (*t->username != '\0') {
        const char *argv[] = {"AUTH", t->username, t->password};
        if (expect_ok(c, "AUTH", 3, argv, why, size) < 0)
            return -1;
    } else if (*t->password != '\0') {
        const char *argv[] = {"AUTH", t->password};
        if (expect_ok(c, "AUTH", 2, argv, why, size) < 0)
            return -1;
    }
    char db[16];
    snprintf(db, sizeof db, "%d", t->db);
    const char *select[] = {"SELECT", db};
    return expect_ok(c, "SELECT", 2, select, why, size);
}

struct redisContext *redis_connect_blocking(const char *url, const char *username, const char *password,
                                            uint64_t timeout_ms, char *why, size_t why_size)
{
    struct redis_target t;
    if (redis_target_parse(&t, url, username, password, why, why_size) < 0)
        return NULL;
    struct timeval tv = {(time_t)(timeout_ms / 1000), (suseconds_t)(timeout_ms % 1000) * 1000};
    redisContext *c = t.host != NULL ? redisConnectWithTimeout(t.host, t.port, tv)
                                     : redisConnectUnixWithTimeout(t.path, tv);
    int rc = -1;
    if (c == NULL || c->err != 0) {
        snprintf(why, why_size, "%s", c != NULL ? c->errstr : "out of memory");
    } else {
        fd_set_cloexec(c->fd, true);
        redisSetTimeout(c, tv);
        rc = greet(c, &t, why, why_size);
    }
    redis_target_fini(&t);
    if (rc == 0)
        return c;
    if (c != NULL)
        redisFree(c);
    return NULL;
}
