/* script - the registered Lua scripts: loaded before a connection is used, called by SHA-1. */
#include "common/redis/internal.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "common/base/fatal.h"

#define SCRIPTS_MAX 64

static struct {
    const struct redis_script *scripts[SCRIPTS_MAX];
    size_t n;
} registry;

void redis_script_register(struct redis_script *s)
{
    for (size_t i = 0; i < registry.n; i++)
        if (registry.scripts[i] == s)
            return;
    ASSERT(registry.n < SCRIPTS_MAX);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (EVP_Digest(s->text, strlen(s->text), digest, &len, EVP_sha1(), NULL) != 1 || len != 20)
        fatal(EXIT_CODE_OSERR, "SHA-1 is not available in OpenSSL; Redis scripts are named by it");
    for (size_t i = 0; i < 20; i++)
        snprintf(s->sha1 + 2 * i, 3, "%02x", digest[i]);
    registry.scripts[registry.n++] = s;
}

int redis_ask_scripts(struct redis *r, redis_reply_fn fn, void *arg)
{
    const char *argv[2 + SCRIPTS_MAX] = {"SCRIPT", "EXISTS"};
    for (size_t i = 0; i < registry.n; i++)
        argv[2 + i] = registry.scripts[i]->sha1;
    return redis_send(r, fn, arg, (int)(2 + registry.n), argv, NULL);
}

int redis_load_missing(struct redis *r, const struct redisReply *there, redis_reply_fn fn, void *arg)
{
    bool known = there->type == REDIS_REPLY_ARRAY && there->elements == registry.n;
    for (size_t i = 0; i < registry.n; i++) {
        const char *argv[] = {"SCRIPT", "LOAD", registry.scripts[i]->text};
        if (known && there->element[i]->type == REDIS_REPLY_INTEGER && there->element[i]->integer == 1)
            continue;
        if (redis_send(r, fn, arg, 3, argv, NULL) < 0)
            return -1;
    }
    return 0;
}

size_t redis_count_scripts(void)
{
    return registry.n;
}

int redis_load_scripts(struct redis *r, redis_reply_fn fn, void *arg)
{
    for (size_t i = 0; i < registry.n; i++) {
        const char *argv[] = {"SCRIPT", "LOAD", registry.scripts[i]->text};
        if (redis_send(r, fn, arg, 3, argv, NULL) < 0)
            return -1;
    }
    return 0;
}
