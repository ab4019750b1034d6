/* msg - see msg.h: the table, and the frame around every message. The fields stand in msg_pack.c and msg_parse.c.
 * Called by chan, link_send and link_recv; no I/O. */
#include "ipc/msg.h"

#include <errno.h>
#include <string.h>

#include "common/base/fatal.h"
#include "ipc/frame.h"
#include "ipc/msg_row.h"

static const struct msg_row rows[] = {
#define X(no, NAME, name, dir, min, max, cap, doc)                                                           \
    [no] = {#NAME, MSG_DIR_##dir, min, max, cap, msg_pack_##name, msg_parse_##name},
#include "ipc/msg.def"
#undef X
};

const struct msg_row *msg_row(unsigned type)
{
    return type < sizeof rows / sizeof *rows && rows[type].name != NULL ? &rows[type] : NULL;
}

const char *msg_name(unsigned type)
{
    const struct msg_row *row = msg_row(type);
    return row == NULL ? "?" : row->name;
}

size_t msg_cap(unsigned type)
{
    const struct msg_row *row = msg_row(type);
    return row == NULL ? 0 : row->cap;
}

size_t msg_n_fds(unsigned type)
{
    return type == MSG_CONFIG || type == MSG_RELOAD ? 1 : type == MSG_LINK ? 2 : 0;
}

int msg_pack(struct buf *out, const struct msg *m)
{
    const struct msg_row *row = msg_row(m->type);
    ASSERT(row != NULL && m->type != MSG_EVENTS);
    static const unsigned char no_head[FRAME_HEAD];
    size_t start = out->len;
    struct msg_out o = {.buf = out};
    if (buf_append(out, no_head, FRAME_HEAD) < 0)
        return -1;
    /* A peer of an older version is told what it does not know only where there is something to tell. */
    bool less = m->type == MSG_STORED && m->u.stored.seen == 0;
    msg_pack_prefix(&o, m->type, m->generation, less ? row->min : row->max);
    row->pack(&o, m);
    size_t body_len = out->len - start - FRAME_HEAD;
    if (!o.failed && body_len > row->cap) {
        o.failed = true;
        errno = EMSGSIZE;
    }
    if (o.failed) {
        out->len = start;
        return -1;
    }
    frame_put_head((unsigned char *)out->data + start, (uint32_t)body_len);
    return 0;
}

int msg_parse(const unsigned char *body, size_t len, enum msg_dir dir, struct msg *m, const char **why)
{
    struct mpwalk w;
    uint32_t n, type;
    mpwalk_init(&w, body, len);
    const struct msg_row *row = NULL;
    *why = NULL;
    if (mpwalk_array(&w, &n) < 0 || n < 2)
        *why = "not an array of two or more";
    else if (mpwalk_u32(&w, &type) < 0 || mpwalk_u32(&w, &m->generation) < 0)
        *why = "type or generation is not a number";
    else if ((row = msg_row(type)) == NULL)
        *why = "unknown type";
    else if (row->dir != dir)
        *why = "wrong direction";
    else if (len > row->cap)
        *why = "longer than its type allows";
    else if (n - 2 < row->min || n - 2 > row->max)
        *why = "wrong number of fields";
    if (*why == NULL) {
        m->type = (enum msg_type)type;
        m->fields = n - 2;
        if (row->parse(&w, m, why) && !mpwalk_done(&w))
            *why = "bytes left over";
    }
    if (*why == NULL)
        return 0;
    errno = EPROTO;
    return -1;
}
