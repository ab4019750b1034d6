/* conf_fixture - what the tests of the configuration share: a folder of their own, and loading a text as a file. */
#ifndef DRAY_TESTS_UNIT_CONF_FIXTURE_H
#define DRAY_TESTS_UNIT_CONF_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/str.h"
#include "common/conf/conf.h"
#include "common/conf/internal.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

struct fixture {
    char folder[64], file[96], secret[96];
    struct buf errors, warnings;
    struct conf *conf;
};

static inline void put_file(const char *path, const char *text, size_t len)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static inline int setup(void **state)
{
    struct fixture *t = calloc(1, sizeof *t);
    str_copy(t->folder, "/tmp/dray-conf-XXXXXX", sizeof t->folder);
    assert_non_null(mkdtemp(t->folder));
    snprintf(t->file, sizeof t->file, "%s/dray.yaml", t->folder);
    snprintf(t->secret, sizeof t->secret, "%s/secret", t->folder);
    buf_init(&t->errors, 1 << 20);
    buf_init(&t->warnings, 1 << 20);
    *state = t;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *t = *state;
    unlink(t->file);
    unlink(t->secret);
    rmdir(t->folder);
    buf_fini(&t->errors);
    buf_fini(&t->warnings);
    conf_free(t->conf);
    free(t);
    return 0;
}

static inline enum exitcode load(struct fixture *t, const char *text, const char *set)
{
    struct conf_override o = {set, "--set"};
    buf_reset(&t->errors);
    buf_reset(&t->warnings);
    conf_free(t->conf);
    t->conf = NULL;
    if (text != NULL)
        put_file(t->file, text, strlen(text));
    return conf_load(text != NULL ? t->file : NULL, &o, set != NULL ? 1 : 0, &t->conf, &t->errors,
                     &t->warnings);
}

static inline void expect_ok(struct fixture *t, const char *text, const char *set)
{
    enum exitcode code = load(t, text, set);
    if (code != EXIT_CODE_OK)
        fail_msg("%d:\n%s", code, buf_cstr(&t->errors));
    assert_non_null(t->conf);
    assert_int_equal(t->errors.len, 0);
}

static inline void expect_in(struct buf *b, const char *part)
{
    if (strstr(buf_cstr(b), part) == NULL)
        fail_msg("expected: %s\ngot: %s", part, buf_cstr(b));
}

static inline void expect_not_in(struct buf *b, const char *part)
{
    if (strstr(buf_cstr(b), part) != NULL)
        fail_msg("not expected: %s\ngot: %s", part, buf_cstr(b));
}

#define SOURCE "sources: [{ id: web, write_key: k }]\n"
#define DEST   "destinations: [{ id: d, url: \"http://127.0.0.1:1/\" }]\n"

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

#endif
