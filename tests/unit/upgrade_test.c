/* upgrade: what outlives an upgrade, written and read again; what another release wrote; what nobody wrote. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc/frame.h"
#include "master/upgrade_field.h"
#include "master/upgrade_state.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const char good[] =
    "{\"form\":1,\"form_min\":1,\"version\":\"9.9\",\"later\":{\"a\":[1]},"
    "\"master\":{\"run\":3,\"node\":\"70cb7cc6-5701-487d-aa1f-afee6c70d542\",\"epoch\":2,\"last_generation\":7,\"x\":1},"
    "\"upgrade\":{\"count\":1,\"path\":\"/usr/bin/dray\"},"
    "\"options\":{\"config_path\":{\"hex\":\"2f746d702fff\"},\"overrides\":[{\"text\":\"a=b\",\"origin\":\"--set\"}]},"
    "\"conf_fd\":11,\"conf_sha256\":\"0000000000000000000000000000000000000000000000000000000000000000\","
    "\"lock_fd\":6,\"kinds\":{\"delivery\":{\"wanted\":4,\"by_hand\":true,\"deaths\":[1,2,3]},\"unknown\":{}},"
    "\"slots\":[{\"kind\":\"delivery\",\"state\":\"up\",\"index\":0,\"generation\":7,\"pid\":77,\"roll\":true,"
    "\"kill_reason\":null,\"note\":\"busy\",\"death\":{\"at_ms\":5,\"status\":9,\"reason\":\"kill\"},"
    "\"history\":[{\"at_ms\":5,\"status\":9,\"reason\":\"kill\"}],"
    "\"chan\":{\"fd\":13,\"in\":\"ce00\",\"out\":\"ce0000000101\",\"attached\":[{\"at\":0,\"fds\":[20,21]}]},"
    "\"log\":{\"fd\":14,\"half\":\"414243\"}},"
    "{\"kind\":\"delivery\",\"state\":\"wait\",\"index\":0,\"wait_ms\":250,\"replaces\":1}],"
    "\"orphans\":[{\"reap.token\":\"t.1.2.3\",\"assigned\":7}],\"paused\":[\"q\"],"
    "\"sockets\":[{\"fd\":7,\"use\":\"ingest\",\"unix_path\":null}],"
    "\"control\":{\"fd\":8,\"clients\":[{\"fd\":30,\"in\":\"7b\",\"out\":\"\",\"waits\":true,\"flush\":2,\"generations\":[7]}]},"
    "\"log\":{\"dropped\":4,\"lines\":[{\"wall_ms\":1,\"level\":2,\"kind\":\"master\",\"tail\":\"event=x\"}],"
    "\"levels\":[{\"kind\":\"\",\"slot\":-1,\"level\":4,\"until_ms\":9}]}}";

static int read_text(const char *text, size_t len, struct upgrade_state *st, char *why)
{
    why[0] = '\0';
    return upgrade_state_read(text, len, st, why, UPGRADE_TEXT_MAX);
}

static void test_read(void **state)
{
    (void)state;
    struct upgrade_state *st = malloc(sizeof *st);
    char why[UPGRADE_TEXT_MAX];
    int rc = read_text(good, sizeof good - 1, st, why);
    assert_string_equal(why, "");
    assert_int_equal(rc, 0);
    assert_string_equal(st->version, "9.9");
    assert_string_equal(st->config_path, "/tmp/\xff");
    assert_int_equal(st->m.wanted[KIND_DELIVERY], 4);
    assert_true(st->m.scale.by_hand[KIND_DELIVERY]);
    assert_int_equal(st->m.wanted[KIND_INGEST], UINT32_MAX); /* not said */
    assert_int_equal(st->m.deaths[KIND_DELIVERY].n, 3);
    assert_int_equal(st->n_slots, 2);
    const struct upgrade_slot *us = st->slots;
    assert_int_equal(us->s.state, SLOT_UP);
    assert_int_equal(us->s.pid, 77);
    assert_true(us->s.roll);
    assert_null(us->s.kill_reason);
    assert_string_equal(us->s.note, "busy");
    assert_string_equal(us->s.death.reason, "kill");
    assert_int_equal(us->s.deaths.n, 1);
    assert_int_equal(us->rest.in.len, 2);
    assert_int_equal(us->rest.attached[0].fds[1], 21);
    assert_int_equal(us->half_len, 3);
    assert_int_equal(us[1].wait_ms, 250);
    assert_int_equal(us[1].replaces, 1);
    assert_string_equal(us[1].s.death.reason, "");
    assert_string_equal(st->orphans[0].reap.token, "t.1.2.3");
    assert_string_equal(st->paused[0], "q");
    assert_true(st->clients[0].waits);
    assert_int_equal(st->clients[0].flush, 2);
    assert_string_equal(st->lines[0].tail, "event=x");
    assert_int_equal(st->levels[0].slot, -1);
    upgrade_state_fini(st);
    free(st);
}

static char *replaced(const char *from, const char *to)
{
    const char *at = strstr(good, from);
    assert_non_null(at);
    char *text = malloc(sizeof good + strlen(to));
    sprintf(text, "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
    return text;
}

static void test_what_does_not_fit(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        {"\"form_min\":1", "\"form_min\":2", "form"},
        {"\"form\":1", "\"form\":0", "form"},
        {"\"kind\":\"delivery\"", "\"kind\":\"scheduler\"", "no kind of process"},
        {"\"state\":\"up\"", "\"state\":\"asleep\"", "state"},
        {"\"pid\":77", "\"pid\":1", "out of range"},
        {"\"pid\":77", "\"pid\":-4", "out of range"},
        {"\"pid\":77", "\"pid\":4294967373", "pid"},
        {"\"pid\":77", "\"pid\":0", "do not fit"},
        {"\"generation\":7", "\"generation\":8", "do not fit"},
        {"\"index\":0", "\"index\":\"0\"", "index"},
        {"\"fd\":13", "\"fd\":2", "channel"},
        {"\"in\":\"ce00\"", "\"in\":\"ce0\"", "channel"},
        {"\"fds\":[20,21]", "\"fds\":[]", "descriptors"},
        {"\"fds\":[20,21]", "\"fds\":[20,21,22]", "descriptors"},
        {"\"at\":0", "\"at\":-1", "at"},
        {"\"half\":\"414243\"", "\"half\":\"4z\"", "log pipe"},
        {"\"replaces\":1", "\"replaces\":2", "replaces nobody"},
        {"\"replaces\":1", "\"replaces\":3", "replaces nobody"},
        {"\"use\":\"ingest\"", "\"use\":\"egress\"", "listening"},
        {"\"paused\":[\"q\"]", "\"paused\":[7]", "paused"},
        {"\"paused\":[\"q\"]", "\"paused\":{}", "paused"},
        {"\"level\":4", "\"level\":5", "level"},
        {"\"lock_fd\":6", "\"lock_fd\":-1", "missing"},
        {"\"path\":\"/usr/bin/dray\"", "\"path\":null", "missing"},
        {"aa1f-afee6c70d542", "aa1f", "missing"},
        {"\"conf_sha256\":\"00", "\"conf_sha256\":\"", "digest"},
        {"\"dropped\":4", "\"dropped\":-4", "dropped"},
        {"\"later\"", "\"form\"", "JSON"},
    };
    struct upgrade_state *st = malloc(sizeof *st);
    char why[UPGRADE_TEXT_MAX];
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *text = replaced(rows[i][0], rows[i][1]);
        int rc = read_text(text, strlen(text), st, why);
        if (rc != -1 || strstr(why, rows[i][2]) == NULL)
            fail_msg("%s -> %s: %d \"%s\"", rows[i][0], rows[i][1], rc, why);
        upgrade_state_fini(st);
        free(text);
    }
    free(st);
}

/* Cut off anywhere, a byte changed anywhere: refused or read, never more. */
static void test_garbled(void **state)
{
    (void)state;
    struct upgrade_state *st = malloc(sizeof *st);
    char why[UPGRADE_TEXT_MAX], text[sizeof good];
    for (size_t n = 0; n < sizeof good - 1; n++) {
        assert_int_equal(read_text(good, n, st, why), -1);
        assert_true(why[0] != '\0');
        upgrade_state_fini(st);
    }
    for (size_t n = 0; n < sizeof good - 1; n++)
        for (unsigned k = 0; k < 3; k++) {
            memcpy(text, good, sizeof good);
            text[n] = "9\"\xff"[k];
            int rc = read_text(text, sizeof good - 1, st, why);
            assert_true(rc == 0 || why[0] != '\0');
            upgrade_state_fini(st);
        }
    free(st);
}

/* ------------------------------------------------------------------ a channel */

struct seen {
    unsigned messages;
    char text[64];
};

static void on_message(struct chan *c, const struct msg *m, const int *fds, size_t n, void *arg)
{
    (void)c, (void)fds, (void)n;
    struct seen *s = arg;
    s->messages++;
    if (m->type == MSG_NOTE)
        snprintf(s->text, sizeof s->text, "%.63s", m->u.note.text);
}

static void on_gone(struct chan *c, int error, const char *why, void *arg)
{
    (void)c, (void)error, (void)why, (void)arg;
}

/* Half a message read, more to be written than the socket takes: the successor goes on with both. */
static void test_channel(void **state)
{
    (void)state;
    static const struct chan_events events = {.message = on_message, .gone = on_gone};
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    struct seen seen = {0}, peer = {0};
    struct buf frame;
    struct msg note = {.type = MSG_NOTE}, pause = {.type = MSG_PAUSE};
    int fds[2], null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    struct chan *c = chan_new(loop, fds[0], MSG_DIR_CM, &events, &seen);
    buf_init(&frame, 4096);
    strcpy(note.u.note.text, "half and half");
    assert_int_equal(msg_pack(&frame, &note), 0);
    assert_int_equal(send(fds[1], frame.data, 9, 0), 9);
    chan_drain_input(c);
    unsigned sent = 0;
    strcpy(pause.u.pause.queue, "q");
    while (chan_pending(c) == 0 && chan_send(c, &pause, NULL, 0) == 0)
        sent++;
    struct msg config = {.type = MSG_CONFIG};
    strcpy(config.u.config.node, "70cb7cc6-5701-487d-aa1f-afee6c70d542");
    assert_int_equal(chan_send(c, &config, &null, 1), 0);

    struct chan_rest rest;
    chan_rest_init(&rest);
    assert_int_equal(chan_save(c, &rest), 0);
    assert_int_equal(rest.in.len, 9);
    assert_int_equal(rest.n_attached, 1);
    rest.attached[0].fds[0] = dup(rest.attached[0].fds[0]);
    int again = dup(fds[0]);
    chan_free(c);
    c = chan_new(loop, again, MSG_DIR_CM, &events, &seen);
    assert_int_equal(chan_restore(c, &rest), 0);
    chan_rest_fini(&rest);

    assert_int_equal(send(fds[1], frame.data + 9, frame.len - 9, 0), (ssize_t)(frame.len - 9));
    struct chan *other = chan_new(loop, fds[1], MSG_DIR_MC, &events, &peer);
    for (unsigned i = 0; i < 1000 && peer.messages < sent + 1; i++)
        ev_run(loop, EVRUN_NOWAIT);
    assert_int_equal(seen.messages, 1);
    assert_string_equal(seen.text, "half and half");
    assert_int_equal(peer.messages, sent + 1);
    chan_free(c);
    chan_free(other);
    buf_fini(&frame);
    close(null);
    ev_loop_destroy(loop);
}

static void test_bytes(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 16);
    json_t *o = upgrade_field_hex("\0\xff\n", 3);
    assert_string_equal(json_string_value(o), "00ff0a");
    assert_int_equal(upgrade_field_unhex(o, &b), 0);
    assert_int_equal(b.len, 3);
    assert_memory_equal(b.data, "\0\xff\n", 3);
    json_decref(o);
    o = json_string("00112233445566778899aabbccddee");
    assert_int_equal(upgrade_field_unhex(o, &b), -1); /* over its cap */
    json_decref(o);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),    cmocka_unit_test(test_what_does_not_fit),
        cmocka_unit_test(test_garbled), cmocka_unit_test(test_channel),
        cmocka_unit_test(test_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
