/* script - the registered Lua scripts: loaded first on every connection, called by SHA-1. */
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

int redis_load_scripts(struct redis *r, redis_reply_fn fn, void *arg)
{
    for (size_t i = 0; i < registry.n; i++) {
        const char *argv[] = {"SCRIPT", "LOAD", registry.scripts[i]->text};
        if (redis_send(r, fn, arg, 3, argv, NULL) < 0)
            return -1;
    }
    return 0;
}
