/* secret - values that stand elsewhere: ${env:X}, ${env:X:-default}, ${file:path}, as the whole of a value.
 *
 * What they stand for is taken as it is: it is never expanded again, and never shown. */
#include "common/conf/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#define SECRET_MAX 4096 /* bytes of a secret file */

static bool is_denied(int error)
{
    return error == EACCES || error == EPERM;
}

static char *read_text(const char *path, size_t max, size_t *len)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return NULL;
    if (!S_ISREG(st.st_mode)) { /* opening a FIFO would wait for a writer */
        errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
        return NULL;
    }
    char *text;
    if (fd_read_file(path, max, &text, len) < 0)
        return NULL;
    if (strlen(text) != *len) {
        explicit_bzero(text, *len);
        free(text);
        errno = EILSEQ;
        return NULL;
    }
    return text;
}

static char *read_secret(const char *path)
{
    size_t len;
    char *text = read_text(path, SECRET_MAX, &len);
    if (text == NULL)
        return NULL;
    if (len > 0 && text[len - 1] == '\n')
        text[--len] = '\0';
    if (len > 0 && text[len - 1] == '\r')
        text[--len] = '\0';
    return text;
}

static char *read_named(struct conf_reader *r, const struct conf_place *at, const char *name, bool whole)
{
    char *path = name[0] == '/' || r->folder == NULL ? xstrdup(name) : xasprintf("%s/%s", r->folder, name);
    size_t len;
    char *text = whole ? read_text(path, CONF_FILE_TEXT_MAX, &len) : read_secret(path);
    int error = errno;
    const char *what = whole ? "file" : "secret file";
    if (text == NULL && is_denied(error)) {
        r->denied++;
        conf_fault(r, at, "cannot read the %s %s: %s; make it readable for the user that runs dray (uid %u)",
                   what, path, strerror(error), (unsigned)geteuid());
    } else if (text == NULL) {
        conf_fault(r, at, "cannot read the %s %s: %s; create it, or correct the path", what, path,
                   error == EFBIG    ? (whole ? "it is bigger than 512 KiB" : "it is bigger than 4096 bytes")
                   : error == EILSEQ ? "it holds a NUL byte"
                   : error == EINVAL ? "it is not a regular file"
                                     : strerror(error));
    }
    free(path);
    return text;
}

char *conf_secret_read(struct conf_reader *r, const struct conf_place *at, const char *name)
{
    return name[0] == '\0' ? xstrdup("") : read_named(r, at, name, true);
}

static bool is_variable(const char *name)
{
    return name[0] != '\0' &&
           name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")] == '\0';
}

static char *expand_env(struct conf_reader *r, const struct conf_place *at, const char *inside)
{
    const char *fallback = strstr(inside, ":-");
    char *name = fallback != NULL ? xstrndup(inside, (size_t)(fallback - inside)) : xstrdup(inside);
    const char *value = getenv(name);
    char *out = NULL;
    if (!is_variable(name))
        conf_fault(r, at, "${env:NAME} must be the whole value, and NAME a variable's name");
    else if (fallback != NULL)
        out = xstrdup(value != NULL && value[0] != '\0' ? value : fallback + 2);
    else if (value != NULL)
        out = xstrdup(value);
    else
        conf_fault(r, at,
                   "the environment variable %s is not set; set it, or give a default: ${env:%s:-default}",
                   name, name);
    free(name);
    return out;
}

char *conf_secret_expand(struct conf_reader *r, const struct conf_place *at, const char *text, bool *expanded)
{
    *expanded = r->expand && strstr(text, "${") != NULL;
    if (!*expanded)
        return xstrdup(text);
    bool env = str_starts(text, "${env:"), file = str_starts(text, "${file:"), whole = str_ends(text, "}");
    if (!(env || file) || !whole) {
        /* "${" inside a password is only that, unless it looks like one of our forms. */
        if (strstr(text, "${env:") != NULL || strstr(text, "${file:") != NULL)
            conf_fault(r, at,
                       "${...} must be the whole value; put the complete text into the variable or file");
        else if (str_starts(text, "${") && whole)
            conf_fault(r, at,
                       "unknown form of ${...}; use ${env:NAME}, ${env:NAME:-default} or ${file:/path}");
        else
            return xstrdup(text);
        return NULL;
    }
    size_t front = strlen(env ? "${env:" : "${file:");
    char *inside = xstrndup(text + front, strlen(text) - front - 1);
    char *out = env ? expand_env(r, at, inside) : read_named(r, at, inside, false);
    free(inside);
    return out;
}
