/* subscribe - channels of one connection. hiredis keeps a callback for each and calls it with NULL when the connection is
 * gone; what we keep for it lives until then. */
#include "common/redis/internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

struct subscription {
    redis_message_fn fn;
    void *arg;
};

static const redisReply *part(const redisReply *reply, size_t i)
{
    return i < reply->elements && reply->element[i]->type == REDIS_REPLY_STRING ? reply->element[i] : NULL;
}

/* [subscribe, channel, n], [message, channel, text] or [pmessage, pattern, channel, text]. */
static void on_reply(redisAsyncContext *ac, void *reply_arg, void *arg)
{
    struct subscription *s = arg;
    const redisReply *reply = reply_arg, *kind, *channel, *text;
    struct redis *r = ac->data;
    if (reply == NULL) {
        free(s);
        return;
    }
    if (r == NULL || r->ac != ac || reply->type != REDIS_REPLY_ARRAY || (kind = part(reply, 0)) == NULL)
        return;
    bool pattern = kind->str[0] == 'p';
    channel = part(reply, pattern && reply->elements == 4 ? 2 : 1);
    text = part(reply, pattern ? 3 : 2);
    redis_enter(r);
    if (strcmp(kind->str + pattern, "subscribe") == 0)
        s->fn(NULL, NULL, 0, s->arg);
    else if (strcmp(kind->str + pattern, "message") == 0 && channel != NULL && text != NULL)
        s->fn(channel->str, text->str, text->len, s->arg);
    redis_leave(r);
}

void redis_subscribe(struct redis *r, const char *channel, bool pattern, redis_message_fn fn, void *arg)
{
    if (r->state != REDIS_READY || r->ac == NULL)
        return;
    struct subscription *s = xcalloc(1, sizeof *s);
    const char *argv[] = {pattern ? "PSUBSCRIBE" : "SUBSCRIBE", channel};
    *s = (struct subscription){fn, arg};
    if (r->target.host != NULL)
        (void)redisEnableKeepAlive(
            &r->ac->c); /* nothing is sent here that a lost connection would be noticed by */
    if (redisAsyncCommandArgv(r->ac, on_reply, s, 2, argv, NULL) != 0)
        free(s);
}
