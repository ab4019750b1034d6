/* programs - the places of the programs: a process stands at a place, so a place must keep its program over a reload,
 * whatever was added or taken away before it in the list. */
#include "common/conf/conf.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fatal.h"
#include "common/base/mem.h"
#include "common/conf/internal.h"

#define NO_PLACE SIZE_MAX

static const struct conf_section *section(void)
{
    return conf_table_section("programs");
}

static size_t place_in(const struct conf *c, const char *id)
{
    for (size_t i = 0; i < c->n_programs; i++)
        if (strcmp(c->programs[i].id, id) == 0)
            return i;
    return NO_PLACE;
}

static void make_empty(struct conf_program *p)
{
    const struct conf_section *s = section();
    for (size_t i = 0; i < s->n; i++)
        conf_value_set_default(&s->rows[i], p);
}

void conf_programs_keep_places(struct conf *fresh, const struct conf *old)
{
    size_t most = fresh->n_programs + old->n_programs, n = 0;
    if (fresh->n_programs == 0)
        return;
    struct conf_program *placed = xcalloc(most, sizeof *placed);
    for (size_t i = 0; i < fresh->n_programs; i++) {
        size_t at = place_in(old, fresh->programs[i].id);
        if (at != NO_PLACE)
            placed[at] = fresh->programs[i];
    }
    size_t next = 0;
    for (size_t i = 0; i < fresh->n_programs; i++) {
        if (place_in(old, fresh->programs[i].id) != NO_PLACE)
            continue;
        while (placed[next].id != NULL)
            next++;
        placed[next] = fresh->programs[i];
    }
    for (size_t i = 0; i < most; i++)
        if (placed[i].id != NULL)
            n = i + 1;
    for (size_t i = 0; i < n; i++)
        if (placed[i].id == NULL)
            make_empty(&placed[i]);
    ASSERT(n > 0);
    free(fresh->programs);
    fresh->programs = placed;
    fresh->n_programs = n;
}

const struct conf_program *conf_program_copy(const struct conf_program *p)
{
    const struct conf_section *s = section();
    struct conf_program *copy = xcalloc(1, sizeof *copy);
    char why[256];
    *copy = *p;
    for (size_t i = 0; i < s->n; i++) {
        const struct conf_row *row = &s->rows[i];
        char *place = (char *)copy + row->offset;
        if (row->type == CONF_TYPE_STRING || row->type == CONF_TYPE_SECRET || row->type == CONF_TYPE_FILE) {
            char *text;
            memcpy(&text, place, sizeof text);
            text = xstrdup(text);
            memcpy(place, &text, sizeof text);
        } else if (CONF_IS_WORDS(row)) {
            char **words;
            size_t n = 0;
            memcpy(&words, place, sizeof words);
            while (words[n] != NULL)
                n++;
            memset(place, 0, sizeof words); /* what stands there is the other's */
            if (conf_value_set_words(row, copy, words, n, why, sizeof why) != 0)
                panic("conf: %s: %s", row->path, why);
        }
    }
    return copy;
}

bool conf_program_differs(const struct conf *a, const struct conf *b, size_t place)
{
    bool in_a = place < a->n_programs && a->programs[place].id[0] != '\0';
    bool in_b = place < b->n_programs && b->programs[place].id[0] != '\0';
    if (!in_a || !in_b)
        return in_a != in_b;
    const struct conf_section *s = section();
    for (size_t i = 0; i < s->n; i++)
        if (!conf_value_equal(&s->rows[i], &a->programs[place], &b->programs[place]))
            return true;
    return false;
}

static unsigned before(const struct conf *c)
{
    return c->redis.mode == CONF_REDIS_MANAGED ? 1 : 0;
}

unsigned conf_program_slots(const struct conf *c)
{
    return before(c) + (unsigned)c->n_programs;
}

bool conf_program_slot_is_redis(const struct conf *c, unsigned slot)
{
    return slot == 0 && before(c) == 1;
}

const struct conf_program *conf_program_of_slot(const struct conf *c, unsigned slot)
{
    if (slot < before(c) || slot - before(c) >= c->n_programs)
        return NULL;
    const struct conf_program *p = &c->programs[slot - before(c)];
    return p->id[0] != '\0' ? p : NULL;
}

const char *conf_program_slot_name(const struct conf *c, unsigned slot)
{
    const struct conf_program *p = conf_program_of_slot(c, slot);
    return conf_program_slot_is_redis(c, slot) ? "redis" : p != NULL ? p->id : NULL;
}

bool conf_program_slot_differs(const struct conf *a, const struct conf *b, unsigned slot)
{
    if (conf_program_slot_is_redis(a, slot) || conf_program_slot_is_redis(b, slot))
        return false; /* its keys stand in another section */
    return conf_program_differs(a, b, slot - before(b));
}
