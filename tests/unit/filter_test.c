/* filter_test - patterns, the fields that a pass picks out, and conditions: what holds, and what is said about a wrong one. */
#include "common/event/filter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/event/event.h"
#include "common/event/glob.h"

static void test_glob(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *text;
        bool match;
    } rows[] = {
        {"*", "", true},
        {"*", "anything", true},
        {"Order", "Order", true},
        {"Order", "Orders", false},
        {"Order", "order", false},
        {"Order *", "Order Completed", true},
        {"Order *", "Order ", true},
        {"Order *", "Order", false},
        {"* Completed", "Order Completed", true},
        {"* Completed", "Order Completed twice", false},
        {"*d*r*", "Order", true},
        {"*d*x*", "Order", false},
        {"?rder", "Order", true},
        {"?", "\xc3\xa4", true},
        {"??", "\xc3\xa4", false},
        {"*?", "", false},
        {"a*b*c", "aXbXbXc", true},
        {"a*b*c", "aXbXbX", false},
        {"**", "", true},
        {"\\*", "*", true},
        {"\\*", "x", false},
        {"a\\?*", "a?b", true},
        {"a\\?*", "axb", false},
        {"*\\?", "a?", true},
        {"*\\?", "ab", false},
        {"\\\\", "\\", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct glob g;
        assert_null(glob_compile(&g, rows[i].pattern));
        if (glob_match(&g, rows[i].text, strlen(rows[i].text)) != rows[i].match)
            fail_msg("%s over %s", rows[i].pattern, rows[i].text);
    }
    struct glob g;
    char big[GLOB_TEXT_MAX + 2];
    assert_non_null(glob_compile(&g, ""));
    assert_non_null(glob_compile(&g, "a\\"));
    memset(big, 'a', sizeof big);
    big[GLOB_PATTERN_MAX] = '\0';
    assert_non_null(glob_compile(&g, big));
    big[GLOB_PATTERN_MAX - 1] = '\0';
    assert_null(glob_compile(&g, big));
    memset(big, 'a', sizeof big);
    assert_null(glob_compile(&g, "*a*a*a*a*a*b*"));
    assert_false(glob_match(&g, big, sizeof big)); /* longer than it is looked at */
}

struct scene {
    struct pick *p;
    struct json_slice slots[PICK_FIELDS_MAX];
    struct event e;
};

static void scan(struct scene *s, const char *text)
{
    struct json_scan scan;
    json_scan_init(&scan, text, strlen(text));
    memset(s->slots, 0xff, sizeof s->slots);
    assert_int_equal(event_scan_picked(&scan, &s->e, s->p, s->slots), 0);
    assert_int_equal(json_scan_end(&scan), 0);
}

static bool slot_is(const struct scene *s, int slot, const char *text)
{
    const struct json_slice *v = &s->slots[slot];
    if (text == NULL || v->text == NULL)
        return text == NULL && v->text == NULL;
    return v->len == strlen(text) && memcmp(v->text, text, v->len) == 0;
}

static void test_pick(void **state)
{
    (void)state;
    struct scene s = {.p = pick_new()};
    const char *user[] = {"userId"}, *amount[] = {"properties", "amount"}, *properties[] = {"properties"},
               *lib[] = {"context", "library", "name"};
    int a = pick_add(s.p, amount, 2), u = pick_add(s.p, user, 1), l = pick_add(s.p, lib, 3),
        p = pick_add(s.p, properties, 1);
    assert_int_equal(pick_add(s.p, amount, 2), a);
    assert_int_equal(pick_slots(s.p), 4);

    scan(&s, "{\"userId\":\"u\",\"properties\":{\"x\":{\"amount\":9},\"amount\":12.5},"
             "\"context\":{\"library\":{\"name\":\"n\",\"v\":[1,{\"name\":2}]}}}");
    assert_true(slot_is(&s, a, "12.5") && slot_is(&s, u, "\"u\"") && slot_is(&s, l, "\"n\""));
    assert_true(slot_is(&s, p, "{\"x\":{\"amount\":9},\"amount\":12.5}"));
    assert_string_equal("u", ((char[]){s.e.field[EVENT_USER_ID].text[1], '\0'})); /* the index is the same */
    assert_int_equal(s.e.members, 3);

    scan(&s, "{\"properties\":[{\"amount\":1}],\"context\":{\"library\":\"name\"}}"); /* other types */
    assert_true(slot_is(&s, a, NULL) && slot_is(&s, u, NULL) && slot_is(&s, l, NULL));
    assert_true(slot_is(&s, p, "[{\"amount\":1}]"));

    /* The last member of a name counts, with all that is below it; names may be escaped. */
    scan(&s, "{\"properties\":{\"amount\":1},\"\\u0070roperties\":{\"b\":2}}");
    assert_true(slot_is(&s, a, NULL) && slot_is(&s, p, "{\"b\":2}"));
    scan(&s, "{\"properties\":{\"amount\":1,\"am\\u006funt\":2}}");
    assert_true(slot_is(&s, a, "2"));
    scan(&s, "{\"user\\u0049d\":{\"k\":1}}"); /* an escaped name in front of one that is not */
    assert_true(slot_is(&s, u, "{\"k\":1}"));
    assert_non_null(s.e.field[EVENT_USER_ID].text);

    scan(&s, "[]");
    assert_true(slot_is(&s, a, NULL));
    pick_free(s.p);

    struct json_scan bad;
    s.p = pick_new();
    assert_int_equal(pick_add(s.p, amount, 2), 0);
    json_scan_init(&bad, "{\"properties\":{\"amount\":1,}}", 28);
    assert_int_equal(event_scan_picked(&bad, &s.e, s.p, s.slots), -1);
    pick_free(s.p);
}

static void test_pick_limits(void **state)
{
    (void)state;
    struct pick *p = pick_new();
    const char *deep[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i"};
    char name[16], big[PICK_NAME_MAX + 1];
    const char *one[] = {name}, *long_one[] = {big};
    assert_int_equal(pick_add(p, deep, 9), -1);
    memset(big, 'x', PICK_NAME_MAX);
    big[PICK_NAME_MAX] = '\0';
    assert_int_equal(pick_add(p, long_one, 1), -1);
    for (int i = 0; i < PICK_FIELDS_MAX; i++) {
        snprintf(name, sizeof name, "n%d", i);
        assert_int_equal(pick_add(p, one, 1), i);
    }
    assert_int_equal(pick_add(p, deep, 8), -1);
    assert_int_equal(pick_add(p, one, 1), PICK_FIELDS_MAX - 1); /* it is there */
    pick_free(p);
}

static const char event_text[] =
    "{\"type\":\"track\",\"userId\":\"u1\",\"n\":null,\"yes\":true,\"no\":false,\"big\":9007199254740993,\"neg\":-7,"
    "\"at\":\"2026-11-21T02:51:41Z\",\"esc\":\"caf\\u00e9 \\\"x\\\"\",\"list\":[1,2],\"empty\":\"\","
    "\"properties\":{\"amount\":150.5,\"zero\":0,\"exp\":1.5e3,\"coupon\":\"SAVE10\",\"utm.source\":\"mail\","
    "\"deep\":{\"er\":{\"x\":1}}}}";

static void test_conditions(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool holds;
    } rows[] = {
        {"type eq 'track'", true},
        {"type eq \"track\"", true},
        {"type eq \"tr\\u0061ck\"", true},
        {"type eq 'Track'", false},
        {"type neq 'page'", true},
        {"type neq 'track'", false},
        {"missing eq 'x'", false},
        {"missing neq 'x'", true},
        {"missing exists", false},
        {"not missing exists", true},
        {"not (missing exists)", true},
        {"n exists", true},
        {"n eq null", true},
        {"n neq null", false},
        {"missing eq null", false},
        {"yes eq true", true},
        {"yes eq false", false},
        {"no eq false", true},
        {"yes eq 'true'", false},
        {"properties.amount eq 150.5", true},
        {"properties.amount eq 1505e-1", true},
        {"properties.amount eq '150.5'", false},
        {"properties.amount gt 150", true},
        {"properties.amount gt 150.5", false},
        {"properties.amount gte 150.5", true},
        {"properties.amount lt 1e3", true},
        {"properties.amount lte 150.5", true},
        {"properties.amount lt 150.5", false},
        {"properties.amount gt 'a'", false},
        {"missing gt 0", false},
        {"missing lt 0", false},
        {"list gt 0", false},
        {"list eq 1", false},
        {"properties.zero eq 0", true},
        {"properties.zero eq -0", true},
        {"properties.exp eq 1500", true},
        {"neg lt -6", true},
        {"neg gt -8", true},
        {"neg eq -7.0", true},
        {"big eq 9007199254740993", true},
        {"big eq 9007199254740992", false},
        {"big gt 9007199254740992", true},
        {"big lt 9007199254740994", true},
        {"big gt -9007199254740994", true},
        {"neg lt 99999999999999999999", true},
        {"neg gt -99999999999999999999", true},
        {"at gte '2026-11-21T00:00:00Z'", true},
        {"at lt '2026-11-21'", false},
        {"at gt '2026-11-21'", true},
        {"at lte '2026-11-21T02:51:41Z'", true},
        {"esc eq \"caf\\u00e9 \\\"x\\\"\"", true},
        {"esc startsWith 'caf\xc3\xa9'", true},
        {"esc startsWith 'caf\xc3\xa8'", false},
        {"esc endsWith ' \"x\"'", true},
        {"esc endsWith 'y'", false},
        {"esc endsWith \"caf\\u00e9 \\\"x\\\"\"", true},
        {"esc endsWith \"xcaf\\u00e9 \\\"x\\\"\"", false},
        {"esc gt 'caf'", true},
        {"esc lt 'cag'", true},
        {"empty startsWith ''", true},
        {"empty endsWith ''", true},
        {"empty endsWith 'a'", false},
        {"empty eq ''", true},
        {"empty lt 'a'", true},
        {"properties.coupon startsWith 'SAVE'", true},
        {"properties.coupon startsWith 'SAVE100'", false},
        {"properties.coupon endsWith '10'", true},
        {"properties.coupon endsWith 'xSAVE10'", false},
        {"properties.amount startsWith '1'", false},
        {"missing startsWith ''", false},
        {"properties.coupon in ['A', 'SAVE10', 3]", true},
        {"properties.coupon in ['A', 'B']", false},
        {"properties.coupon nin ['A', 'B']", true},
        {"properties.coupon nin ['A','SAVE10']", false},
        {"missing in [null]", false},
        {"missing nin [1]", true},
        {"properties.\"utm.source\" eq 'mail'", true},
        {"properties.utm.source exists", false},
        {"properties.deep.er.x eq 1", true},
        {"properties.deep exists", true},
        {"properties.deep eq 1", false},
        {"\"type\" exists", true},
        {"type eq 'track' and properties.amount gt 100", true},
        {"type eq 'track' and properties.amount gt 200", false},
        {"type eq 'page' or properties.amount gt 100", true},
        {"type eq 'page' or properties.amount gt 200 or yes eq true", true},
        {"type eq 'page' or properties.amount gt 200 or yes eq false", false},
        {"type eq 'track' and yes eq true and no eq false and n exists", true},
        {"type eq 'track' and yes eq true and no eq true and n exists", false},
        {"type eq 'page' and yes eq true or no eq false", true}, /* and binds more */
        {"no eq false or type eq 'page' and yes eq false", true},
        {"(no eq false or type eq 'page') and yes eq false", false},
        {"not type eq 'page' and yes eq true", true}, /* not binds most */
        {"not (type eq 'page' or yes eq true)", false},
        {"not not yes eq true", true},
        {"((((yes eq true))))", true},
        {"  yes\teq\n true ", true},
        {"yes exists and(no exists)", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct scene s = {.p = pick_new()};
        struct filter_fault fault;
        struct filter *f = filter_compile(rows[i].text, s.p, &fault);
        if (f == NULL)
            fail_msg("%s: at %zu: %s", rows[i].text, fault.at, fault.why);
        scan(&s, event_text);
        if (filter_match(f, s.slots) != rows[i].holds)
            fail_msg("%s: not %d", rows[i].text, rows[i].holds);
        filter_free(f);
        pick_free(s.p);
    }
}

static void test_faults(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t at;
        const char *why;
    } rows[] = {
        {"", 0, "expected a field"},
        {"   ", 3, "expected a field"},
        {"type", 4, "an operator is missing"},
        {"type eq", 7, "a value is missing"},
        {"type eq track", 8, "needs quotes: 'track'"},
        {"type == 'track'", 5, "did you mean \"eq\""},
        {"type != 'track'", 5, "did you mean \"neq\""},
        {"type >= 3", 5, "did you mean \"gte\""},
        {"type $gte 3", 5, "did you mean \"gte\""},
        {"type $exist", 5, "did you mean \"exists\""},
        {"type eqals 3", 5, "known: eq, neq"},
        {"type startswith 'a'", 5, "did you mean \"startsWith\""},
        {"type not 'a'", 5, "did you mean \"nin\""},
        {"type startsWith 3", 16, "takes a text"},
        {"type gt true", 8, "takes a number or a text"},
        {"type in 3", 8, "takes a list"},
        {"type in []", 9, "expected a number"},
        {"type in [1", 10, "expected a comma or ]"},
        {"type in [1,", 11, "a value is missing"},
        {"type eq [1]", 8, "in and nin"},
        {"type eq 01", 8, "no number"},
        {"type eq 1x", 8, "no number"},
        {"type eq 'x", 8, "single quote"},
        {"type eq \"x", 8, "double quotes"},
        {"type eq \"x\\u0000\"", 8, "NUL"},
        {"(type exists", 0, "never closed"},
        {"(type exists exists)", 13, "expected and, or, or )"},
        {"type exists)", 11, "no parenthesis"},
        {"type exists exists", 12, "expected and, or"},
        {"type. exists", 5, "a name is missing"},
        {"a.b.c.d.e.f.g.h.i exists", 0, "more than 8 names"},
        {"type exists and", 15, "expected a field"},
        {"not", 3, "expected a field"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pick *p = pick_new();
        struct filter_fault fault;
        struct filter *f = filter_compile(rows[i].text, p, &fault);
        if (f == NULL && (fault.at != rows[i].at || strstr(fault.why, rows[i].why) == NULL))
            fail_msg("%s: at %zu: %s", rows[i].text, fault.at, fault.why);
        if (f != NULL)
            fail_msg("%s: taken", rows[i].text);
        filter_free(f);
        pick_free(p);
    }
}

static struct filter *compile_repeated(const char *front, const char *piece, size_t n, const char *last,
                                       const char *back, size_t n_back)
{
    struct pick *p = pick_new();
    struct filter_fault fault;
    struct buf text;
    buf_init(&text, 1u << 20);
    (void)buf_puts(&text, front);
    for (size_t i = 0; i < n; i++)
        (void)buf_puts(&text, piece);
    (void)buf_puts(&text, last);
    for (size_t i = 0; i < n_back; i++)
        (void)buf_puts(&text, back);
    struct filter *f = filter_compile(buf_cstr(&text), p, &fault);
    if (f == NULL)
        assert_true(fault.why[0] != '\0' && fault.at <= text.len);
    buf_fini(&text);
    pick_free(p);
    return f;
}

static void test_limits(void **state)
{
    (void)state;
    filter_free(compile_repeated("", "(", FILTER_DEPTH_MAX - 1, "a exists", ")", FILTER_DEPTH_MAX - 1));
    assert_null(compile_repeated("", "(", FILTER_DEPTH_MAX, "a exists", ")", FILTER_DEPTH_MAX));
    assert_null(compile_repeated("", "not ", FILTER_DEPTH_MAX, "a exists", "", 0));
    assert_null(compile_repeated("", "not ", 900, "a exists", "", 0));
    struct filter *f = compile_repeated("", "a exists or ", FILTER_NODES_MAX / 2 - 1, "a exists", "", 0);
    assert_non_null(f);
    filter_free(f);
    assert_null(compile_repeated("", "a exists or ", FILTER_NODES_MAX / 2, "a exists", "", 0));
    f = compile_repeated("a in [", "1,", FILTER_VALUES_MAX - 1, "1]", "", 0);
    assert_non_null(f);
    filter_free(f);
    assert_null(compile_repeated("a in [", "1,", FILTER_VALUES_MAX, "1]", "", 0));
    assert_null(compile_repeated("a eq '", "x", FILTER_TEXT_MAX, "'", "", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_glob),       cmocka_unit_test(test_pick),   cmocka_unit_test(test_pick_limits),
        cmocka_unit_test(test_conditions), cmocka_unit_test(test_faults), cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
