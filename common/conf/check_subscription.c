/* check_subscription - the rules of the list subscriptions, and the listener that they come in by. */
#include "common/conf/internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

static void check_one(struct conf_layers *l, const struct conf *c, size_t i)
{
    static const char list[] = "subscriptions";
    const struct conf_subscription *it = &c->subscriptions[i];
    bool channel = it->channel[0] != '\0', pattern = it->pattern[0] != '\0';
    conf_check_tell(l, list, it->id, i, "id", conf_check_id(it->id));
    for (size_t j = 0; j < i; j++)
        if (strcmp(c->subscriptions[j].id, it->id) == 0)
            conf_check_tell(l, list, it->id, i, "id", "another subscription has the same id");
    if (conf_find_source(c, it->source) == NULL)
        conf_check_tell(l, list, it->id, i, "source", "there is no source of this id; name one of sources");
    if (!channel && !pattern)
        conf_check_tell(l, list, it->id, i, "channel", "must be given, or a pattern");
    if (channel && pattern)
        conf_check_tell(l, list, it->id, i, "pattern",
                        "and channel exclude each other; make it two subscriptions");
    if (it->url[0] != '\0')
        conf_check_tell(l, list, it->id, i, "url", conf_check_redis_url(it->url));
    else if (c->redis.mode == CONF_REDIS_NONE)
        conf_check_tell(l, list, it->id, i, "url",
                        "must be given: with redis.mode: none there is no other Redis");
}

void conf_check_subscriptions(struct conf_layers *l, const struct conf *c)
{
    for (size_t i = 0; i < c->n_subscriptions; i++)
        check_one(l, c, i);
    for (size_t i = 0; i < c->n_listeners && c->n_subscriptions > 0; i++)
        if (strcmp(c->listeners[i].id, CONF_LOCAL_LISTENER) == 0)
            conf_check_tell(l, "ingest.listeners", c->listeners[i].id, i, "id",
                            "is the name of the listener that subscriptions use; take another");
}

void conf_add_local_listener(struct conf *c)
{
    const struct conf_section *s = conf_table_section("ingest.listeners");
    struct conf_listener *it;
    char path[1024];
    if (c->n_subscriptions == 0)
        return;
    c->listeners = xrealloc(c->listeners, (c->n_listeners + 1) * sizeof *c->listeners);
    it = &c->listeners[c->n_listeners++];
    memset(it, 0, sizeof *it);
    for (size_t i = 0; i < s->n; i++)
        conf_value_set_default(&s->rows[i], it);
    free(it->id);
    free(it->address);
    it->id = xstrdup(CONF_LOCAL_LISTENER);
    it->address = xasprintf("unix:%s", conf_run_path(c, CONF_LOCAL_SOCKET, path, sizeof path));
}
