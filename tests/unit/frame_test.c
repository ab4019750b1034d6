/* frame: every cut of the stream gives the same frames; hostile heads are refused before anything is allocated. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ipc/frame.h"

#define MAX 1000

struct stream {
    unsigned char bytes[8192];
    size_t len;
};

static void put_frame(struct stream *s, size_t len)
{
    frame_put_head(s->bytes + s->len, (uint32_t)len);
    for (size_t i = 0; i < len; i++)
        s->bytes[s->len + FRAME_HEAD + i] = (unsigned char)(len + i);
    s->len += FRAME_HEAD + len;
}

static void assert_body(const unsigned char *body, size_t len, size_t wanted)
{
    assert_int_equal(len, wanted);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(body[i], (unsigned char)(len + i));
}

static const size_t lengths[] = {1, 2, 999, 1000, 5, 1, 64, 300};
#define FRAMES (sizeof lengths / sizeof *lengths)

static struct stream usual(void)
{
    struct stream s = {.len = 0};
    for (size_t i = 0; i < FRAMES; i++)
        put_frame(&s, lengths[i]);
    return s;
}

static void test_head_is_a_msgpack_uint32(void **state)
{
    (void)state;
    unsigned char head[FRAME_HEAD];
    frame_put_head(head, 0x01020304);
    assert_memory_equal(head, "\xce\x01\x02\x03\x04", FRAME_HEAD);
}

static void test_any_cut_gives_the_same_frames(void **state)
{
    (void)state;
    struct stream s = usual();
    for (size_t step = 1; step <= s.len; step = step < 20 ? step + 1 : step * 3) {
        struct frame_reader r;
        frame_reader_init(&r, MAX);
        size_t frames = 0;
        for (size_t at = 0; at < s.len; at += step) {
            size_t left = at + step < s.len ? step : s.len - at;
            unsigned char *piece = malloc(left); /* so that reading past it is seen */
            assert_non_null(piece);
            memcpy(piece, s.bytes + at, left);
            const unsigned char *data = piece, *body;
            size_t len;
            enum frame_result f;
            while ((f = frame_next(&r, &data, &left, &body, &len)) == FRAME_WHOLE)
                assert_body(body, len, lengths[frames++]);
            assert_int_equal(f, FRAME_MORE);
            assert_int_equal(left, 0);
            free(piece);
        }
        assert_int_equal(frames, FRAMES);
        assert_false(frame_reader_torn(&r));
        frame_reader_fini(&r);
    }
}

static void test_whole_frame_is_not_copied(void **state)
{
    (void)state;
    struct stream s = {.len = 0};
    put_frame(&s, 100);
    struct frame_reader r;
    frame_reader_init(&r, MAX);
    const unsigned char *data = s.bytes, *body;
    size_t left = s.len, len;
    assert_int_equal(frame_next(&r, &data, &left, &body, &len), FRAME_WHOLE);
    assert_ptr_equal(body, s.bytes + FRAME_HEAD);
    assert_int_equal(left, 0);
    frame_reader_fini(&r);
}

static void test_direct_reading_of_a_body(void **state)
{
    (void)state;
    struct stream s = {.len = 0};
    put_frame(&s, 1000);
    put_frame(&s, 3);
    struct frame_reader r;
    frame_reader_init(&r, MAX);
    size_t room, len, left = FRAME_HEAD + 10;
    const unsigned char *data = s.bytes, *body;
    assert_null(frame_reader_room(&r, &room));
    assert_int_equal(room, 0);
    assert_int_equal(frame_next(&r, &data, &left, &body, &len), FRAME_MORE);
    size_t at = FRAME_HEAD + 10;
    while (frame_reader_room(&r, &room) != NULL) {
        size_t n = room < 300 ? room : 300;
        memcpy(frame_reader_room(&r, &room), s.bytes + at, n);
        frame_reader_filled(&r, n);
        at += n;
    }
    assert_int_equal(at, FRAME_HEAD + 1000);
    data = s.bytes + at;
    left = s.len - at;
    assert_int_equal(frame_next(&r, &data, &left, &body, &len), FRAME_WHOLE);
    assert_body(body, len, 1000);
    assert_int_equal(left, FRAME_HEAD + 3);
    assert_int_equal(frame_next(&r, &data, &left, &body, &len), FRAME_WHOLE);
    assert_body(body, len, 3);
    frame_reader_fini(&r);
}

static void test_hostile_heads(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        int error;
    } cases[] = {
        {"\xce\x00\x00\x00\x00", 5, EPROTO},   /* length 0 */
        {"\xce\x00\x00\x03\xe9", 5, EMSGSIZE}, /* the cap and one */
        {"\xce\xff\xff\xff\xff", 5, EMSGSIZE}, /* the most */
        {"\xcd\x00\x01", 3, EPROTO},           /* not our mark */
        {"x", 1, EPROTO},                      /* told at the first byte already */
        {"\xdd\x17\xd7\x84\x00", 5, EPROTO},   /* array32 of 400 M */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t step = 1; step <= cases[i].len; step++) {
            struct frame_reader r;
            frame_reader_init(&r, MAX);
            enum frame_result f = FRAME_MORE;
            const unsigned char *body;
            size_t len;
            for (size_t at = 0; at < cases[i].len && f == FRAME_MORE; at += step) {
                const unsigned char *data = (const unsigned char *)cases[i].bytes + at;
                size_t left = at + step < cases[i].len ? step : cases[i].len - at;
                f = frame_next(&r, &data, &left, &body, &len);
            }
            assert_int_equal(f, FRAME_BAD);
            assert_int_equal(errno, cases[i].error);
            assert_null(r.body);
            size_t left = 0;
            const unsigned char *none = NULL;
            assert_int_equal(frame_next(&r, &none, &left, &body, &len), FRAME_BAD);
            frame_reader_fini(&r);
        }
    }
}

static void test_torn_tail_is_known(void **state)
{
    (void)state;
    struct stream s = {.len = 0};
    put_frame(&s, 20);
    for (size_t cut = 0; cut <= s.len; cut++) {
        struct frame_reader r;
        frame_reader_init(&r, MAX);
        const unsigned char *data = s.bytes, *body;
        size_t left = cut, len;
        enum frame_result f = frame_next(&r, &data, &left, &body, &len);
        assert_int_equal(f, cut == s.len ? FRAME_WHOLE : FRAME_MORE);
        assert_int_equal(!!frame_reader_torn(&r), cut > 0 && cut < s.len);
        frame_reader_fini(&r);
    }
}

static void test_memory_of_a_giant_is_given_back(void **state)
{
    (void)state;
    size_t giant = 1u << 20;
    unsigned char *bytes = calloc(1, giant + FRAME_HEAD);
    assert_non_null(bytes);
    frame_put_head(bytes, (uint32_t)giant);
    struct frame_reader r;
    frame_reader_init(&r, FRAME_BATCH_MAX);
    const unsigned char *data = bytes, *body;
    size_t left = 100, len;
    assert_int_equal(frame_next(&r, &data, &left, &body, &len), FRAME_MORE);
    left = giant + FRAME_HEAD - 100;
    assert_int_equal(frame_next(&r, &data, &left, &body, &len), FRAME_WHOLE);
    assert_int_equal(r.body_cap, giant);
    assert_int_equal(frame_next(&r, &data, &left, &body, &len), FRAME_MORE);
    assert_int_equal(r.body_cap, 0);
    frame_reader_fini(&r);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_head_is_a_msgpack_uint32),
        cmocka_unit_test(test_any_cut_gives_the_same_frames),
        cmocka_unit_test(test_whole_frame_is_not_copied),
        cmocka_unit_test(test_direct_reading_of_a_body),
        cmocka_unit_test(test_hostile_heads),
        cmocka_unit_test(test_torn_tail_is_known),
        cmocka_unit_test(test_memory_of_a_giant_is_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
