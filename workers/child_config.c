/* child_config - the configuration as the master hands it over: a sealed memfd of a told length and digest. */
#include "workers/child_int.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "common/base/fd.h"
#include "common/base/log.h"

#define CONFIG_MAX (16u << 20)
#define ERRORS_MAX (64u << 10)
#define SEALS      (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static const char *what_is_wrong(int fd, uint64_t length)
{
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS)
        return "not sealed";
    if (fstat(fd, &st) < 0 || st.st_size <= 0 || (uint64_t)st.st_size != length)
        return "not of the length told";
    if (length > CONFIG_MAX)
        return "too long";
    return NULL;
}

static void tell(struct buf *errors)
{
    char *save = NULL;
    for (char *line = strtok_r((char *)(uintptr_t)buf_cstr(errors), "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save))
        log_crit("config_invalid", "msg=%s", log_q(line));
}

static enum exitcode parse(const char *text, size_t len, const unsigned char *sha256, struct conf **out)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)text, len, digest);
    if (memcmp(digest, sha256, sizeof digest) != 0) {
        log_crit("config_broken", "reason=%s", log_q("not of the digest told"));
        return EXIT_CODE_PROTOCOL;
    }
    struct buf errors;
    buf_init(&errors, ERRORS_MAX);
    int bad = conf_parse_dump(text, len, out, &errors);
    if (bad != 0)
        tell(&errors);
    buf_fini(&errors);
    /* The master has checked this very text: what failed is this process, and the next one may do better. */
    return bad != 0 ? EXIT_CODE_OSERR : EXIT_CODE_OK;
}

enum exitcode child_config_read(int fd, uint64_t length, const unsigned char sha256[32], struct conf **out)
{
    const char *wrong = what_is_wrong(fd, length);
    if (wrong != NULL) {
        log_crit("config_broken", "reason=%s", log_q(wrong));
        fd_close(&fd);
        return EXIT_CODE_PROTOCOL;
    }
    size_t len = (size_t)length; /* the seals keep it that long: no SIGBUS */
    void *text = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0);
    int error = errno;
    fd_close(&fd);
    if (text == MAP_FAILED) {
        log_crit("config_unreadable", "error=%s", log_q(strerror(error)));
        return EXIT_CODE_OSERR;
    }
    enum exitcode code = parse(text, len, sha256, out);
    (void)munmap(text, len);
    return code;
}
