/* diff - which keys differ between two configurations, and what it takes to apply them; and how a process that runs
 * takes a new one over without moving what it points to. */
#include "common/conf/internal.h"

#include <stdio.h>
#include <string.h>

struct list_of {
    char *elements;
    size_t n;
};

static struct list_of list_of(const struct conf_section *s, const struct conf *c)
{
    struct list_of l;
    memcpy(&l.elements, (const char *)c + s->offset, sizeof l.elements);
    memcpy(&l.n, (const char *)c + s->n_offset, sizeof l.n);
    return l;
}

/* The first row of a list names its elements: the same names in the same order? */
static bool same_members(const struct conf_section *s, struct list_of a, struct list_of b)
{
    bool same = a.n == b.n;
    for (size_t i = 0; i < a.n && same; i++)
        same = conf_value_equal(&s->rows[0], a.elements + i * s->size, b.elements + i * s->size);
    return same;
}

static const char *name_of(const struct conf_section *s, const char *element)
{
    const char *name;
    memcpy(&name, element + s->rows[0].offset, sizeof name);
    return name;
}

static void diff_list(const struct conf_section *s, const struct conf *a, const struct conf *b,
                      conf_diff_fn fn, void *arg)
{
    struct list_of x = list_of(s, a), y = list_of(s, b);
    char key[96], path[192];
    if (!same_members(s, x, y)) {
        fn(&(struct conf_change){s->name, s->name, s->name, s->rows[0].apply}, arg);
        return;
    }
    for (size_t i = 0; i < x.n; i++)
        for (size_t j = 0; j < s->n; j++) {
            const char *old = x.elements + i * s->size;
            if (conf_value_equal(&s->rows[j], old, y.elements + i * s->size))
                continue;
            snprintf(key, sizeof key, "%s[].%s", s->name, s->rows[j].path);
            snprintf(path, sizeof path, "%s.%.64s.%s", s->name, name_of(s, old), s->rows[j].path);
            fn(&(struct conf_change){s->name, key, path, s->rows[j].apply}, arg);
        }
}

void conf_diff(const struct conf *a, const struct conf *b, conf_diff_fn fn, void *arg)
{
    for (size_t i = 0; i < CONF_SECTIONS; i++) {
        const struct conf_section *s = &conf_sections[i];
        if (CONF_IS_LIST(s)) {
            diff_list(s, a, b, fn, arg);
            continue;
        }
        for (size_t j = 0; j < s->n; j++) {
            char path[128];
            if (conf_value_equal(&s->rows[j], (const char *)a + s->offset, (const char *)b + s->offset))
                continue;
            snprintf(path, sizeof path, "%s.%s", s->name, s->rows[j].path);
            fn(&(struct conf_change){s->name, path, path, s->rows[j].apply}, arg);
        }
    }
}

static void take_rows(const struct conf_section *s, char *to, char *from)
{
    for (size_t j = 0; j < s->n; j++)
        if (!conf_value_equal(&s->rows[j], to, from))
            conf_value_swap(&s->rows[j], to, from);
}

static void swap_bytes(char *a, char *b, size_t n)
{
    char t[sizeof(void *)];
    memcpy(t, a, n);
    memcpy(a, b, n);
    memcpy(b, t, n);
}

/* Before two lists change places: an element that stays in its place keeps the values that are the same, so that texts
 * of it are where they were. */
static void keep_texts(const struct conf_section *s, struct list_of old, struct list_of fresh)
{
    for (size_t i = 0; i < old.n && i < fresh.n; i++) {
        char *a = old.elements + i * s->size, *b = fresh.elements + i * s->size;
        if (!conf_value_equal(&s->rows[0], a, b))
            continue;
        for (size_t j = 0; j < s->n; j++)
            if (conf_value_equal(&s->rows[j], a, b))
                conf_value_swap(&s->rows[j], a, b);
    }
}

void conf_take(struct conf *to, struct conf *from)
{
    for (size_t i = 0; i < CONF_SECTIONS; i++) {
        const struct conf_section *s = &conf_sections[i];
        if (!CONF_IS_LIST(s)) {
            take_rows(s, (char *)to + s->offset, (char *)from + s->offset);
            continue;
        }
        struct list_of x = list_of(s, to), y = list_of(s, from);
        if (same_members(s, x, y)) {
            for (size_t e = 0; e < x.n; e++)
                take_rows(s, x.elements + e * s->size, y.elements + e * s->size);
        } else {
            keep_texts(s, x, y);
            swap_bytes((char *)to + s->offset, (char *)from + s->offset, sizeof x.elements);
            swap_bytes((char *)to + s->n_offset, (char *)from + s->n_offset, sizeof x.n);
        }
    }
}
