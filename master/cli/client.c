/* client - see client.h. */
#include "master/cli/client.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/addr.h"
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/fd.h"
#include "common/base/str.h"

#define CONNECT_TIMEOUT_MS 2000

static int no_socket(const char *path, int error, bool quiet)
{
    int code = error == ENOENT || error == ECONNREFUSED ? EXIT_CODE_NOT_RUNNING
               : error == EACCES || error == EPERM      ? EXIT_CODE_NOPERM
                                                        : EXIT_CODE_UNREACHABLE;
    if (quiet)
        return code;
    if (code == EXIT_CODE_NOT_RUNNING)
        fprintf(
            stderr,
            "dray: not running (nothing answers at %s); start it with dray run, or name another with -c or -s\n",
            path);
    else if (code == EXIT_CODE_NOPERM)
        fprintf(stderr, "dray: %s: permission denied; run as the user that dray runs as\n", path);
    else
        fprintf(stderr, "dray: %s: %s\n", path, strerror(error));
    return code;
}

int client_connect_path(const char *path, bool quiet, struct client *c)
{
    *c = (struct client){.fd = -1, .quiet = quiet};
    if (str_copy(c->path, path, sizeof c->path) >= sizeof c->path)
        return no_socket(path, ENAMETOOLONG, quiet);
    char text[CLIENT_PATH_MAX + 8];
    snprintf(text, sizeof text, "unix:%s", path);
    struct addr a;
    if (addr_parse(text, &a) != 0 || (c->fd = addr_connect(&a, CONNECT_TIMEOUT_MS)) < 0)
        return no_socket(path, errno, quiet);
    struct ucred cred;
    socklen_t len = sizeof cred;
    if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0)
        c->master = cred.pid;
    return EXIT_CODE_OK;
}

int client_find(const struct cli *o, char path[CLIENT_PATH_MAX])
{
    enum exitcode code;
    if (o->socket != NULL && str_copy(path, o->socket, CLIENT_PATH_MAX) >= CLIENT_PATH_MAX)
        return no_socket(o->socket, ENAMETOOLONG, false);
    if (o->socket != NULL)
        return EXIT_CODE_OK;
    struct conf *conf = cli_load_conf(o, &code);
    if (conf == NULL)
        return (int)code;
    conf_run_path(conf, "control.sock", path, CLIENT_PATH_MAX);
    conf_free(conf);
    return EXIT_CODE_OK;
}

int client_connect(const struct cli *o, struct client *c)
{
    char path[CLIENT_PATH_MAX];
    int code = client_find(o, path);
    return code != EXIT_CODE_OK ? code : client_connect_path(path, false, c);
}

void client_close(struct client *c)
{
    fd_close(&c->fd);
}

static int wait_for(int fd, short events, uint64_t until_ms)
{
    for (;;) {
        uint64_t now = clock_mono_ms();
        struct pollfd p = {.fd = fd, .events = events};
        int n = poll(&p, 1, now >= until_ms ? 0 : until_ms - now > INT_MAX ? INT_MAX : (int)(until_ms - now));
        if (n > 0)
            return 0;
        if (n == 0) {
            errno = ETIMEDOUT;
            return -1;
        }
        if (errno != EINTR)
            return -1;
    }
}

static int send_line(int fd, const char *line, size_t len, uint64_t until_ms)
{
    while (len > 0) {
        ssize_t n = send(fd, line, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            line += n;
            len -= (size_t)n;
        } else if (n < 0 && errno == EAGAIN) {
            if (wait_for(fd, POLLOUT, until_ms) != 0)
                return -1;
        } else if (errno != EINTR) {
            return -1;
        }
    }
    return 0;
}

/* Reads up to the first newline; what stands there without it at EOF is cut off. */
static int read_line(int fd, struct buf *in, uint64_t until_ms)
{
    for (;;) {
        if (wait_for(fd, POLLIN, until_ms) != 0 || buf_reserve(in, 65536) != 0)
            return -1;
        ssize_t n = recv(fd, in->data + in->len, 65536, MSG_DONTWAIT);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0)
            return -1;
        if (n == 0) {
            errno = ECONNRESET;
            return -1;
        }
        const char *end = memchr(in->data + in->len, '\n', (size_t)n);
        in->len += (size_t)n;
        if (end != NULL) {
            in->len = (size_t)(end - in->data);
            return 0;
        }
    }
}

/* The answer's own verdict. */
static int judge(const struct client *c, json_t *answer)
{
    if (json_is_true(json_object_get(answer, "ok")))
        return EXIT_CODE_OK;
    const char *text = json_string_value(json_object_get(answer, "error"));
    size_t len = text != NULL ? strlen(text) : 0;
    if (!c->quiet)
        fprintf(stderr, "dray: %s%s", text != NULL ? text : "refused without a reason",
                len > 0 && text[len - 1] == '\n' ? "" : "\n");
    int code = (int)json_integer_value(json_object_get(answer, "code"));
    return code > 0 && code < 256 ? code : EXIT_CODE_FAILURE;
}

enum how { HOW_SOON, HOW_PATIENT, HOW_WHOLE };

static int ask(struct client *c, json_t *request, uint64_t timeout_ms, enum how how, json_t **answer)
{
    *answer = NULL;
    char *line = json_dumps(request, JSON_COMPACT);
    json_decref(request);
    struct buf in;
    buf_init(&in, CLIENT_ANSWER_MAX);
    uint64_t until_ms = clock_mono_ms() + timeout_ms;
    int code = EXIT_CODE_UNREACHABLE;
    if (line == NULL || send_line(c->fd, line, strlen(line), until_ms) != 0 ||
        send_line(c->fd, "\n", 1, until_ms) != 0 || read_line(c->fd, &in, until_ms) != 0) {
        bool closed = errno == ECONNRESET || errno == EPIPE; /* so it sends away other users */
        if (how != HOW_SOON && errno == ETIMEDOUT)
            code = EXIT_CODE_TEMP;
        else if (!c->quiet)
            fprintf(stderr, "dray: %s does not answer: %s%s\n", c->path, strerror(errno),
                    closed ? " (it serves root and the user that dray runs as)" : "");
    } else if ((*answer = json_loadb(in.data, in.len, 0, NULL)) == NULL) {
        if (!c->quiet)
            fprintf(stderr, "dray: %s gave an answer that is not JSON\n", c->path);
    } else if (how == HOW_WHOLE) {
        code = EXIT_CODE_OK;
    } else if ((code = judge(c, *answer)) != EXIT_CODE_OK) {
        json_decref(*answer);
        *answer = NULL;
    }
    free(line);
    buf_fini(&in);
    return code;
}

int client_ask(struct client *c, json_t *request, json_t **answer)
{
    return ask(c, request, CLIENT_TIMEOUT_MS, HOW_SOON, answer);
}

int client_ask_within(struct client *c, json_t *request, uint64_t timeout_ms, json_t **answer)
{
    return ask(c, request, timeout_ms, HOW_PATIENT, answer);
}

int client_ask_whole(struct client *c, json_t *request, uint64_t timeout_ms, json_t **answer)
{
    return ask(c, request, timeout_ms, HOW_WHOLE, answer);
}

int client_request(const struct cli *o, json_t *request, json_t **answer)
{
    struct client c;
    *answer = NULL;
    int code = client_connect(o, &c);
    if (code != EXIT_CODE_OK) {
        json_decref(request);
        return code;
    }
    code = client_ask(&c, request, answer);
    client_close(&c);
    return code;
}
