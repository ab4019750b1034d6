/* item - the tree that a configuration text is read into. */
#include "common/conf/internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

struct conf_item *conf_item_scalar(const char *text, const struct conf_origin *from)
{
    struct conf_item *item = xcalloc(1, sizeof *item);
    item->kind = CONF_ITEM_SCALAR;
    item->from = from;
    item->text = xstrdup(text);
    return item;
}

void conf_item_free(struct conf_item *item)
{
    if (item == NULL)
        return;
    for (struct conf_item *child = item->first, *next; child != NULL; child = next) {
        next = child->next;
        conf_item_free(child);
    }
    if (item->text != NULL)
        explicit_bzero(item->text, strlen(item->text));
    free(item->text);
    free(item->key);
    free(item);
}

struct conf_item *conf_item_find(const struct conf_item *map, const char *key)
{
    for (struct conf_item *child = map->first; child != NULL; child = child->next)
        if (child->key != NULL && strcmp(child->key, key) == 0)
            return child;
    return NULL;
}
