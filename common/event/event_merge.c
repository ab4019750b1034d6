/* event_merge - see event_merge.h. */
#include "common/event/event_merge.h"

#include <stdbool.h>
#include <string.h>

#define NAME_MAX_BYTES 256

static bool same_name(const struct json_slice *a, const struct json_slice *b)
{
    char one[NAME_MAX_BYTES], two[NAME_MAX_BYTES];
    if (a->len == b->len && memcmp(a->text, b->text, a->len) == 0)
        return true;
    if (memchr(a->text, '\\', a->len) == NULL && memchr(b->text, '\\', b->len) == NULL)
        return false;
    return json_text(a, one, sizeof one) >= 0 && json_text(b, two, sizeof two) >= 0 && strcmp(one, two) == 0;
}

/* The members of common; those beyond the limit are not looked at. */
struct members {
    size_t n;
    struct json_slice key[EVENT_MERGE_MEMBERS_MAX];
    const char *end[EVENT_MERGE_MEMBERS_MAX]; /* of the value; NULL: own has one of that name */
};

static void list_members(const struct json_slice *common, struct members *m)
{
    struct json_iter it = {0};
    struct json_slice value;
    for (m->n = 0; m->n < EVENT_MERGE_MEMBERS_MAX && json_next_member(common, &it, &m->key[m->n], &value);
         m->n++)
        m->end[m->n] = value.text + value.len;
}

static void strike(struct members *m, const struct json_slice *name)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->end[i] != NULL && same_name(&m->key[i], name))
            m->end[i] = NULL;
}

int event_merge_write(const struct json_slice *own, const struct json_slice *common, struct buf *out)
{
    struct members m;
    struct json_iter it = {0};
    struct json_slice key, value;
    bool empty = true;
    list_members(common, &m);
    while (json_next_member(own, &it, &key, &value)) { /* one walk, however many there are */
        strike(&m, &key);
        empty = false;
    }
    if (buf_append(out, own->text, own->len - 1) < 0)
        return -1;
    for (size_t i = 0; i < m.n; i++) {
        if (m.end[i] == NULL)
            continue;
        if ((!empty && buf_appendc(out, ',') < 0) ||
            buf_append(out, m.key[i].text, (size_t)(m.end[i] - m.key[i].text)) < 0)
            return -1;
        empty = false;
    }
    return buf_appendc(out, '}');
}

bool event_merge_fits(const struct json_slice *common)
{
    struct json_iter it = {0};
    struct json_slice key, value;
    size_t n = 0;
    while (json_next_member(common, &it, &key, &value))
        if (++n > EVENT_MERGE_MEMBERS_MAX)
            return false;
    return true;
}
