/* msg - the message table (msg.def) in C: one struct, one packer and one checked parser a message.
 *
 * Packers append a whole frame (head and body) to a buffer. The parser checks type, arity, direction, size and every
 * field's form, and rejects bytes left over. Text fields are copied; byte fields point into the frame.
 */
#ifndef DRAY_IPC_MSG_H
#define DRAY_IPC_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/id.h"
#include "ipc/mpwalk.h"

#define MSG_PROTO_MIN   1
#define MSG_PROTO_MAX   1
#define MSG_NAME_MAX    64  /* kind, source: bytes with NUL */
#define MSG_QUEUE_MAX   72  /* a destination's id, or that and #partition */
#define MSG_KEY_MAX     256 /* order key */
#define MSG_TOKEN_MAX   128
#define MSG_TEXT_MAX    512
#define MSG_STATE_MAX   32
#define MSG_NOTE_MAX    513
#define MSG_CLIENTS_MAX 32
#define MSG_PART_MAX    60000 /* bytes of one part of STATS or METRICS */
#define MSG_PARTS_MAX   64
#define MSG_DRAIN_STOP  "stop" /* the reason of a drain when the whole host stops */

enum msg_type {
#define X(no, NAME, name, dir, min, max, cap, doc) MSG_##NAME = (no),
#include "ipc/msg.def"
#undef X
};

enum msg_dir { MSG_DIR_CM, MSG_DIR_MC, MSG_DIR_IW, MSG_DIR_WI };

struct msg_hello {
    uint32_t proto_min, proto_max;
    char kind[MSG_NAME_MAX];
    uint32_t slot, pid;
    char build[MSG_NAME_MAX];
};
struct msg_config {
    uint32_t epoch;
    uint64_t length;
    unsigned char sha256[32];
    uint32_t listeners;   /* sockets from FDMAP_LISTEN on */
    char node[UUID_SIZE]; /* of this host, kept in state_dir */
    uint64_t run;         /* of this master, ever rising on this node */
    uint32_t beat_ms, hang_ms, drain_ms;
};
struct msg_ready {
    uint32_t epoch;
};
struct msg_beat {
    uint64_t mono_ms;
    uint32_t loop_lag_ms; /* longest since the last beat */
    uint32_t in_hand;     /* batches or jobs */
    uint64_t dropped_logs;
    uint32_t n_clients;
    uint64_t clients[MSG_CLIENTS_MAX]; /* CLIENT ID of this process' Redis connections */
    uint64_t
        jobs; /* work finished since its start: attempts of jobs, requests; 0 from a peer that does not tell */
};
struct msg_extend {
    uint32_t ms;
    char why[MSG_TEXT_MAX];
};
enum msg_link_role { MSG_LINK_SENDER, MSG_LINK_RECEIVER };
struct msg_link {
    uint64_t link_id;
    uint32_t role; /* of the addressee. Descriptors: first the batch pipe's end, then the ack pipe's */
    char peer_kind[MSG_NAME_MAX];
    uint32_t peer_slot, peer_generation;
};
struct msg_part { /* STATS, METRICS */
    uint32_t part, parts;
    const char *bytes;
    uint32_t len;
};
struct msg_unlink {
    uint32_t peer_generation;
};
struct msg_drain {
    uint32_t deadline_ms;
    char reason[MSG_TEXT_MAX];
};
struct msg_drained {
    uint32_t left;
};
struct msg_level {
    uint32_t level;
};
struct msg_health {
    bool ready;
    const char *json;
    uint32_t json_len;
};
struct msg_reap {
    char token[MSG_TOKEN_MAX];
    bool prefix; /* token is a node's prefix: every run but the current one */
    uint32_t n_clients;
    uint64_t clients[MSG_CLIENTS_MAX];
};
struct msg_reaped {
    char token[MSG_TOKEN_MAX];
    uint32_t jobs;
};
struct msg_note {
    char text[MSG_NOTE_MAX]; /* str_is_plain */
};
struct msg_flush { /* FLUSH, FLUSHED */
    uint32_t id;
};
struct msg_pause {
    char queue[MSG_QUEUE_MAX]; /* of a destination or a takeover; str_is_plain */
    bool paused;
};
struct msg_program {
    uint32_t pid;        /* 0: none runs */
    uint64_t started_ms; /* monotonic */
    uint64_t restarts;
    bool ready, degraded;
    char state[MSG_STATE_MAX]; /* a word for people; str_is_plain */
};
struct msg_reload { /* as in CONFIG */
    uint32_t epoch;
    uint64_t length;
    unsigned char sha256[32];
};
struct msg_reloaded {
    uint32_t epoch; /* of the RELOAD that is answered */
    bool ok;
    char text[MSG_TEXT_MAX]; /* why not; str_is_plain */
};
struct msg_batch {
    char id[ID_SIZE];
    uint32_t tries;
    char source[MSG_NAME_MAX], queue[MSG_QUEUE_MAX], order_key[MSG_KEY_MAX];
    uint32_t flags; /* MSG_BATCH_*; 0 from a peer that knows none */
    uint32_t n_events;
    struct mpwalk
        events; /* stands before the first event; each is mpwalk_bytes; already checked to be n_events */
    const char *seen; /* n_events times MSG_SEEN_ID bytes; NULL: none of them is to be looked for */
};
#define MSG_BATCH_TELL 1u /* of flags: say DELIVERED when its fate is known */
struct msg_follow {
    char id[ID_SIZE], queue[MSG_QUEUE_MAX];
};
enum msg_outcome { MSG_OUTCOME_DELIVERED, MSG_OUTCOME_FAILED, MSG_OUTCOME_UNKNOWN };
struct msg_delivered { /* never before the batch's STORED */
    char id[ID_SIZE];
    uint32_t outcome, status;
    char why[MSG_TEXT_MAX];
};
struct msg_credit {
    uint32_t batches;
    uint64_t bytes;
};
struct msg_stored {
    char id[ID_SIZE];
    bool duplicate;
    uint32_t seen; /* events of the batch that were left out, because their messageId was stored before */
};
struct msg_refused {
    char id[ID_SIZE];
    bool temporary;
    uint32_t retry_after_ms;
    char why[MSG_TEXT_MAX];
};

#define MSG_PRESSURE_MAX 6 /* the deepest; no more room than other messages have */
struct msg_pressure {
    uint32_t memory;
    uint32_t n_queues;
    struct {
        char name[MSG_QUEUE_MAX]; /* of a destination; str_is_plain */
        uint64_t jobs;
    } queues[MSG_PRESSURE_MAX];
};
struct msg_hold { /* HOLD, HELD */
    char queue[MSG_QUEUE_MAX];
    bool held;       /* not in HELD */
    uint32_t number; /* ever rising */
};
struct msg_fill {
    uint64_t bytes, max_bytes;
    bool listed;
};

struct msg {
    enum msg_type type;
    uint32_t generation;
    uint32_t fields; /* parsed: how many it came with, of the row's range */
    union {
        struct msg_hello hello;
        struct msg_config config;
        struct msg_ready ready;
        struct msg_beat beat;
        struct msg_extend extend;
        struct msg_link link;
        struct msg_part stats;
        struct msg_part metrics;
        struct msg_unlink unlink;
        struct msg_drain drain;
        struct msg_drained drained;
        struct msg_level level;
        struct msg_pause pause;
        struct msg_health health;
        struct msg_reap reap;
        struct msg_reaped reaped;
        struct msg_note note;
        struct msg_flush flush;
        struct msg_flush flushed;
        struct msg_program program;
        struct msg_reload reload;
        struct msg_reloaded reloaded;
        struct msg_batch batch;
        struct msg_follow follow;
        struct msg_delivered delivered;
        struct msg_credit credit;
        struct msg_hold hold;
        struct msg_hold held;
        struct msg_fill fill;
        struct msg_stored stored;
        struct msg_refused refused;
        struct msg_pressure pressure;
    } u;
};

/* Appends the frame of m (any type but EVENTS) to out. 0, or -1 with EMSGSIZE (over the row's cap) or ENOMEM. */
int msg_pack(struct buf *out, const struct msg *m);

/* A batch's frame is packed in two pieces, so that the big one is encoded once and never copied again:
 * the events (msg_pack_event appends one to the body as it is gathered), and the head in front of them. */
int msg_pack_event(struct buf *body, const char *json, size_t len);
/* The same for an event that is written in place: begin appends the head (MSG_EVENT_HEAD bytes; 0, or -1 as
 * buf_append), the caller appends the text, end completes the head that begins at offset start. */
#define MSG_EVENT_HEAD 5
int msg_event_begin(struct buf *body);
void msg_event_end(struct buf *body, size_t start);
/* head must hold MSG_BATCH_HEAD_MAX bytes; *head_len bytes of it, then body, are the frame. tries may differ at each
 * sending. */
#define MSG_BATCH_HEAD_MAX 512
#define MSG_SEEN_ID        12 /* bytes that stand for source and messageId of an event; all 0: it is not looked for */
#define MSG_TAIL_HEAD      5
int msg_pack_batch_head(unsigned char *head, size_t *head_len, uint32_t generation, const char *id,
                        uint32_t tries, const char *source, const char *queue, const char *order_key,
                        uint32_t flags, uint32_t n_events, size_t body_len);
/* The same where a tail follows the body: the field behind the events. */
int msg_pack_batch_head_of(unsigned char *head, size_t *head_len, uint32_t generation, const char *id,
                           uint32_t tries, const char *source, const char *queue, const char *order_key,
                           uint32_t flags, uint32_t n_events, size_t body_len, size_t tail_len);
/* A tail: begin appends its head (tail must be empty; 0, or -1 as buf_append), the caller appends MSG_SEEN_ID bytes for
 * each event, end completes the head. */
int msg_tail_begin(struct buf *tail);
void msg_tail_end(struct buf *tail);

/* Checks and decodes one frame body that came from direction dir. 0, or -1 with EPROTO and a reason in why
 * (a static text). Byte fields of m point into body. */
int msg_parse(const unsigned char *body, size_t len, enum msg_dir dir, struct msg *m, const char **why);

const char *msg_name(unsigned type); /* "HELLO"; "?" for an unknown number */
size_t msg_n_fds(
    unsigned type); /* descriptors that a message of this type carries: CONFIG and RELOAD 1, LINK 2, else 0 */
size_t msg_cap(unsigned type); /* 0 for an unknown number */

#endif
