/* control_verb - what can be asked of the master over its control socket: a JSON object in, one out. */
#ifndef DRAY_MASTER_CONTROL_VERB_H
#define DRAY_MASTER_CONTROL_VERB_H

#include <jansson.h>

struct master;

/* When the answer comes: at once; when every ingest process has sent on what it holds; when the upgrade at hand has ended;
 * when the new configuration is in force, or has failed. What the last two and the first of these need, the asker does. */
enum control_verb_later { CONTROL_VERB_NOW, CONTROL_VERB_FLUSH, CONTROL_VERB_UPGRADE, CONTROL_VERB_RELOAD };

/* The answer (the caller's), or NULL: *later says when it comes. request: NULL when it was no JSON. */
json_t *control_verb_answer(struct master *m, const json_t *request, enum control_verb_later *later);

json_t *control_verb_refuse(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
json_t *control_verb_okay(void);

#endif
