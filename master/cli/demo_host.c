/* demo_host - see demo_host.h. */
#include "master/cli/demo_host.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/addr.h"
#include "common/base/clock.h"
#include "common/base/exitcode.h"
#include "common/base/fd.h"
#include "common/base/str.h"
#include "master/cli/cli.h"
#include "master/cli/client.h"

#define STOP_RUN_MS  40000
#define STOP_SINK_MS 5000
#define ANSWER_MS    2000
#define ANSWER_MAX   65536
#define LOG_TAIL     4000

/* Starts this very program with other arguments, in a process group of its own: Ctrl-C is for the demo, which ends
 * the others in order. out_fd: its stdout, or -1; log: the file behind its stderr (and stdout). */
static int start(pid_t *pid, char *const argv[], int out_fd, const char *log)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t all;
    sigfillset(&all);
    if ((errno = posix_spawn_file_actions_init(&files)) != 0)
        return -1;
    if ((errno = posix_spawnattr_init(&attr)) != 0) {
        posix_spawn_file_actions_destroy(&files);
        return -1;
    }
    int e = 0;
    if ((e = posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0)) == 0 &&
        (e = posix_spawn_file_actions_addopen(&files, STDERR_FILENO, log, O_WRONLY | O_CREAT | O_APPEND,
                                              0600)) == 0 &&
        (e = posix_spawn_file_actions_adddup2(&files, out_fd >= 0 ? out_fd : STDERR_FILENO, STDOUT_FILENO)) ==
            0 &&
        (e = posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1)) == 0 &&
        (e = posix_spawnattr_setsigdefault(&attr, &all)) == 0 &&
        (e = posix_spawnattr_setpgroup(&attr, 0)) == 0 &&
        (e = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF)) == 0)
        e = posix_spawn(pid, CLI_SELF, &files, &attr, argv, environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    errno = e;
    return e == 0 ? 0 : -1;
}

/* The first line a child prints, within 10 s. */
static int read_first_line(int fd, char *dst, size_t size)
{
    size_t n = 0;
    uint64_t until_ms = clock_mono_ms() + 10000;
    while (n + 1 < size) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        uint64_t now = clock_mono_ms();
        int r = poll(&p, 1, now >= until_ms ? 0 : (int)(until_ms - now));
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0 || read(fd, dst + n, 1) != 1)
            return -1;
        if (dst[n] == '\n') {
            dst[n] = '\0';
            return 0;
        }
        n++;
    }
    return -1;
}

static void print_log_tail(const char *path)
{
    char *text;
    size_t len;
    if (fd_read_file(path, 64u << 20, &text, &len) != 0)
        return;
    const char *tail = len > LOG_TAIL ? text + len - LOG_TAIL : text;
    fputs(tail, stderr);
    free(text);
}

static int start_sink(struct demo_host *h)
{
    static const char intro[] = "listening on ";
    int out[2];
    char line[256];
    char *const argv[] = {"dray", "sink", "--listen", "127.0.0.1:0", "--record", h->record, NULL};
    if (pipe2(out, O_CLOEXEC) != 0 || start(&h->sink, argv, out[1], h->log) != 0) {
        fprintf(stderr, "dray demo: the sink cannot be started: %s\n", strerror(errno));
        return EXIT_CODE_OSERR;
    }
    fd_close(&out[1]);
    int r = read_first_line(out[0], line, sizeof line);
    fd_close(&out[0]);
    if (r != 0 || !str_starts(line, intro)) {
        fprintf(stderr, "dray demo: the sink does not listen\n");
        print_log_tail(h->log);
        return EXIT_CODE_FAILURE;
    }
    str_copy(h->sink_url, line + sizeof intro - 1, sizeof h->sink_url);
    return EXIT_CODE_OK;
}

static int start_run(struct demo_host *h)
{
    char run_dir[DEMO_HOST_PATH + 32], state_dir[DEMO_HOST_PATH + 32], to[DEMO_HOST_URL + 16];
    snprintf(run_dir, sizeof run_dir, "node.run_dir=%s/run", h->dir);
    snprintf(state_dir, sizeof state_dir, "node.state_dir=%s/lib", h->dir);
    snprintf(to, sizeof to, "%s/v1/batch", h->sink_url);
    char *const argv[] = {"dray",  "run",
                          "--to",  to,
                          "--set", run_dir,
                          "--set", state_dir,
                          "--set", "console.address=127.0.0.1:0",
                          "--set", "ingest.listeners=[{id: demo, address: \"127.0.0.1:0\"}]",
                          "--set", "master.processes.delivery=2",
                          NULL};
    if (start(&h->run, argv, -1, h->log) == 0)
        return EXIT_CODE_OK;
    fprintf(stderr, "dray demo: dray cannot be started: %s\n", strerror(errno));
    return EXIT_CODE_OSERR;
}

int demo_host_start(struct demo_host *h)
{
    const char *tmp = getenv("TMPDIR");
    *h = (struct demo_host){0};
    int n = snprintf(h->dir, sizeof h->dir - 32, "%s/dray-demo.XXXXXX",
                     tmp != NULL && *tmp != '\0' ? tmp : "/tmp");
    if (n < 0 || (size_t)n >= sizeof h->dir - 32 || mkdtemp(h->dir) == NULL) {
        fprintf(stderr, "dray demo: no folder for it: %s: %s\n", h->dir, strerror(errno));
        h->dir[0] = '\0';
        return EXIT_CODE_IOERR;
    }
    snprintf(h->log, sizeof h->log, "%.220s/dray.log", h->dir);
    snprintf(h->record, sizeof h->record, "%.220s/received.jsonl", h->dir);
    snprintf(h->socket, sizeof h->socket, "%.220s/run/control.sock", h->dir);
    int code = start_sink(h);
    return code != EXIT_CODE_OK ? code : start_run(h);
}

static json_t *ask_status(const struct demo_host *h)
{
    struct client c;
    json_t *answer = NULL;
    if (client_connect_path(h->socket, true, &c) == EXIT_CODE_OK) {
        (void)client_ask(&c, json_pack("{s:s}", "verb", "status"), &answer);
        client_close(&c);
    }
    return answer;
}

int demo_host_ready(struct demo_host *h)
{
    int status;
    if (waitpid(h->run, &status, WNOHANG) == h->run) {
        fprintf(stderr, "dray demo: dray has ended; its log says:\n");
        print_log_tail(h->log);
        h->run = 0;
        return WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : EXIT_CODE_FAILURE;
    }
    json_t *s = ask_status(h);
    const char *ingest = json_string_value(json_object_get(json_object_get(s, "ingest"), "address"));
    const char *console = json_string_value(json_object_get(s, "console"));
    int code = CLI_GO_ON;
    if (json_is_true(json_object_get(s, "ready")) && ingest != NULL) {
        snprintf(h->ingest_url, sizeof h->ingest_url, "http://%s", ingest);
        snprintf(h->console_url, sizeof h->console_url, "http://%s", console != NULL ? console : "");
        code = EXIT_CODE_OK;
    }
    json_decref(s);
    return code;
}

pid_t demo_host_worker(const struct demo_host *h, const char *kind, uint64_t *boot_ms)
{
    json_t *s = ask_status(h), *process;
    pid_t pid = 0;
    size_t i;
    json_array_foreach(json_object_get(s, "processes"), i, process)
    {
        const char *k = json_string_value(json_object_get(process, "kind"));
        const char *state = json_string_value(json_object_get(process, "state"));
        if (k == NULL || state == NULL || strcmp(k, kind) != 0 || strcmp(state, "up") != 0 ||
            json_integer_value(json_object_get(process, "slot")) != 0)
            continue;
        pid = (pid_t)json_integer_value(json_object_get(process, "pid"));
        *boot_ms = (uint64_t)json_integer_value(json_object_get(process, "boot_ms"));
    }
    json_decref(s);
    return pid;
}

json_t *demo_host_counts(const struct demo_host *h)
{
    static const char question[] = "GET /stats HTTP/1.1\r\nHost: sink\r\nConnection: close\r\n\r\n";
    struct addr a;
    char text[ANSWER_MAX];
    size_t n = 0;
    if (!str_starts(h->sink_url, "http://") || addr_parse(h->sink_url + 7, &a) != 0)
        return NULL;
    int fd = addr_connect(&a, ANSWER_MS);
    if (fd < 0)
        return NULL;
    if (send(fd, question, sizeof question - 1, MSG_NOSIGNAL) == (ssize_t)sizeof question - 1)
        while (n + 1 < sizeof text) {
            struct pollfd p = {.fd = fd, .events = POLLIN};
            ssize_t got = poll(&p, 1, ANSWER_MS) == 1 ? recv(fd, text + n, sizeof text - 1 - n, 0) : 0;
            if (got <= 0)
                break;
            n += (size_t)got;
        }
    fd_close(&fd);
    text[n] = '\0';
    const char *body = strstr(text, "\r\n\r\n");
    return body != NULL ? json_loads(body + 4, JSON_DISABLE_EOF_CHECK, NULL) : NULL;
}

static void end(pid_t *pid, uint64_t timeout_ms)
{
    if (*pid <= 0)
        return;
    (void)kill(*pid, SIGTERM);
    uint64_t until_ms = clock_mono_ms() + timeout_ms;
    while (waitpid(*pid, NULL, WNOHANG) == 0) {
        if (clock_mono_ms() >= until_ms) {
            fprintf(stderr, "dray demo: pid %d does not end; killed\n", (int)*pid);
            (void)kill(*pid, SIGKILL);
            (void)waitpid(*pid, NULL, 0);
            break;
        }
        (void)poll(NULL, 0, 5);
    }
    *pid = 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void demo_host_stop(struct demo_host *h)
{
    end(&h->run, STOP_RUN_MS);
    end(&h->sink, STOP_SINK_MS);
    if (h->dir[0] != '\0' && nftw(h->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
        fprintf(stderr, "dray demo: %s cannot be removed: %s\n", h->dir, strerror(errno));
}
