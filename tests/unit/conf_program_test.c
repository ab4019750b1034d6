/* conf_program_test - the list programs: what is refused and where, words and pairs, places over a reload. */
#include "tests/unit/conf_fixture.h"

#define P "programs: [{ id: a, command: [sleep, infinity]"

static const struct {
    const char *text, *told;
} faults[] = {
    {"programs: [{ id: a }]\n", ":1:12: programs[a].command: must name a program"},
    {"programs: [{ id: a, command: [] }]\n", ":1:30: programs[a].command: must name a program"},
    {"programs: [{ id: a, command: sleep }]\n",
     ":1:30: programs[a].command: expected a list such as [\"one\", \"two\"], got a value"},
    {"programs: [{ id: a, command: [sleep, [1]] }]\n",
     ":1:38: programs[a].command: expected a text in this list"},
    {"programs: [{ id: a, command: [sleep, ~] }]\n", ":1:38: programs[a].command: has no value"},
    {"programs: [{ id: a, command: [no-such-program] }]\n", "no-such-program: no such program in PATH"},
    {"programs: [{ id: a, command: [/no/such] }]\n", "/no/such: No such file or directory"},
    {"programs: [{ id: a, command: [/tmp] }]\n", "/tmp: Permission denied"},
    {"programs: [{ id: a, command: [./sleep] }]\n", "must be an absolute path, or a bare name"},
    {"programs: [{ command: [sleep] }]\n", "programs[#1].id: must not be empty"},
    {P " }, { id: a, command: [sleep] }]\n", "programs[a].id: another program has the same id"},
    {"programs: [{ id: redis, command: [sleep] }]\n", "is the name of the managed Redis"},
    {P ", user: no-such-user }]\n", "programs[a].user: this host has no such user"},
    {P ", group: no-such-group }]\n", "programs[a].group: this host has no such group"},
    {P ", directory: tmp }]\n", "programs[a].directory: must be an absolute path"},
    {P ", directory: /no/such }]\n", "programs[a].directory: there is no such folder"},
    {P ", environment: [A] }]\n", "programs[a].environment: each word must be NAME=value"},
    {P ", environment: [\"=A\"] }]\n", "programs[a].environment: each word must be NAME=value"},
    {P ", environment: [\"A=${env:NO_SUCH_VARIABLE}\"] }]\n", "NO_SUCH_VARIABLE"},
    {P ", umask: 99 }]\n", "programs[a].umask: expected octal"},
    {P ", ready: { type: tcp } }]\n", "programs[a].ready.address: type tcp needs one"},
    {P ", ready: { type: tcp, address: \"unix:/x\" } }]\n", "programs[a].ready.address: is for type unix"},
    {P ", ready: { type: tcp, address: x } }]\n", "programs[a].ready.address: the port is missing"},
    {P ", ready: { type: unix } }]\n", "programs[a].ready.address: type unix needs the path"},
    {P ", ready: { type: command } }]\n", "programs[a].ready.command: must name a program"},
    {P ", ready: { type: pipe } }]\n", "expected one of none, notify, fd, tcp, unix, command"},
    {P ", ready: { address: \"127.0.0.1:1\" } }]\n", "programs[a].ready.address: has a meaning only with"},
    {P ", ready: { command: [sleep] } }]\n", "programs[a].ready.command: has a meaning only with"},
    {P ", ready: { fd: 2 } }]\n", "programs[a].ready.fd: must be 3 to 63"},
    {P ", health: { interval: 1s } }]\n", "programs[a].health.interval: needs a question to ask"},
    {P ", restart: sometimes }]\n", "expected one of always, on_failure, never"},
    {P ", success_codes: [0, 256] }]\n", "programs[a].success_codes: each must be an exit code"},
    {P ", success_codes: [x] }]\n", "programs[a].success_codes: each must be an exit code"},
    {P ", stop_signal: STOP }]\n", "expected one of TERM, INT"},
    {P ", redy: { type: none } }]\n", "programs[a].redy: unknown key; did you mean \"ready\"?"},
    {P ", command: [sleep] }]\n", "\"command\" stands here for the second time"},
};

static void test_faults(void **state)
{
    struct fixture *t = *state;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        char text[512];
        snprintf(text, sizeof text, "%s" SOURCE DEST, faults[i].text);
        assert_int_equal(load(t, text, NULL), EXIT_CODE_CONFIG);
        expect_in(&t->errors, faults[i].told);
    }
}

static const struct conf_program *volatile kept; /* copies are never freed */

static void test_words_and_pairs(void **state)
{
    struct fixture *t = *state;
    setenv("CONF_TEST_SECRET", "hush", 1);
    expect_ok(t,
              "programs:\n"
              "  - id: a\n"
              "    command: [sh, -c, \"echo a\\nsleep 1\", \"\", ä]\n"
              "    environment: [\"TOKEN=${env:CONF_TEST_SECRET}\", \"EMPTY=\", \"A=b=c\"]\n"
              "    success_codes: [0, 2]\n" SOURCE DEST,
              NULL);
    assert_int_equal(t->conf->n_programs, 1);
    const struct conf_program *p = &t->conf->programs[0];
    assert_string_equal(p->command[2], "echo a\nsleep 1");
    assert_string_equal(p->command[3], "");
    assert_string_equal(p->command[4], "ä");
    assert_null(p->command[5]);
    assert_string_equal(p->environment[0], "TOKEN=hush");
    assert_string_equal(p->environment[1], "EMPTY=");
    assert_string_equal(p->success_codes[1], "2");
    assert_null(p->ready_command[0]);
    struct buf masked, clear;
    buf_init(&masked, 1 << 20);
    buf_init(&clear, 1 << 20);
    assert_int_equal(conf_dump(t->conf, true, &masked), 0);
    assert_null(strstr(buf_cstr(&masked), "hush"));
    expect_in(&masked, "\"TOKEN=***\"");
    assert_int_equal(conf_dump(t->conf, false, &clear), 0);
    struct conf *again = NULL;
    if (conf_parse_dump(clear.data, clear.len, &again, &t->errors) != 0)
        fail_msg("%s", buf_cstr(&t->errors));
    assert_false(conf_program_differs(t->conf, again, 0));
    const struct conf_program *copy = conf_program_copy(p);
    struct conf_program before = again->programs[0];
    again->programs[0] = *copy;
    assert_false(conf_program_differs(t->conf, again, 0));
    again->programs[0] = before;
    assert_ptr_not_equal(copy->command[0], p->command[0]);
    assert_ptr_not_equal(copy->id, p->id);
    kept = copy;
    free(again->programs[0].command[2]);
    again->programs[0].command[2] = strdup("x");
    assert_true(conf_program_differs(t->conf, again, 0));
    conf_free(again);
    buf_fini(&masked);
    buf_fini(&clear);
}

static void test_override_of_the_whole_list(void **state)
{
    struct fixture *t = *state;
    expect_ok(t, SOURCE DEST, "programs=[{id: z, command: [sleep, 1]}]");
    assert_string_equal(t->conf->programs[0].id, "z");
    assert_int_equal(load(t, SOURCE DEST, "programs=[{id: z, command: sleep 1}]"), EXIT_CODE_CONFIG);
    expect_in(&t->errors, "programs[z].command: expected a list");
}

/* "abc": programs of these ids, one a letter; "." is an empty place. */
static struct conf *with_programs(struct fixture *t, const char *ids)
{
    char text[2048] = "programs:";
    for (const char *p = ids; *p != '\0'; p++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "\n  - { id: %c, command: [sleep, 1] }",
                 *p);
    strcat(text, *ids == '\0' ? " []\n" SOURCE DEST : "\n" SOURCE DEST);
    expect_ok(t, text, NULL);
    struct conf *c = t->conf;
    t->conf = NULL;
    return c;
}

static void test_places_are_kept(void **state)
{
    struct fixture *t = *state;
    static const char *const steps[][2] = {
        {"abc", "abc"}, {"cab", "abc"}, {"bc", ".bc"}, {"bcd", "dbc"}, {"xcb", "xbc"},
        {"b", ".b"},    {"yzb", "ybz"}, {"", ""},      {"q", "q"},     {"rq", "qr"},
    };
    struct conf *old = with_programs(t, "abc");
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct conf *fresh = with_programs(t, steps[i][0]);
        char got[64] = "";
        conf_programs_keep_places(fresh, old);
        for (size_t j = 0; j < fresh->n_programs; j++)
            strcat(got, fresh->programs[j].id[0] != '\0' ? fresh->programs[j].id : ".");
        assert_string_equal(got, steps[i][1]);
        for (size_t j = 0; j < 4; j++) /* it differs where another stands, and nowhere else */
            assert_int_equal(conf_program_differs(old, fresh, j),
                             strcmp(j < old->n_programs ? old->programs[j].id : "",
                                    j < fresh->n_programs ? fresh->programs[j].id : "") != 0);
        conf_free(old);
        old = fresh;
    }
    conf_free(old);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_faults),
        T(test_words_and_pairs),
        T(test_override_of_the_whole_list),
        T(test_places_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
