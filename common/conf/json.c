/* json - what conf_dump wrote, to the same tree as YAML. No places, no expansion, and libfyaml is not needed. */
#include "common/conf/internal.h"

#include <jansson.h>
#include <string.h>

#include "common/base/mem.h"

static struct conf_item *convert(const json_t *value, const struct conf_origin *from)
{
    struct conf_item *item = xcalloc(1, sizeof *item);
    item->from = from;
    item->kind = json_is_object(value)  ? CONF_ITEM_MAP
                 : json_is_array(value) ? CONF_ITEM_LIST
                                        : CONF_ITEM_SCALAR;
    struct conf_item **end = &item->first;
    const char *key;
    json_t *child;
    size_t i;
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        json_object_foreach((json_t *)value, key, child)
        {
            *end = convert(child, from);
            (*end)->key = xstrdup(key);
            end = &(*end)->next;
        }
        break;
    case JSON_ARRAY:
        json_array_foreach(value, i, child)
        {
            *end = convert(child, from);
            end = &(*end)->next;
        }
        break;
    case JSON_STRING:
        item->text = xstrdup(json_string_value(value));
        break;
    case JSON_INTEGER:
        item->text = xasprintf("%lld", (long long)json_integer_value(value));
        break;
    case JSON_REAL:
        item->text = xasprintf("%.17g", json_real_value(value));
        break;
    case JSON_NULL:
        item->empty = true;
        item->text = xstrdup("");
        break;
    default:
        item->text = xstrdup(json_is_true(value) ? "true" : "false");
        break;
    }
    return item;
}

struct conf_item *conf_json_parse(const char *text, size_t len, const struct conf_origin *from,
                                  struct buf *errors)
{
    json_error_t error;
    json_t *value = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    if (value == NULL) {
        (void)buf_printf(errors, "%s:%d:%d: %s\n", from->name, error.line, error.column, error.text);
        return NULL;
    }
    struct conf_item *item = convert(value, from);
    json_decref(value);
    return item;
}
