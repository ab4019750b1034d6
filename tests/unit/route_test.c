/* route_test - the list routes: what is told about a wrong one and where, and which destinations an event goes to. */
#include "tests/unit/conf_fixture.h"

#include "common/event/event.h"
#include "common/route/route.h"

#define TWO                                                                                                  \
    "sources: [{ id: web, write_key: k }, { id: app-ios, write_key: l }]\n"                                  \
    "destinations: [{ id: a, url: \"http://127.0.0.1:1/\" }, { id: b, url: \"http://127.0.0.1:1/\" },\n"     \
    "               { id: c, url: \"http://127.0.0.1:1/\" }]\n"

static void test_faults(void **state)
{
    struct fixture *t = *state;
    static const struct {
        const char *routes, *fault;
    } rows[] = {
        {"routes: [{ id: r }]\n", "routes[r].to: must name at least one destination"},
        {"routes: [{ to: a }]\n", "routes[#1].id: "},
        {"routes: [{ id: r, to: a }, { id: r, to: b }]\n", "routes[r].id: another route has the same id"},
        {"routes: [{ id: r, to: [a, warehous] }]\n",
         "dray.yaml:4:27: routes[r].to: there is no destination of this id\n"},
        {"routes: [{ id: r, to: aa }]\n",
         "dray.yaml:4:23: routes[r].to: there is no destination of this id; did you mean \"a\"?"},
        {"routes: [{ id: r, match: { source: wep }, to: a }]\n",
         "dray.yaml:4:36: routes[r].match.source: there is no source of this id; did you mean \"web\"?"},
        {"routes: [{ id: r, match: { source: [web, \"\"] }, to: a }]\n",
         "match.source: the pattern must not be empty"},
        {"routes: [{ id: r, match: { event: 'a\\' }, to: a }]\n",
         "match.event: the pattern ends with a backslash"},
        {"routes: [{ id: r, match: { event: { a: b } }, to: a }]\n", "match.event: expected a list such as"},
        {"routes: [{ id: r, mach: { event: e }, to: a }]\n",
         "routes[r].mach: unknown key; did you mean \"match\"?"},
        {"routes: [{ id: r, match: { events: e }, to: a }]\n", "unknown key; did you mean \"event\"?"},
        {"routes: [{ id: r, sample: 1.5, to: a }]\n", "routes[r].sample: expected a number from 0 to 1"},
        {"routes:\n  - id: r\n    match:\n      where:\n        - properties.a gt 1\n        - properties.b gtt 1\n    to: a\n",
         "dray.yaml:9:24: routes[r].match.where: unknown operator; did you mean \"gt\"?"},
        {"routes:\n  - id: r\n    match: { where: \"type eq track\" }\n    to: a\n",
         "dray.yaml:6:30: routes[r].match.where: a text needs quotes: 'track'"},
        {"ingest: { unrouted: keep }\n", "ingest.unrouted: expected one of drop, quarantine"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[2048];
        snprintf(text, sizeof text, "%s%s", TWO, rows[i].routes);
        buf_reset(&t->errors);
        assert_int_equal(load(t, text, NULL), EXIT_CODE_CONFIG);
        expect_in(&t->errors, rows[i].fault);
    }
}

static void test_warnings(void **state)
{
    struct fixture *t = *state;
    expect_ok(t, TWO "routes: [{ id: r, match: { source: \"ios-*\", type: trak }, to: a }]\n", NULL);
    expect_in(&t->warnings, "routes[r].match.source: matches none of the sources");
    expect_in(&t->warnings, "routes[r].match.type: no SDK has this type; did you mean \"track\"?");
    expect_in(&t->warnings, "destinations[b]: no route leads to it");
    expect_not_in(&t->warnings, "destinations[a]");
    buf_reset(&t->warnings);
    expect_ok(t, TWO, NULL);
    expect_not_in(&t->warnings, "no route leads to it");
}

static void test_dump(void **state)
{
    struct fixture *t = *state;
    struct conf *again = NULL;
    struct buf text;
    buf_init(&text, 1u << 20);
    expect_ok(
        t,
        TWO
        "routes: [{ id: r, match: { source: web, type: [track], event: [\"Order *\", Signup], where: \"n eq 'x'\" }, "
        "to: [a, b], sample: 0.25 }]\n",
        NULL);
    assert_int_equal(conf_dump(t->conf, false, &text), 0);
    assert_int_equal(conf_parse_dump(text.data, text.len, &again, &t->errors), 0);
    assert_int_equal(again->n_routes, 1);
    assert_string_equal(again->routes[0].match_event[1], "Signup");
    assert_string_equal(again->routes[0].match_where[0], "n eq 'x'");
    assert_true(again->routes[0].sample == 0.25);
    conf_free(again);
    buf_fini(&text);
}

/* Letters of the destinations that the event goes to. */
static const char *way(const struct conf *conf, const struct route_table *t, const char *source,
                       const char *type, const char *text)
{
    static char out[8];
    struct json_slice slots[PICK_FIELDS_MAX];
    struct event_context c = {.type = type};
    struct route_set of_source, routes, to;
    struct json_scan s;
    struct event e;
    size_t n = 0;
    json_scan_init(&s, text, strlen(text));
    assert_int_equal(event_scan_picked(&s, &e, route_table_pick(t), slots), 0);
    route_source(t, source, &of_source);
    bool any = route_match(t, &of_source, &e, &c, slots, &routes, &to);
    for (size_t i = 0; i < conf->n_destinations; i++)
        if (ROUTE_SET_HAS(&to, i))
            out[n++] = conf->destinations[i].id[0];
    out[n] = '\0';
    assert_true(any == (n > 0));
    for (size_t i = 0; i < conf->n_routes; i++) {
        struct buf why;
        buf_init(&why, 4096);
        assert_true(route_explain(t, i, source, &e, &c, slots, &why) == ROUTE_SET_HAS(&routes, i));
        assert_true(why.len > 0);
        buf_fini(&why);
    }
    return out;
}

static void test_ways(void **state)
{
    struct fixture *t = *state;
    static const struct {
        const char *source, *type, *event, *to;
    } rows[] = {
        {"web", NULL, "{\"userId\":\"u\",\"type\":\"track\",\"event\":\"Order Completed\"}", "ab"},
        {"web", NULL, "{\"userId\":\"u\",\"type\":\"track\",\"event\":\"Order\"}", "a"},
        {"web", NULL, "{\"userId\":\"u\",\"type\":\"page\",\"event\":\"Order Completed\"}", "a"},
        {"web", "track", "{\"userId\":\"u\",\"type\":\"page\",\"event\":\"Order Completed\"}", "ab"},
        {"web", "page", "{\"userId\":\"u\",\"type\":\"track\",\"event\":\"Order Completed\"}", "a"},
        {"web", NULL, "{\"userId\":\"u\",\"type\":7,\"event\":7}", "a"},
        {"web", NULL, "{\"userId\":\"u\",\"\\u0074ype\":\"tr\\u0061ck\",\"event\":\"\\u004frder x\"}", "ab"},
        {"app-ios", NULL, "{\"userId\":\"u\",\"type\":\"track\",\"event\":\"Order Completed\"}", "b"},
        {"app-ios", NULL, "{\"userId\":\"u\",\"type\":\"identify\"}", ""},
        {"app-ios", NULL, "{\"userId\":\"u\",\"type\":\"identify\",\"traits\":{\"plan\":\"pro\",\"age\":30}}",
         "c"},
        {"app-ios", NULL, "{\"userId\":\"u\",\"type\":\"identify\",\"traits\":{\"plan\":\"pro\",\"age\":17}}",
         ""},
        {"web", NULL, "{\"userId\":\"u\",\"traits\":{\"plan\":\"pro\",\"age\":18}}", "ac"},
        {"web", NULL, "{\"userId\":\"u\",\"traits\":{\"plan\":\"free\",\"age\":18}}", "a"},
    };
    expect_ok(
        t,
        TWO "routes:\n"
            "  - { id: web, match: { source: web }, to: a }\n"
            "  - { id: orders, match: { type: track, event: [\"Order *\", \"Cart *\"] }, to: [b] }\n"
            "  - { id: pros, match: { where: [\"traits.plan eq 'pro'\", \"traits.age gte 18\"] }, to: [c] }\n"
            "  - { id: again, match: { source: \"we?\" }, to: [a] }\n",
        NULL);
    struct route_table *table = route_table_new(t->conf);
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *to = way(t->conf, table, rows[i].source, rows[i].type, rows[i].event);
        if (strcmp(to, rows[i].to) != 0)
            fail_msg("row %zu %s: goes to %s", i, rows[i].event, to);
    }
    route_table_free(table);
    expect_ok(t, TWO, NULL);
    assert_null(route_table_new(t->conf)); /* no routes cost nothing */
    assert_null(route_table_pick(NULL));
}

static void test_sample(void **state)
{
    struct fixture *t = *state;
    size_t in_a = 0, in_b = 0, both = 0;
    expect_ok(t,
              TWO "routes: [{ id: tenth, sample: 0.1, to: a }, { id: half, sample: 0.5, to: b },\n"
                  "         { id: none, sample: 0, to: c }]\n",
              NULL);
    struct route_table *table = route_table_new(t->conf);
    for (int i = 0; i < 20000; i++) {
        char text[96], first[8];
        snprintf(text, sizeof text, "{\"%s\":\"user-%d\"}", i % 2 == 0 ? "userId" : "anonymousId", i);
        str_copy(first, way(t->conf, table, "web", NULL, text), sizeof first);
        assert_string_equal(way(t->conf, table, "app-ios", "track", text), first); /* steady */
        assert_null(strchr(first, 'c'));
        in_a += strchr(first, 'a') != NULL;
        in_b += strchr(first, 'b') != NULL;
        both += strcmp(first, "ab") == 0;
    }
    assert_in_range(in_a, 1800, 2200);
    assert_in_range(in_b, 9700, 10300);
    assert_in_range(both, 850, 1150); /* each route takes other users */
    route_table_free(table);
}

static void test_many(void **state)
{
    struct fixture *t = *state;
    struct buf text;
    buf_init(&text, 1u << 20);
    (void)buf_puts(&text, "sources: [{ id: web, write_key: k }]\ndestinations:\n");
    for (int i = 0; i < CONF_LIST_MAX; i++)
        (void)buf_printf(&text, "  - { id: d%d, url: \"http://127.0.0.1:1/\" }\n", i);
    (void)buf_puts(&text, "routes:\n");
    for (int i = 0; i < CONF_LIST_MAX; i++)
        (void)buf_printf(&text, "  - { id: r%d, match: { where: \"n eq %d\" }, to: d%d }\n", i, i, i);
    expect_ok(t, buf_cstr(&text), NULL);
    struct route_table *table = route_table_new(t->conf);
    for (size_t i = 0; i < CONF_LIST_MAX; i++) {
        struct json_slice slots[PICK_FIELDS_MAX];
        struct event_context c = {0};
        struct route_set of_source, routes, to, wanted = {0};
        struct json_scan s;
        struct event e;
        char event[64];
        snprintf(event, sizeof event, "{\"userId\":\"u\",\"n\":%zu}", i);
        json_scan_init(&s, event, strlen(event));
        assert_int_equal(event_scan_picked(&s, &e, route_table_pick(table), slots), 0);
        route_source(table, "web", &of_source);
        assert_true(route_match(table, &of_source, &e, &c, slots, &routes, &to));
        ROUTE_SET_PUT(&wanted, i);
        assert_memory_equal(&to, &wanted, sizeof to);
        assert_memory_equal(&routes, &wanted, sizeof to);
    }
    route_table_free(table);
    buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_faults), T(test_warnings), T(test_dump),
                                       T(test_ways),   T(test_sample),   T(test_many)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
