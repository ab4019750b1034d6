/* conf_table_test - the table of keys itself, and the forms of addresses, URLs, texts and ids. */
#include "tests/unit/conf_fixture.h"

/* ---- the table */

static void test_table_is_sound(void **state)
{
    (void)state;
    for (size_t i = 0; i < CONF_SECTIONS; i++) {
        const struct conf_section *s = &conf_sections[i];
        const char *closed[CONF_ROWS_MAX];
        size_t n_closed = 0;
        for (size_t j = 0; j < s->n; j++) {
            const struct conf_row *row = &s->rows[j];
            uint64_t field[8] = {0}; /* any field fits */
            struct conf_row alone = *row;
            alone.offset = 0;
            conf_value_set_default(&alone, field); /* panics when the default breaks its own limits */
            conf_value_free(&alone, field);
            assert_true(row->type == CONF_TYPE_MAP || (row->type == CONF_TYPE_ENUM) == (row->words[0] != '\0'));
            bool alias;
            assert_ptr_equal(conf_table_row(s, row->path, &alias), row); /* no path twice */
            assert_false(alias);
            if (CONF_IS_LIST(s))
                assert_int_equal(s->rows[0].type, CONF_TYPE_STRING); /* names the element */
            /* Rows of one group stand together: the dump opens each once. */
            const char *dot = strchr(row->path, '.');
            size_t len = dot != NULL ? (size_t)(dot - row->path) : strlen(row->path);
            bool again =
                j > 0 && strncmp(s->rows[j - 1].path, row->path, len) == 0 && s->rows[j - 1].path[len] == '.';
            for (size_t k = 0; k < n_closed; k++)
                if (!again && strncmp(closed[k], row->path, len) == 0 && closed[k][len] == '.')
                    fail_msg("%s: the group of %s stands in two places", s->name, row->path);
            closed[n_closed++] = row->path;
        }
    }
}

static void test_enums_match_their_words(void **state)
{
    (void)state;
    static const struct {
        const char *section, *row;
        const char *words[6];
    } want[] = {
        {"ingest", "ack", {[CONF_ACK_QUEUE] = "queue", [CONF_ACK_MEMORY] = "memory"}},
        {"ingest", "compat", {[CONF_COMPAT_RUDDERSTACK] = "rudderstack", [CONF_COMPAT_SEGMENT] = "segment"}},
        {"ingest",
         "invalid_event",
         {[CONF_BAD_EVENT_QUARANTINE] = "quarantine", [CONF_BAD_EVENT_REJECT] = "reject_request"}},
        {"ingest",
         "oversize_event",
         {[CONF_BAD_EVENT_QUARANTINE] = "quarantine", [CONF_BAD_EVENT_REJECT] = "reject_request"}},
        {"redis", "mode", {[CONF_REDIS_MANAGED] = "managed", [CONF_REDIS_STANDALONE] = "standalone"}},
        {"redis",
         "managed.appendfsync",
         {[CONF_FSYNC_ALWAYS] = "always", [CONF_FSYNC_EVERYSEC] = "everysec", [CONF_FSYNC_NO] = "no"}},
        {"queue",
         "backoff.type",
         {[CONF_BACKOFF_EXPONENTIAL] = "exponential", [CONF_BACKOFF_FIXED] = "fixed"}},
        {"destinations",
         "auth.type",
         {[CONF_AUTH_WRITE_KEY] = "write_key",
          [CONF_AUTH_BASIC] = "basic",
          [CONF_AUTH_BEARER] = "bearer",
          [CONF_AUTH_NONE] = "none"}},
        {"log", "format", {[CONF_LOG_AUTO] = "auto", [CONF_LOG_LOGFMT] = "logfmt", [CONF_LOG_JSON] = "json"}},
        {"log", "level", {"crit", "error", "warn", "info", "debug"}},
    };
    for (size_t i = 0; i < COUNT(want); i++) {
        const struct conf_section *s = conf_table_section(want[i].section);
        bool alias;
        struct conf_row row = *conf_table_row(s, want[i].row, &alias);
        row.offset = 0;
        for (int j = 0; j < 6 && want[i].words[j] != NULL; j++) {
            char why[256];
            int v = -1;
            assert_int_equal(conf_value_set(&row, &v, want[i].words[j], false, why, sizeof why), 0);
            assert_int_equal(v, j);
        }
    }
}

/* ---- forms */

static void test_addresses(void **state)
{
    (void)state;
    static const char *const good[] = {"127.0.0.1:80", "[::1]:8080",       "[::]:0", ":8080",
                                       "localhost:1",  "unix:/run/x.sock", "unix:x", "a-b.c_d:65535"};
    static const char *const bad[] = {"",
                                      ":",
                                      ":x",
                                      "127.0.0.1",
                                      "127.0.0.1:",
                                      "127.0.0.1:65536",
                                      "127.0.0.1:-1",
                                      "127.0.0.1: 1",
                                      "::1:80",
                                      "[::1]",
                                      "[::1]80",
                                      "[::1",
                                      "[zz]:1",
                                      "[]:1",
                                      "a b:1",
                                      "unix:",
                                      "http://x:1",
                                      "127.0.0.1:080000",
                                      "[::1]:"};
    for (size_t i = 0; i < COUNT(good); i++)
        if (conf_check_address(good[i]) != NULL)
            fail_msg("%s: %s", good[i], conf_check_address(good[i]));
    for (size_t i = 0; i < COUNT(bad); i++)
        if (conf_check_address(bad[i]) == NULL)
            fail_msg("accepted: %s", bad[i]);
    char path[128] = "unix:";
    memset(path + 5, 'a', 107);
    assert_null(conf_check_address(path));
    path[112] = 'a';
    assert_non_null(conf_check_address(path));
}

static void test_urls(void **state)
{
    (void)state;
    static const char *const good[] = {"http://h",          "HTTPS://h/",    "https://h:1/a/b?c=d&e=%20",
                                       "http://[::1]:80/x", "http://[::1]/", "http://1.2.3.4?x",
                                       "http://h/a@b"};
    static const char *const bad[] = {"",
                                      "h",
                                      "//h",
                                      "http:/h",
                                      "http://",
                                      "http:///x",
                                      "http://h:0",
                                      "http://h:99999",
                                      "http://h:/",
                                      "http://u:p@h/",
                                      "http://h/#f",
                                      "http://h/ x",
                                      "http://h/\xc3\xa9",
                                      "http://h\\x",
                                      "http://[::1",
                                      "http://a:b:c/"};
    static const char *const redis_good[] = {"redis://h",         "redis://h:6379",    "redis://h:6379/",
                                             "redis://h:6379/15", "redis://u:p@h:1/0", "redis://:p@[::1]:1",
                                             "unix:///run/x",     "unix://var/x?db=3"};
    static const char *const redis_bad[] = {"",
                                            "h:6379",
                                            "http://h",
                                            "rediss://h",
                                            "redis://",
                                            "redis://h:x",
                                            "redis://h/x",
                                            "redis://h/0/1",
                                            "redis://u:p@",
                                            "unix://",
                                            "unix:///x?db=",
                                            "unix:///x?y=1"};
    for (size_t i = 0; i < COUNT(good); i++)
        if (conf_check_http_url(good[i]) != NULL)
            fail_msg("%s: %s", good[i], conf_check_http_url(good[i]));
    for (size_t i = 0; i < COUNT(bad); i++)
        if (conf_check_http_url(bad[i]) == NULL)
            fail_msg("accepted: %s", bad[i]);
    for (size_t i = 0; i < COUNT(redis_good); i++)
        if (conf_check_redis_url(redis_good[i]) != NULL)
            fail_msg("%s: %s", redis_good[i], conf_check_redis_url(redis_good[i]));
    for (size_t i = 0; i < COUNT(redis_bad); i++)
        if (conf_check_redis_url(redis_bad[i]) == NULL)
            fail_msg("accepted: %s", redis_bad[i]);
}

static void test_text_and_ids(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
    } rows[] = {
        {"plain", true},
        {"", true},
        {"\xc3\xa9", true},
        {"\xf0\x9f\x90\xb4", true},
        {"\xc3", false},
        {"\xc0\x80", false},
        {"\xed\xa0\x80", false},
        {"\xe0\x80\x80", false},
        {"\xf4\x90\x80\x80", false},
        {"\xf0\x80\x80\x80", false},
        {"\xff", false},
        {"\x80", false},
        {"a\n", false},
        {"\x7f", false},
        {"\xc2\x85", false},
        {"\xc2\xa0", true},
        {"\t", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_int_equal(conf_value_bad_text(rows[i].text, strlen(rows[i].text)) == NULL, rows[i].good);
    assert_null(conf_check_id("Ab.c_d-9"));
    assert_non_null(conf_check_id(""));
    assert_non_null(conf_check_id("a:b"));
    assert_non_null(conf_check_id("a{b}"));
    char id[66];
    memset(id, 'a', sizeof id);
    id[63] = '\0';
    assert_null(conf_check_id(id));
    id[63] = 'a';
    id[64] = '\0';
    assert_non_null(conf_check_id(id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_is_sound), cmocka_unit_test(test_enums_match_their_words),
        cmocka_unit_test(test_addresses),      cmocka_unit_test(test_urls),
        cmocka_unit_test(test_text_and_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
