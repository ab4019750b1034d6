/* pick - see pick.h. The paths as a tree of names; the last member of a name counts, with all that is below it. */
#include "common/event/pick.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

#define PLACES_MAX (1 + PICK_FIELDS_MAX * PICK_DEPTH_MAX)
#define LONG_NAME  63 /* all names that are longer share a bit */

struct place {
    char *name;
    size_t len;
    unsigned child, sibling; /* 0: none */
    uint64_t lengths;        /* of the children's names, a bit each */
    int slot;                /* -1: nobody asks for the value itself */
};

struct pick {
    struct place places[PLACES_MAX]; /* the first one is the event */
    unsigned n_places, n_slots;
};

struct pick *pick_new(void)
{
    struct pick *p = xcalloc(1, sizeof *p);
    p->n_places = 1;
    p->places[0].slot = -1;
    return p;
}

void pick_free(struct pick *p)
{
    if (p == NULL)
        return;
    for (unsigned i = 1; i < p->n_places; i++)
        free(p->places[i].name);
    free(p);
}

unsigned pick_slots(const struct pick *p)
{
    return p->n_slots;
}

static uint64_t bit_of(size_t len)
{
    return (uint64_t)1 << (len < LONG_NAME ? len : LONG_NAME);
}

static unsigned find(const struct pick *p, unsigned at, const char *name, size_t len)
{
    for (unsigned c = p->places[at].child; c != 0; c = p->places[c].sibling)
        if (p->places[c].len == len && memcmp(p->places[c].name, name, len) == 0)
            return c;
    return 0;
}

int pick_add(struct pick *p, const char *const *names, size_t n)
{
    unsigned at = 0;
    bool fits = n > 0 && n <= PICK_DEPTH_MAX;
    for (size_t i = 0; i < n && fits; i++)
        fits = strlen(names[i]) < PICK_NAME_MAX;
    if (!fits || p->n_slots == PICK_FIELDS_MAX) {
        for (size_t i = 0; i < n && fits; i++) { /* full: what is there already may be asked for again */
            at = find(p, at, names[i], strlen(names[i]));
            fits = at != 0;
        }
        if (fits && p->places[at].slot >= 0)
            return p->places[at].slot;
        errno = E2BIG;
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(names[i]);
        unsigned c = find(p, at, names[i], len);
        if (c == 0) {
            c = p->n_places++;
            p->places[c] = (struct place){
                .name = xstrdup(names[i]), .len = len, .sibling = p->places[at].child, .slot = -1};
            p->places[at].child = c;
            p->places[at].lengths |= bit_of(len);
        }
        at = c;
    }
    if (p->places[at].slot < 0)
        p->places[at].slot = (int)p->n_slots++;
    return p->places[at].slot;
}

unsigned pick_child(const struct pick *p, unsigned place, const struct json_slice *key, bool escaped)
{
    const struct place *at = &p->places[place];
    size_t len = key->len - 2;
    if (!escaped)
        return (at->lengths & bit_of(len)) == 0 ? 0 : find(p, place, key->text + 1, len);
    for (unsigned c = at->child; c != 0; c = p->places[c].sibling)
        if (json_key_is(key, p->places[c].name))
            return c;
    return 0;
}

static void forget(const struct pick *p, unsigned place, struct json_slice *slots)
{
    const struct place *at = &p->places[place];
    if (at->slot >= 0)
        slots[at->slot].text = NULL;
    for (unsigned c = at->child; c != 0; c = p->places[c].sibling)
        forget(p, c, slots);
}

static int scan_inside(struct json_scan *s, const struct pick *p, unsigned place, struct json_slice *value,
                       struct json_slice *slots)
{
    const char *start = s->at;
    struct json_slice key, member;
    int r;
    if (json_scan_enter(s, JSON_OBJECT) < 0)
        return -1;
    while ((r = json_scan_member(s, &key)) > 0) {
        unsigned c = pick_child(p, place, &key, s->key_escaped);
        if ((c == 0 ? json_scan_value(s, &member) : pick_scan_value(s, p, c, &member, slots)) < 0)
            return -1;
    }
    *value = (struct json_slice){start, (uint32_t)(s->at - start), JSON_OBJECT};
    return r;
}

int pick_scan_value(struct json_scan *s, const struct pick *p, unsigned place, struct json_slice *value,
                    struct json_slice *slots)
{
    const struct place *at = &p->places[place];
    bool inside = at->child != 0 && json_scan_peek(s, JSON_OBJECT);
    forget(p, place, slots);
    if ((inside ? scan_inside(s, p, place, value, slots) : json_scan_value(s, value)) < 0)
        return -1;
    if (at->slot >= 0)
        slots[at->slot] = *value;
    return 0;
}

void pick_fill(const struct pick *p, const char *name, const struct json_slice *value,
               struct json_slice *slots)
{
    struct json_scan s;
    struct json_slice again;
    unsigned place = find(p, 0, name, strlen(name));
    json_scan_init(&s, value->text, value->len);
    if (place != 0)
        (void)pick_scan_value(&s, p, place, &again, slots);
}
