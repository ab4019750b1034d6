/* Loaded into dray (LD_PRELOAD): a resolver of the test's own. "slow.test" takes DNS_SHIM_MS and is 127.0.0.1;
 * "silent.test" takes 60 s; "missing.test" does not exist; "flaky.test" fails for now. All else goes to the system. */
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

static void wait_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    (void)nanosleep(&t, NULL);
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **res)
{
    __typeof__(&getaddrinfo) real = (__typeof__(&getaddrinfo))dlsym(RTLD_NEXT, "getaddrinfo");
    const char *ms = getenv("DNS_SHIM_MS");
    if (node != NULL && strcmp(node, "missing.test") == 0)
        return EAI_NONAME;
    if (node != NULL && strcmp(node, "flaky.test") == 0)
        return EAI_AGAIN;
    if (node != NULL && (strcmp(node, "slow.test") == 0 || strcmp(node, "silent.test") == 0)) {
        wait_ms(strcmp(node, "slow.test") == 0 ? ms != NULL ? atol(ms) : 1000 : 60000);
        node = "127.0.0.1";
    }
    return real(node, service, hints, res);
}
