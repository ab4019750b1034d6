/* logsink_test - the JSON form of a line: what log_q wrote is read back, whatever bytes it holds. */
#include "master/logsink.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *text, *want;
} cases[] = {
    {"plain", "plain"},
    {"a b=c", "a b=c"},
    {"say \"no\" \\ yes", "say \"no\" \\ yes"},
    {"two\nlines\tand \x1b[31mred\x7f", "two\nlines\tand \x1b[31mred\x7f"},
    {"\\x41 stays", "\\x41 stays"},
    {"\xc3\xa9t\xc3\xa9", "\xc3\xa9t\xc3\xa9"},
    {"", ""},
};

static json_t *written(const char *tail)
{
    char path[] = "/tmp/dray-logsink-XXXXXX", output[64];
    close(mkstemp(path));
    snprintf(output, sizeof output, "file:%s", path);
    struct conf_log conf = {.format = CONF_LOG_JSON, .output = output};
    struct logsink *l = logsink_new(&conf);
    assert_non_null(l);
    struct logsink_origin origin = {.kind = "ingest", .slot = 1, .generation = 2, .pid = 3};
    logsink_write(l, LOGL_WARN, &origin, tail, strlen(tail));
    logsink_free(l);
    json_t *o = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    unlink(path);
    return o;
}

static void quoted_text_comes_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char tail[512];
        snprintf(tail, sizeof tail, "event=x msg=%s n=7", log_q(cases[i].text));
        json_t *o = written(tail);
        assert_non_null(o);
        assert_string_equal(json_string_value(json_object_get(o, "msg")), cases[i].want);
        assert_string_equal(json_string_value(json_object_get(o, "n")), "7");
        assert_string_equal(json_string_value(json_object_get(o, "kind")), "ingest");
        json_decref(o);
    }
}

/* A child's line may hold anything: it must never make the log unreadable. */
static void broken_tails_are_still_json(void **state)
{
    (void)state;
    static const char *const tails[] = {
        "event=x msg=\"open",   "event=x msg=\"\\",        "event=x msg=\"\\x1",   "event=x msg=\"\\xzz\"",
        "event=x msg=\"\\x4\"", "event=x =y  z  a=\"b\"c", "event=x msg=\xff\xfe", ""};
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        json_t *o = written(tails[i]);
        assert_non_null(o);
        json_decref(o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quoted_text_comes_back),
        cmocka_unit_test(broken_tails_are_still_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
