/* halves - divides a stored batch; see halves.h. Pure: no I/O, no clock. */
#include "workers/delivery/flow/halves.h"

#include <stdio.h>
#include <string.h>

#include "common/event/json.h"

int halves_find(const char *data, size_t len, struct halves *out)
{
    struct json_slice whole, form, batch, e;
    struct json_iter it = {0};
    struct json_scan s;
    size_t n = 0;

    json_scan_init(&s, data, len);
    if (json_scan_value(&s, &whole) != 0 || json_scan_end(&s) != 0 || whole.type != JSON_OBJECT ||
        !json_find(&whole, "dray", &form) || form.type != JSON_NUMBER || form.len != 1 ||
        form.text[0] != '1' || !json_find(&whole, "batch", &batch) || batch.type != JSON_ARRAY)
        return -1;
    while (json_next_element(&batch, &it, &e))
        n++;
    if (n < 2)
        return -1;
    out->events = n;
    out->first = (n + 1) / 2;
    out->head = (size_t)(batch.text - data) + 1;
    out->tail = (size_t)(batch.text - data) + batch.len - 1;
    it = (struct json_iter){0};
    for (size_t i = 0; i < out->first; i++)
        (void)json_next_element(&batch, &it, &e);
    out->middle = (size_t)(e.text - data) + e.len;
    while (data[out->middle] != ',') /* white space only: it was validated */
        out->middle++;
    return 0;
}

size_t halves_write(const char *data, size_t len, const struct halves *h, int second, char *dst)
{
    size_t from = second ? h->middle + 1 : h->head, to = second ? h->tail : h->middle, n = h->head;

    memcpy(dst, data, n);
    memcpy(dst + n, data + from, to - from);
    n += to - from;
    memcpy(dst + n, data + h->tail, len - h->tail);
    return n + len - h->tail;
}

char *halves_id(const char *id, int second, char dst[HALVES_ID_MAX])
{
    int n = snprintf(dst, HALVES_ID_MAX, "%s.%d", id, second != 0);

    return n > 0 && n < HALVES_ID_MAX ? dst : NULL;
}
