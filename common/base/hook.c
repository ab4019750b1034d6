/* hook - see hook.h. */
#include "common/base/hook.h"

#ifdef DRAY_TEST
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fd.h"

static void act(const char *word)
{
    if (strcmp(word, "kill") == 0)
        raise(SIGKILL);
    else if (strcmp(word, "stop") == 0)
        raise(SIGSTOP);
    else if (strcmp(word, "abort") == 0)
        abort();
    else if (strcmp(word, "spin") == 0)
        for (;;)
            (void)getppid();
}

void hook_at_data(const char *name, const void *data, size_t len)
{
    char path[4096], text[4096], word[16] = "", keep[16] = "";
    const char *dir = getenv("DRAY_TEST_HOOKS");
    int fd = -1;
    if (dir == NULL || snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path ||
        (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
        return;
    ssize_t n = read(fd, text, sizeof text - 1);
    fd_close(&fd);
    if (n <= 0)
        return;
    text[n] = '\0';
    const char *wanted = strchr(text, '\n');
    if (wanted != NULL && wanted[1] != '\0' &&
        (data == NULL || memmem(data, len, wanted + 1, strlen(wanted + 1)) == NULL))
        return;
    if (sscanf(text, "%15s %15s", word, keep) < 1)
        return;
    if (strcmp(keep, "keep") != 0 && unlink(path) < 0)
        return; /* another process was faster */
    act(word);
}

void hook_at(const char *name)
{
    hook_at_data(name, NULL, 0);
}

uint64_t hook_ms(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

const char *hook_executable(const char *otherwise)
{
    const char *path = getenv("DRAY_TEST_EXE");
    return path != NULL ? path : otherwise;
}
#endif
