/* frame - the unit on every channel: 0xCE, u32 big-endian length, then that many bytes of one msgpack array.
 *
 * The head is itself a valid msgpack uint32, so a captured stream can be read by any msgpack tool, and its first byte
 * tells a stream that is out of step. The length is checked against the channel's cap before anything is allocated.
 * Pure: the reader is fed bytes, it reads nothing itself.
 */
#ifndef DRAY_IPC_FRAME_H
#define DRAY_IPC_FRAME_H

#include <stddef.h>
#include <stdint.h>

#define FRAME_HEAD        5
#define FRAME_CONTROL_MAX (64u << 10)
#define FRAME_ACK_MAX     4096u /* PIPE_BUF: an ack is written whole or not at all */
#define FRAME_BATCH_MAX   (8u << 20)

void frame_put_head(unsigned char head[FRAME_HEAD], uint32_t body_len);

struct frame_reader {
    size_t max;                     /* cap of a body */
    unsigned char head[FRAME_HEAD]; /* the part of the head that has come */
    size_t head_len;
    unsigned char *body; /* allocated once the head is whole and within the cap */
    size_t body_len, body_got, body_cap;
    int given; /* the frame was handed out; the next call begins a new one */
};

void frame_reader_init(struct frame_reader *r, size_t max);
void frame_reader_fini(struct frame_reader *r);

enum frame_result {
    FRAME_MORE,  /* all input is used up, the frame is not whole yet */
    FRAME_WHOLE, /* *body, *len hold a frame until the next call of frame_next or _fini */
    FRAME_BAD, /* wrong first byte, length 0 or over the cap: the stream is lost for good (errno EPROTO, EMSGSIZE) */
    FRAME_NO_MEM, /* the body could not be allocated (errno ENOMEM) */
};

/* Takes bytes from *data (advancing *data and *left) until one frame is whole or the input is used up. A frame that
 * stands whole in the input is not copied: *body then points into the input. FRAME_BAD stays. */
enum frame_result frame_next(struct frame_reader *r, const unsigned char **data, size_t *left,
                             const unsigned char **body, size_t *len);
/* Bytes of an unfinished frame are held (a torn tail at EOF). */
int frame_reader_torn(const struct frame_reader *r);
/* Where the next bytes of a big body may be read to directly, to save the copy: room in *size (0: use frame_next);
 * then tell how many came with frame_reader_filled; FRAME_WHOLE comes from the next frame_next (with no input). */
unsigned char *frame_reader_room(struct frame_reader *r, size_t *size);
void frame_reader_filled(struct frame_reader *r, size_t n);

#endif
