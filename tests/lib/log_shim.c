/* Loaded into dray (LD_PRELOAD): what is written to one file goes as the test says. The environment's LOG_SHIM names a
 * control file; its first word is the path of the file concerned, the second "ok", "slow" (with milliseconds a write) or
 * "fail" (with an errno). */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static ssize_t (*real_write)(int, const void *, size_t);

__attribute__((constructor)) static void start(void)
{
    real_write = (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
}

static int is_it(int fd, const char *path)
{
    struct stat a, b;
    return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

ssize_t write(int fd, const void *data, size_t len)
{
    const char *control = getenv("LOG_SHIM");
    char text[512], path[400], how[16] = "ok";
    int number = 0, saved = errno, in = fd > 2 && control != NULL ? open(control, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t n = in >= 0 ? read(in, text, sizeof text - 1) : 0;
    if (in >= 0)
        close(in);
    if (n > 0) {
        text[n] = '\0';
        if (sscanf(text, "%399s %15s %d", path, how, &number) >= 2 && is_it(fd, path)) {
            if (strcmp(how, "slow") == 0)
                usleep((useconds_t)number * 1000);
            if (strcmp(how, "fail") == 0) {
                errno = number;
                return -1;
            }
        }
    }
    errno = saved;
    return real_write(fd, data, len);
}
