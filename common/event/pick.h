/* pick - the fields that somebody asks for by path, found in the same pass that validates an event.
 *
 * Paths are put in once (routes do), each gets a slot; event_scan_picked() then fills the slots of each event. A member
 * nobody asks for costs one look at the length of its name. Pure.
 */
#ifndef DRAY_COMMON_EVENT_PICK_H
#define DRAY_COMMON_EVENT_PICK_H

#include <stdbool.h>
#include <stddef.h>

#include "common/event/json.h"

#define PICK_FIELDS_MAX 64 /* different paths */
#define PICK_DEPTH_MAX  8  /* names in one path */
#define PICK_NAME_MAX   256

struct pick;

struct pick *pick_new(void);
void pick_free(struct pick *p);
/* names: n texts, UTF-8. The slot of the path (the same one for the same path), or -1 with E2BIG: too many paths, names, or a name
 * too long. */
int pick_add(struct pick *p, const char *const *names, size_t n);
unsigned pick_slots(const struct pick *p);

/* The place in p below `place` (0: the event itself) of this key; 0: nobody asks for it. */
unsigned pick_child(const struct pick *p, unsigned place, const struct json_slice *key, bool escaped);
/* As json_scan_value, for the value of a member whose place pick_child has told; fills the slots at and below it. */
int pick_scan_value(struct json_scan *s, const struct pick *p, unsigned place, struct json_slice *value,
                    struct json_slice *slots);
/* Fills the slots at and below the event's member of this name from a value that was validated. */
void pick_fill(const struct pick *p, const char *name, const struct json_slice *value,
               struct json_slice *slots);

#endif
