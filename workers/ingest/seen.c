/* seen - see seen.h. Open addressing with linear probing and backward-shift deletion, at most half full. The places are
 * mixed with randomness of this process: a sender knows the key of its own digests. */
#include "workers/ingest/seen.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/id.h"
#include "common/base/mem.h"

#define SIZE_MIN 256

void seen_init(struct seen *s, struct http_budget *budget)
{
    *s = (struct seen){.budget = budget};
    id_random(s->mix, sizeof s->mix);
    for (size_t i = 0; i < 3; i++)
        s->mix[i] |= 1;
}

void seen_fini(struct seen *s)
{
    s->budget->used -= s->size * sizeof *s->entries;
    free(s->entries);
    s->entries = NULL;
    s->size = s->n = 0;
}

void seen_source_key(const char *source, const char *write_key, unsigned char key[SIPHASH_KEY])
{
    static const unsigned char purpose[SIPHASH_KEY] = "dray messageIds";
    unsigned char of_source[SIPHASH_SIZE];
    const char *secret = write_key != NULL ? write_key : "";
    siphash_digest(purpose, source, strlen(source), of_source);
    siphash_digest(of_source, secret, strlen(secret), key);
}

static bool is_none(const unsigned char id[MSG_SEEN_ID])
{
    static const unsigned char none[MSG_SEEN_ID];
    return memcmp(id, none, MSG_SEEN_ID) == 0;
}

bool seen_id(const unsigned char key[SIPHASH_KEY], const struct event *e, unsigned char id[MSG_SEEN_ID])
{
    const struct json_slice *v = &e->field[EVENT_MESSAGE_ID];
    unsigned char digest[SIPHASH_SIZE];
    if (v->text == NULL || json_is_blank(v))
        return false;
    siphash_digest(key, v->text, v->len, digest); /* with its quotes: 1 and "1" are different ids */
    memcpy(id, digest, MSG_SEEN_ID);
    return !is_none(id);
}

static size_t place(const struct seen *s, const struct batch_lane *lane, const unsigned char *id)
{
    uint64_t low, high;
    memcpy(&low, id, 8);
    memcpy(&high, id + MSG_SEEN_ID - 8, 8);
    uint64_t h = low * s->mix[0] + high * s->mix[1] + (uint64_t)(uintptr_t)lane * s->mix[2];
    return (size_t)(h >> 24) & (s->size - 1);
}

static bool is(const struct seen_entry *e, const struct batch_lane *lane, const unsigned char *id)
{
    return memcmp(e->id, id, MSG_SEEN_ID) == 0 && e->batch->lane == lane;
}

/* The entry of this event, or the free place where it would go. */
static struct seen_entry *find(const struct seen *s, const struct batch_lane *lane, const unsigned char *id)
{
    size_t i = place(s, lane, id);
    while (s->entries[i].batch != NULL && !is(&s->entries[i], lane, id))
        i = (i + 1) & (s->size - 1);
    return &s->entries[i];
}

struct batch *seen_find(const struct seen *s, const struct batch_lane *lane,
                        const unsigned char id[MSG_SEEN_ID])
{
    return s->n > 0 ? find(s, lane, id)->batch : NULL;
}

static bool grow(struct seen *s)
{
    struct seen old = *s;
    size_t size = s->size > 0 ? 2 * s->size : SIZE_MIN, bytes = size * sizeof *s->entries;
    if (s->budget->used + bytes > s->budget->max)
        return false;
    struct seen_entry *entries = mem_try(bytes);
    if (entries == NULL)
        return false;
    memset(entries, 0, bytes);
    s->entries = entries;
    s->size = size;
    s->budget->used += bytes - old.size * sizeof *s->entries;
    for (size_t i = 0; i < old.size; i++)
        if (old.entries[i].batch != NULL)
            *find(s, old.entries[i].batch->lane, old.entries[i].id) = old.entries[i];
    free(old.entries);
    return true;
}

bool seen_put(struct seen *s, struct batch *b, const unsigned char id[MSG_SEEN_ID])
{
    if (2 * (s->n + 1) > s->size && !grow(s))
        return false;
    struct seen_entry *e = find(s, b->lane, id);
    if (e->batch == NULL)
        s->n++;
    memcpy(e->id, id, MSG_SEEN_ID);
    e->batch = b;
    return true;
}

static void remove_at(struct seen *s, size_t hole)
{
    size_t mask = s->size - 1;
    s->entries[hole].batch = NULL;
    s->n--;
    for (size_t i = (hole + 1) & mask; s->entries[i].batch != NULL; i = (i + 1) & mask) {
        size_t home = place(s, s->entries[i].batch->lane, s->entries[i].id);
        if (((i - home) & mask) < ((i - hole) & mask))
            continue; /* it may not stand before its home */
        s->entries[hole] = s->entries[i];
        s->entries[i].batch = NULL;
        hole = i;
    }
}

void seen_forget(struct seen *s, const struct batch *b)
{
    size_t n = batch_seen_ids(b);
    for (size_t i = 0; i < n && s->n > 0; i++) {
        const unsigned char *id = batch_seen_id(b, i);
        struct seen_entry *e = find(s, b->lane, id);
        if (e->batch == b && !is_none(id))
            remove_at(s, (size_t)(e - s->entries));
    }
}
