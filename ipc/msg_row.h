/* msg_row - one row of the message table in memory, for msg.c, msg_pack.c and msg_parse.c alone. */
#ifndef DRAY_IPC_MSG_ROW_H
#define DRAY_IPC_MSG_ROW_H

#include <stdbool.h>

#include "ipc/msg.h"

/* Where a packer writes. failed: the buffer refused something (errno tells). */
struct msg_out {
    struct buf *buf;
    bool failed;
};

struct msg_row {
    const char *name;
    enum msg_dir dir;
    uint32_t min, max; /* fields */
    size_t cap;        /* bytes of the body */
    void (*pack)(struct msg_out *o, const struct msg *m);
    /* Reads the fields the row demands at least; false and *why for a wrong one. */
    bool (*parse)(struct mpwalk *w, struct msg *m, const char **why);
};

/* NULL for an unknown number. */
const struct msg_row *msg_row(unsigned type);

#define X(no, NAME, name, dir, min, max, cap, doc)                                                           \
    void msg_pack_##name(struct msg_out *o, const struct msg *m);                                            \
    bool msg_parse_##name(struct mpwalk *w, struct msg *m, const char **why);
#include "ipc/msg.def"
#undef X

/* The array header and the two fields every message begins with. */
void msg_pack_prefix(struct msg_out *o, unsigned type, uint32_t generation, uint32_t fields);

#endif
