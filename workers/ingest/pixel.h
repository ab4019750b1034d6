/* pixel - an event out of the query of an image's address. Pure.
 *
 * RudderStack's (as rudder-server f2655fbbe, preparePixelPayload): every parameter is a member with a text as value, dots in
 * its name make objects; channel, integrations and times are added. Segment's: `data` is the event in base64, or else
 * parameters as above, nothing added. Numbers between dots are names, not places in an array. */
#ifndef DRAY_WORKERS_INGEST_PIXEL_H
#define DRAY_WORKERS_INGEST_PIXEL_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"

#define PIXEL_PARAMETERS_MAX 128
#define PIXEL_DEPTH_MAX      16
#define PIXEL_TEXT_MAX       (64u << 10)
#define PIXEL_GIF_SIZE       43

extern const unsigned char
    pixel_gif[PIXEL_GIF_SIZE]; /* 1x1, transparent: the answer, whatever has happened */

/* Writes the event as JSON text (not yet validated when it came as `data`). type: "page" or any other verb; now: the time
 * as text. 0, or -1 with EINVAL: this is no event. */
int pixel_write(const char *query, const char *type, bool is_segment, const char *now, struct buf *out);

#endif
