/* diff - which keys differ between two configurations, and what it takes to apply them. */
#include "common/conf/internal.h"

#include <stdio.h>
#include <string.h>

static bool same_element(const struct conf_section *s, const char *a, const char *b)
{
    for (size_t i = 0; i < s->n; i++)
        if (!conf_value_equal(&s->rows[i], a, b))
            return false;
    return true;
}

static bool same_list(const struct conf_section *s, const struct conf *a, const struct conf *b)
{
    const char *x, *y;
    size_t n, m;
    memcpy(&x, (const char *)a + s->offset, sizeof x);
    memcpy(&y, (const char *)b + s->offset, sizeof y);
    memcpy(&n, (const char *)a + s->n_offset, sizeof n);
    memcpy(&m, (const char *)b + s->n_offset, sizeof m);
    bool same = n == m;
    for (size_t i = 0; i < n && same; i++)
        same = same_element(s, x + i * s->size, y + i * s->size);
    return same;
}

void conf_diff(const struct conf *a, const struct conf *b, conf_diff_fn fn, void *arg)
{
    for (size_t i = 0; i < CONF_SECTIONS; i++) {
        const struct conf_section *s = &conf_sections[i];
        if (CONF_IS_LIST(s)) {
            if (!same_list(s, a, b))
                fn(s->name, s->rows[0].apply, arg); /* the rows of a list share it */
            continue;
        }
        for (size_t j = 0; j < s->n; j++) {
            char path[128];
            if (conf_value_equal(&s->rows[j], (const char *)a + s->offset, (const char *)b + s->offset))
                continue;
            snprintf(path, sizeof path, "%s.%s", s->name, s->rows[j].path);
            fn(path, s->rows[j].apply, arg);
        }
    }
}
