/* route_fuzz - a condition, a zero byte, an event: what compiles is matched over whatever is JSON, and what does not tells a
 * place inside the text. The fields that the pass picks out must be those that a search finds. */
#include <stdlib.h>
#include <string.h>

#include "common/event/event.h"
#include "common/event/filter.h"
#include "common/event/glob.h"

#define CHECK(cond)                                                                                          \
    do {                                                                                                     \
        if (!(cond))                                                                                         \
            abort();                                                                                         \
    } while (0)

static void check_pick(struct pick *p, const char *json, size_t len)
{
    static const char *const amount[] = {"properties", "amount"}, *const user[] = {"userId"};
    struct json_slice *slots, properties, v;
    struct json_scan s;
    struct event e, plain;
    int a = pick_add(p, amount, 2), u = pick_add(p, user, 1);
    json_scan_init(&s, json, len);
    bool ours = event_scan(&s, &plain) == 0;
    slots = malloc((pick_slots(p) + 1) * sizeof *slots);
    json_scan_init(&s, json, len);
    CHECK((event_scan_picked(&s, &e, p, slots) == 0) == ours);
    if (ours) {
        CHECK(memcmp(e.field, plain.field, sizeof e.field) == 0 && e.members == plain.members);
        if (u >= 0)
            CHECK(slots[u].text == e.field[EVENT_USER_ID].text);
        bool found = e.value.type == JSON_OBJECT && json_find(&e.value, "properties", &properties) &&
                     properties.type == JSON_OBJECT && json_find(&properties, "amount", &v);
        if (a >= 0)
            CHECK(slots[a].text == (found ? v.text : NULL));
    }
    free(slots);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *nul = memchr(data, 0, size);
    if (nul == NULL)
        return 0;
    const char *text = (const char *)data, *json = nul + 1;
    size_t json_len = size - (size_t)(json - text);
    struct pick *p = pick_new();
    struct filter_fault fault;
    struct filter *f = filter_compile(text, p, &fault);
    CHECK(f != NULL || (fault.why[0] != '\0' && fault.at <= (size_t)(nul - text)));
    struct glob g;
    if (glob_compile(&g, text) == NULL)
        (void)glob_match(&g, json, json_len);
    struct json_slice slots[PICK_FIELDS_MAX];
    struct json_scan s;
    struct event e;
    json_scan_init(&s, json, json_len);
    if (f != NULL && event_scan_picked(&s, &e, p, slots) == 0 && e.value.type == JSON_OBJECT)
        (void)filter_match(f, slots);
    check_pick(p, json, json_len);
    filter_free(f);
    pick_free(p);
    return 0;
}
