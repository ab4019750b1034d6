/* msg: every message of the table comes back as it went; everything else is refused, with a reason. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <msgpack.h>

#include "ipc/frame.h"
#include "ipc/msg.h"

static struct buf out;

static int setup(void **state)
{
    (void)state;
    buf_init(&out, 16u << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    buf_fini(&out);
    return 0;
}

/* Packs m, checks the frame's head, and parses it again. */
static struct msg there_and_back(const struct msg *m, enum msg_dir dir)
{
    struct msg back;
    const char *why;
    memset(&back, 0x5a, sizeof back);
    buf_reset(&out);
    assert_int_equal(msg_pack(&out, m), 0);
    unsigned char head[FRAME_HEAD];
    frame_put_head(head, (uint32_t)(out.len - FRAME_HEAD));
    assert_memory_equal(out.data, head, FRAME_HEAD);
    assert_int_equal(
        msg_parse((unsigned char *)out.data + FRAME_HEAD, out.len - FRAME_HEAD, dir, &back, &why), 0);
    assert_int_equal(back.type, m->type);
    assert_int_equal(back.generation, m->generation);
    return back;
}

static void test_control_messages(void **state)
{
    (void)state;
    struct msg m = {.type = MSG_HELLO, .generation = 0}, r;
    m.u.hello = (struct msg_hello){1, 2, "delivery", 3, 4444, "0.1.0"};
    r = there_and_back(&m, MSG_DIR_CM);
    assert_int_equal(r.u.hello.proto_min, 1);
    assert_int_equal(r.u.hello.proto_max, 2);
    assert_int_equal(r.u.hello.slot, 3);
    assert_int_equal(r.u.hello.pid, 4444);
    assert_string_equal(r.u.hello.kind, "delivery");
    assert_string_equal(r.u.hello.build, "0.1.0");

    m = (struct msg){.type = MSG_CONFIG, .generation = UINT32_MAX};
    m.u.config = (struct msg_config){.epoch = 9, .length = 1ull << 40, .listeners = 2, .run = UINT64_MAX};
    memset(m.u.config.sha256, 0xab, 32);
    strcpy(m.u.config.node, "0b5f7c3e-0000-4000-8000-000000000001");
    m.u.config.beat_ms = 1000, m.u.config.hang_ms = 10000, m.u.config.drain_ms = 25000;
    r = there_and_back(&m, MSG_DIR_MC);
    assert_memory_equal(&r.u.config.sha256, &m.u.config.sha256, 32);
    assert_string_equal(r.u.config.node, m.u.config.node);
    assert_true(r.u.config.length == 1ull << 40 && r.u.config.run == UINT64_MAX && r.u.config.epoch == 9);
    assert_true(r.u.config.listeners == 2 && r.u.config.beat_ms == 1000 && r.u.config.hang_ms == 10000);
    assert_int_equal(r.u.config.drain_ms, 25000);

    m = (struct msg){.type = MSG_READY, .generation = 7, .u.ready.epoch = 9};
    assert_int_equal(there_and_back(&m, MSG_DIR_CM).u.ready.epoch, 9);

    m = (struct msg){.type = MSG_BEAT, .generation = 7};
    m.u.beat = (struct msg_beat){
        .mono_ms = 1ull << 50, .loop_lag_ms = 3, .in_hand = 4, .dropped_logs = 5, .jobs = 1ull << 40};
    m.u.beat.n_clients = MSG_CLIENTS_MAX;
    for (unsigned i = 0; i < MSG_CLIENTS_MAX; i++)
        m.u.beat.clients[i] = UINT64_MAX - i;
    r = there_and_back(&m, MSG_DIR_CM);
    assert_true(r.u.beat.mono_ms == 1ull << 50 && r.u.beat.loop_lag_ms == 3 && r.u.beat.in_hand == 4);
    assert_true(r.u.beat.jobs == 1ull << 40);
    assert_true(r.u.beat.dropped_logs == 5 && r.u.beat.n_clients == MSG_CLIENTS_MAX);
    assert_memory_equal(r.u.beat.clients, m.u.beat.clients, sizeof r.u.beat.clients);

    m = (struct msg){.type = MSG_EXTEND, .generation = 7, .u.extend = {5000, "loading"}};
    r = there_and_back(&m, MSG_DIR_CM);
    assert_int_equal(r.u.extend.ms, 5000);
    assert_string_equal(r.u.extend.why, "loading");

    m = (struct msg){.type = MSG_LINK, .generation = 7};
    m.u.link = (struct msg_link){1ull << 33, MSG_LINK_RECEIVER, "ingest", 1, 6};
    r = there_and_back(&m, MSG_DIR_MC);
    assert_true(r.u.link.link_id == 1ull << 33 && r.u.link.role == MSG_LINK_RECEIVER);
    assert_true(r.u.link.peer_slot == 1 && r.u.link.peer_generation == 6);
    assert_string_equal(r.u.link.peer_kind, "ingest");

    m = (struct msg){.type = MSG_UNLINK, .generation = 7, .u.unlink.peer_generation = 9};
    assert_int_equal(there_and_back(&m, MSG_DIR_CM).u.unlink.peer_generation, 9);

    m = (struct msg){.type = MSG_DRAIN, .generation = 7};
    m.u.drain.deadline_ms = 25000;
    memset(m.u.drain.reason, 'r', MSG_TEXT_MAX - 1);
    r = there_and_back(&m, MSG_DIR_MC);
    assert_int_equal(strlen(r.u.drain.reason), MSG_TEXT_MAX - 1);

    m = (struct msg){.type = MSG_DRAINED, .generation = 7, .u.drained.left = 12};
    assert_int_equal(there_and_back(&m, MSG_DIR_CM).u.drained.left, 12);
    m = (struct msg){.type = MSG_STOP, .generation = 7};
    there_and_back(&m, MSG_DIR_MC);
    m = (struct msg){.type = MSG_LEVEL, .generation = 7, .u.level.level = 4};
    assert_int_equal(there_and_back(&m, MSG_DIR_MC).u.level.level, 4);

    m = (struct msg){.type = MSG_HEALTH, .generation = 7, .u.health = {true, "{\"a\":1}", 7}};
    r = there_and_back(&m, MSG_DIR_MC);
    assert_true(r.u.health.ready && r.u.health.json_len == 7);
    assert_memory_equal(r.u.health.json, "{\"a\":1}", 7);

    m = (struct msg){.type = MSG_REAP, .generation = 7};
    m.u.reap = (struct msg_reap){.token = "node.1.2.3", .prefix = true, .n_clients = 2, .clients = {10, 11}};
    r = there_and_back(&m, MSG_DIR_MC);
    assert_string_equal(r.u.reap.token, "node.1.2.3");
    assert_true(r.u.reap.prefix && r.u.reap.n_clients == 2 && r.u.reap.clients[1] == 11);

    m = (struct msg){.type = MSG_REAPED, .generation = 7, .u.reaped = {"node.1.2.3", 40}};
    r = there_and_back(&m, MSG_DIR_CM);
    assert_string_equal(r.u.reaped.token, "node.1.2.3");
    assert_int_equal(r.u.reaped.jobs, 40);

    m = (struct msg){.type = MSG_FLUSH, .generation = 7, .u.flush.id = UINT32_MAX};
    assert_int_equal(there_and_back(&m, MSG_DIR_MC).u.flush.id, UINT32_MAX);
    m = (struct msg){.type = MSG_FLUSHED, .generation = 7, .u.flushed.id = 12};
    assert_int_equal(there_and_back(&m, MSG_DIR_CM).u.flushed.id, 12);

    m = (struct msg){.type = MSG_PAUSE, .generation = 7, .u.pause = {"orders", true}};
    r = there_and_back(&m, MSG_DIR_MC);
    assert_string_equal(r.u.pause.queue, "orders");
    assert_true(r.u.pause.paused);

    m = (struct msg){.type = MSG_PROGRAM, .generation = 7};
    m.u.program = (struct msg_program){4000000, UINT64_MAX, 12, true, true, "starting"};
    r = there_and_back(&m, MSG_DIR_CM);
    assert_int_equal(r.u.program.pid, 4000000);
    assert_int_equal(r.u.program.started_ms, UINT64_MAX);
    assert_int_equal(r.u.program.restarts, 12);
    assert_true(r.u.program.ready && r.u.program.degraded);
    assert_string_equal(r.u.program.state, "starting");

    m = (struct msg){.type = MSG_RELOAD, .generation = 7, .u.reload = {.epoch = 3, .length = 1u << 20}};
    memset(m.u.reload.sha256, 0xab, sizeof m.u.reload.sha256);
    r = there_and_back(&m, MSG_DIR_MC);
    assert_int_equal(r.u.reload.epoch, 3);
    assert_int_equal(r.u.reload.length, 1u << 20);
    assert_memory_equal(r.u.reload.sha256, m.u.reload.sha256, sizeof m.u.reload.sha256);
    assert_int_equal(msg_n_fds(MSG_RELOAD), 1);
    m = (struct msg){.type = MSG_RELOADED, .generation = 7, .u.reloaded = {3, false, "no room"}};
    r = there_and_back(&m, MSG_DIR_CM);
    assert_int_equal(r.u.reloaded.epoch, 3);
    assert_false(r.u.reloaded.ok);
    assert_string_equal(r.u.reloaded.text, "no room");

    m = (struct msg){.type = MSG_NOTE, .generation = 7};
    there_and_back(&m, MSG_DIR_CM);
    memset(m.u.note.text, 'n', MSG_NOTE_MAX - 3);
    strcpy(m.u.note.text + MSG_NOTE_MAX - 3, "\xc3\xbc");
    r = there_and_back(&m, MSG_DIR_CM);
    assert_string_equal(r.u.note.text, m.u.note.text);
}

static void test_parts(void **state)
{
    (void)state;
    static char bytes[MSG_PART_MAX];
    memset(bytes, 'p', sizeof bytes);
    struct msg m = {.type = MSG_STATS, .u.stats = {63, 64, bytes, MSG_PART_MAX}};
    struct msg r = there_and_back(&m, MSG_DIR_CM);
    assert_true(r.u.stats.part == 63 && r.u.stats.parts == 64 && r.u.stats.len == MSG_PART_MAX);
    assert_memory_equal(r.u.stats.bytes, bytes, MSG_PART_MAX);
    m = (struct msg){.type = MSG_METRICS, .u.metrics = {0, 1, bytes, 0}};
    r = there_and_back(&m, MSG_DIR_MC);
    assert_int_equal(r.u.metrics.len, 0);
}

static void test_answers_fit_one_write(void **state)
{
    (void)state;
    struct msg m = {.type = MSG_CREDIT, .generation = UINT32_MAX, .u.credit = {UINT32_MAX, UINT64_MAX}};
    struct msg r = there_and_back(&m, MSG_DIR_WI);
    assert_true(r.u.credit.batches == UINT32_MAX && r.u.credit.bytes == UINT64_MAX);
    m = (struct msg){.type = MSG_DELIVERED, .generation = UINT32_MAX};
    id_new(m.u.delivered.id);
    m.u.delivered.outcome = MSG_OUTCOME_UNKNOWN;
    m.u.delivered.status = 503;
    memset(m.u.delivered.why, 'w', MSG_TEXT_MAX - 1);
    r = there_and_back(&m, MSG_DIR_WI);
    assert_string_equal(r.u.delivered.id, m.u.delivered.id);
    assert_int_equal(r.u.delivered.outcome, MSG_OUTCOME_UNKNOWN);
    assert_int_equal(r.u.delivered.status, 503);
    assert_int_equal(strlen(r.u.delivered.why), MSG_TEXT_MAX - 1);
    m = (struct msg){.type = MSG_FOLLOW, .generation = 1, .u.follow.queue = "orders#3"};
    id_new(m.u.follow.id);
    r = there_and_back(&m, MSG_DIR_IW);
    assert_string_equal(r.u.follow.id, m.u.follow.id);
    assert_string_equal(r.u.follow.queue, "orders#3");
    m = (struct msg){.type = MSG_STORED, .generation = UINT32_MAX, .u.stored.duplicate = true};
    id_new(m.u.stored.id);
    r = there_and_back(&m, MSG_DIR_WI);
    assert_string_equal(r.u.stored.id, m.u.stored.id);
    assert_true(r.u.stored.duplicate);
    m = (struct msg){.type = MSG_REFUSED, .generation = UINT32_MAX};
    m.u.refused = (struct msg_refused){.temporary = true, .retry_after_ms = UINT32_MAX};
    id_new(m.u.refused.id);
    memset(m.u.refused.why, 'w', MSG_TEXT_MAX - 1);
    r = there_and_back(&m, MSG_DIR_WI);
    assert_true(out.len <= FRAME_ACK_MAX && r.u.refused.temporary &&
                r.u.refused.retry_after_ms == UINT32_MAX);
    assert_string_equal(r.u.refused.why, m.u.refused.why);
    m = (struct msg){.type = MSG_PRESSURE, .generation = UINT32_MAX};
    m.u.pressure.memory = UINT32_MAX;
    m.u.pressure.n_queues = MSG_PRESSURE_MAX;
    for (unsigned i = 0; i < MSG_PRESSURE_MAX; i++) {
        memset(m.u.pressure.queues[i].name, 'q', MSG_QUEUE_MAX - 1);
        m.u.pressure.queues[i].jobs = UINT64_MAX - i;
    }
    r = there_and_back(&m, MSG_DIR_WI);
    assert_true(out.len <= FRAME_ACK_MAX && r.u.pressure.n_queues == MSG_PRESSURE_MAX);
    assert_true(r.u.pressure.queues[MSG_PRESSURE_MAX - 1].jobs == UINT64_MAX - MSG_PRESSURE_MAX + 1);
    assert_int_equal(strlen(r.u.pressure.queues[0].name), MSG_QUEUE_MAX - 1);
    there_and_back(&(struct msg){.type = MSG_LEAVE}, MSG_DIR_WI);
    there_and_back(&(struct msg){.type = MSG_END}, MSG_DIR_IW);
}

static void test_batch_in_two_pieces(void **state)
{
    (void)state;
    static const char *const events[] = {"{\"event\":\"a\"}", "{}", "{\"n\":[1,2,3]}"};
    char id[ID_SIZE], longest[MSG_KEY_MAX];
    id_new(id);
    memset(longest, 'k', MSG_KEY_MAX - 1);
    longest[MSG_KEY_MAX - 1] = '\0';
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(msg_pack_event(&out, events[i], strlen(events[i])), 0);
    unsigned char head[MSG_BATCH_HEAD_MAX];
    size_t head_len;
    assert_int_equal(msg_pack_batch_head(head, &head_len, 7, id, 2, "web", "events", longest, 0, 3, out.len),
                     0);

    struct buf frame;
    buf_init(&frame, 1u << 20);
    assert_int_equal(buf_append(&frame, head, head_len) + buf_append(&frame, out.data, out.len), 0);
    struct msg m;
    const char *why;
    assert_int_equal(
        msg_parse((unsigned char *)frame.data + FRAME_HEAD, frame.len - FRAME_HEAD, MSG_DIR_IW, &m, &why), 0);
    const struct msg_batch *b = &m.u.batch;
    assert_int_equal(m.generation, 7);
    assert_string_equal(b->id, id);
    assert_int_equal(b->tries, 2);
    assert_string_equal(b->source, "web");
    assert_string_equal(b->queue, "events");
    assert_string_equal(b->order_key, longest);
    assert_int_equal(b->n_events, 3);
    assert_int_equal(b->flags, 0);
    struct mpwalk w = b->events;
    for (size_t i = 0; i < 3; i++) {
        const char *event;
        uint32_t len;
        assert_int_equal(mpwalk_bytes(&w, &event, &len), 0);
        assert_int_equal(len, strlen(events[i]));
        assert_memory_equal(event, events[i], len);
    }
    assert_true(mpwalk_done(&w));

    /* A captured frame is two msgpack objects that any msgpack tool can read. */
    msgpack_unpacked u;
    size_t at = 0;
    msgpack_unpacked_init(&u);
    assert_int_equal(msgpack_unpack_next(&u, frame.data, frame.len, &at), MSGPACK_UNPACK_SUCCESS);
    assert_int_equal(u.data.via.u64, frame.len - FRAME_HEAD);
    assert_int_equal(msgpack_unpack_next(&u, frame.data, frame.len, &at), MSGPACK_UNPACK_SUCCESS);
    assert_int_equal(u.data.via.array.size, 8);
    assert_int_equal(at, frame.len);
    msgpack_unpacked_destroy(&u);

    /* The longest head of all fits its buffer; a body over the cap does not. */
    memset(longest, 's', MSG_NAME_MAX - 1);
    char name[MSG_NAME_MAX], queue[MSG_QUEUE_MAX];
    memset(name, 'n', MSG_NAME_MAX - 1);
    name[MSG_NAME_MAX - 1] = '\0';
    memset(queue, 'q', MSG_QUEUE_MAX - 1);
    queue[MSG_QUEUE_MAX - 1] = '\0';
    assert_int_equal(msg_pack_batch_head(head, &head_len, UINT32_MAX, id, UINT32_MAX, name, queue, longest,
                                         UINT32_MAX, UINT32_MAX, FRAME_BATCH_MAX - MSG_BATCH_HEAD_MAX),
                     0);
    assert_int_equal(msg_pack_batch_head(head, &head_len, 1, id, 0, "s", "q", "", 0, 1, FRAME_BATCH_MAX), -1);
    assert_int_equal(errno, EMSGSIZE);
    buf_fini(&frame);
}

/* Raw bodies that no packer of ours makes. */
static void test_refused_bodies(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        enum msg_dir dir;
        const char *why;
    } cases[] = {
#define B(s) s, sizeof(s) - 1
        {B(""), MSG_DIR_CM, "not an array of two or more"},
        {B("\xc0"), MSG_DIR_CM, "not an array of two or more"},
        {B("\x91\x03"), MSG_DIR_CM, "not an array of two or more"},
        {B("\xdd\x17\xd7\x84\x00"), MSG_DIR_CM, "not an array of two or more"},
        {B("\x92\xa1x\x01"), MSG_DIR_CM, "type or generation is not a number"},
        {B("\x92\x03\xff"), MSG_DIR_CM, "type or generation is not a number"},
        {B("\x92\x63\x01"), MSG_DIR_CM, "unknown type"},
        {B("\x92\x00\x01"), MSG_DIR_CM, "unknown type"},
        {B("\x92\xce\xff\xff\xff\xff\x01"), MSG_DIR_CM, "unknown type"},
        {B("\x93\x03\x01\x01"), MSG_DIR_MC, "wrong direction"}, /* READY from the master */
        {B("\x92\x21\x01"), MSG_DIR_WI, "wrong direction"},     /* END from a worker */
        {B("\x92\x03\x01"), MSG_DIR_CM, "wrong number of fields"},
        {B("\x94\x03\x01\x01\x01"), MSG_DIR_CM, "wrong number of fields"},
        {B("\x93\x03\x01\x01\x01"), MSG_DIR_CM, "bytes left over"},
        {B("\x93\x03\x01\xa1x"), MSG_DIR_CM, "READY: wrong epoch"},
        {B("\x93\x03\x01\xff"), MSG_DIR_CM, "READY: wrong epoch"},
        {B("\x93\x0d\x01\x05"), MSG_DIR_MC, "LEVEL: no such level"},
        {B("\x95\x07\x01\x01\x01\xc4\x00"), MSG_DIR_CM, "STATS: wrong part"},   /* part 1 of 1 */
        {B("\x95\x07\x01\x00\x41\xc4\x00"), MSG_DIR_CM, "STATS: wrong part"},   /* 65 parts */
        {B("\x95\x07\x01\x00\x01\xc4\x05xx"), MSG_DIR_CM, "STATS: wrong part"}, /* cut */
        {B("\x94\x31\x01\xa3id1\xc2"), MSG_DIR_WI, "STORED: wrong field"},      /* not an id */
        {B("\x97\x04\x01\x01\x01\x01\x01\xdd\xff\xff\xff\xff"), MSG_DIR_CM, "BEAT: wrong field"},
        {B("\x95\x0f\x01\xa0\xc2\x90"), MSG_DIR_MC, "REAP: wrong field"}, /* empty token */
        {B("\x93\x11\x01\xa3"
           "a\xff"
           "b"),
         MSG_DIR_CM, "NOTE: wrong text"},
        {B("\x93\x11\x01\xa3"
           "a\nb"),
         MSG_DIR_CM, "NOTE: wrong text"},
        {B("\x93\x11\x01\xa2"
           "\xc2\x9b"),
         MSG_DIR_CM, "NOTE: wrong text"},
        {B("\x93\x11\x01\x05"), MSG_DIR_CM, "NOTE: wrong text"},
        {B("\x93\x12\x01\xa0"), MSG_DIR_MC, "FLUSH: wrong id"},
        {B("\x93\x13\x01\xff"), MSG_DIR_CM, "FLUSHED: wrong id"},
        {B("\x94\x14\x01\xa0\xc2"), MSG_DIR_MC, "PAUSE: wrong field"}, /* no name */
        {B("\x94\x14\x01\xa1q\x01"), MSG_DIR_MC, "PAUSE: wrong field"},
        {B("\x95\x15\x01\x01\x01\xc4\x02xx"), MSG_DIR_MC, "RELOAD: wrong field"}, /* digest of 2 bytes */
        {B("\x95\x15\x01\x01\xc2\xc4\x00"), MSG_DIR_MC, "RELOAD: wrong field"},
        {B("\x95\x16\x01\x01\x01\xa0"), MSG_DIR_CM, "RELOADED: wrong field"}, /* no flag */
        {B("\x95\x16\x01\x01\xc3\xa1\n"), MSG_DIR_CM, "RELOADED: wrong field"},
#undef B
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct msg m;
        const char *why = NULL;
        unsigned char *exact = malloc(cases[i].len + 1);
        assert_non_null(exact);
        memcpy(exact + 1, cases[i].bytes, cases[i].len);
        assert_int_equal(msg_parse(exact + 1, cases[i].len, cases[i].dir, &m, &why), -1);
        assert_int_equal(errno, EPROTO);
        assert_string_equal(why, cases[i].why);
        free(exact);
    }
}

static void test_batch_events_are_counted(void **state)
{
    (void)state;
    static const struct {
        const char *events; /* the array and what follows */
        size_t len;
        const char *why;
    } cases[] = {
        {"\x90", 1, "EVENTS: no events"},
        {"\x01", 1, "EVENTS: no events"},
        {"\xdd\x17\xd7\x84\x00", 5, "EVENTS: no events"},
        {"\x91\x05", 2, "EVENTS: wrong event"},
        {"\x92\xc4\x02{}", 5, "EVENTS: wrong event"},
        {"\x91\xc4\x02{}\x00", 6, "bytes left over"},
        {"\x91\xc6\xff\xff\xff\xff{}", 8, "EVENTS: wrong event"},
    };
    char id[ID_SIZE];
    id_new(id);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char body[256];
        size_t n = (size_t)sprintf((char *)body, "\x98\x20\x01\xb9%s", id);
        body[n++] = 0;
        memcpy(body + n, "\xa1s\xa1q\xa0", 5);
        n += 5;
        memcpy(body + n, cases[i].events, cases[i].len);
        struct msg m;
        const char *why;
        assert_int_equal(msg_parse(body, n + cases[i].len, MSG_DIR_IW, &m, &why), -1);
        assert_string_equal(why, cases[i].why);
    }
}

/* What follows the events: a digest for each event, and flags before them. */
static void test_batch_tail(void **state)
{
    (void)state;
    char id[ID_SIZE];
    id_new(id);
    for (unsigned ids = 1; ids <= 2; ids++) { /* of two events */
        struct buf body, tail, frame;
        unsigned char head[MSG_BATCH_HEAD_MAX];
        size_t head_len;
        struct msg m;
        const char *why;
        buf_init(&body, 1000);
        buf_init(&tail, 1000);
        buf_init(&frame, 2000);
        assert_int_equal(msg_pack_event(&body, "{}", 2) + msg_pack_event(&body, "{}", 2), 0);
        assert_int_equal(msg_tail_begin(&tail), 0);
        for (unsigned i = 0; i < ids; i++)
            assert_int_equal(buf_append(&tail, i == 0 ? "aaaaaaaaaaaa" : "bbbbbbbbbbbb", MSG_SEEN_ID), 0);
        msg_tail_end(&tail);
        assert_int_equal(
            msg_pack_batch_head_of(head, &head_len, 7, id, 0, "s", "q", "", 0, 2, body.len, tail.len), 0);
        assert_int_equal(buf_append(&frame, head, head_len) + buf_append(&frame, body.data, body.len) +
                             buf_append(&frame, tail.data, tail.len),
                         0);
        int r =
            msg_parse((unsigned char *)frame.data + FRAME_HEAD, frame.len - FRAME_HEAD, MSG_DIR_IW, &m, &why);
        assert_int_equal(r, ids == 1 ? -1 : 0);
        if (ids == 1) {
            assert_string_equal(why, "EVENTS: wrong ids");
        } else {
            assert_int_equal(m.u.batch.flags, 0);
            assert_memory_equal(m.u.batch.seen, "aaaaaaaaaaaabbbbbbbbbbbb", 24);
            assert_int_equal(m.u.batch.events.end - m.u.batch.events.at, body.len);
        }
        buf_fini(&frame);
        buf_fini(&body);
        buf_fini(&tail);
    }
    struct msg m = {.type = MSG_STORED, .generation = 1, .u.stored.seen = 3};
    id_new(m.u.stored.id);
    assert_int_equal(there_and_back(&m, MSG_DIR_WI).u.stored.seen, 3);
    m.u.stored.seen = 0;
    assert_int_equal(there_and_back(&m, MSG_DIR_WI).fields, 2); /* an older reader knows no more */
}

static void test_every_cut_is_refused(void **state)
{
    (void)state;
    struct msg m = {.type = MSG_REFUSED, .generation = 70000}, back;
    id_new(m.u.refused.id);
    strcpy(m.u.refused.why, "redis is away");
    assert_int_equal(msg_pack(&out, &m), 0);
    for (size_t len = 0; len < out.len - FRAME_HEAD; len++) {
        const char *why;
        unsigned char *exact = malloc(len + 1);
        assert_non_null(exact);
        memcpy(exact, out.data + FRAME_HEAD, len);
        assert_int_equal(msg_parse(exact, len, MSG_DIR_WI, &back, &why), -1);
        free(exact);
    }
}

static void test_caps(void **state)
{
    (void)state;
    static char big[40000];
    struct msg m = {.type = MSG_HEALTH, .u.health = {true, big, sizeof big}};
    assert_int_equal(buf_puts(&out, "before"), 0);
    assert_int_equal(msg_pack(&out, &m), -1);
    assert_int_equal(errno, EMSGSIZE);
    assert_int_equal(out.len, 6);

    /* As long as the frame allows, yet longer than its type does. */
    unsigned char body[64] = "\x93\x03\x01\xce";
    struct msg back;
    const char *why;
    assert_int_equal(msg_parse(body, sizeof body, MSG_DIR_CM, &back, &why), -1);
    assert_string_equal(why, "longer than its type allows");
    assert_string_equal(msg_name(MSG_EVENTS), "EVENTS");
    assert_string_equal(msg_name(63), "?");
    assert_int_equal(msg_cap(63), 0);
    assert_int_equal(msg_cap(MSG_EVENTS), FRAME_BATCH_MAX);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_control_messages),     T(test_parts),          T(test_answers_fit_one_write),
        T(test_batch_in_two_pieces),  T(test_refused_bodies), T(test_batch_events_are_counted),
        T(test_every_cut_is_refused), T(test_caps),           T(test_batch_tail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
