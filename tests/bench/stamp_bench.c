/* stamp_bench - the trivial program of the supervisor benchmark: tells a datagram socket when it runs, and waits.
 *
 * usage: stamp_bench SOCKET    sends "PID MONOTONIC_US"; without SOCKET: to the one that STAMP_SOCKET names
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/str.h"

int main(int argc, char **argv)
{
    unsigned long long now_us = clock_mono_us(); /* first of all: this is what is measured */
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    char text[64];
    const char *path = argc == 2 ? argv[1] : getenv("STAMP_SOCKET");
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (path == NULL || fd < 0 || str_copy(sa.sun_path, path, sizeof sa.sun_path) >= sizeof sa.sun_path)
        return 64;
    int n = snprintf(text, sizeof text, "%d %llu", (int)getpid(), now_us);
    if (sendto(fd, text, (size_t)n, 0, (struct sockaddr *)&sa, sizeof sa) < 0)
        return 69;
    for (;;)
        pause();
}
