"""RELOAD in each kind of child: what is live takes effect without a new process, what is broken is refused in words."""
import copy
import hashlib
import json
import os

import pytest

from lib import config
from lib.client import Client, Posting
from lib.fake_master import message
from lib.wait import wait_for

LISTEN = {"console": ["127.0.0.1:0"], "ingest": ["127.0.0.1:0"], "delivery": []}
KINDS = sorted(LISTEN)
EVENT = '{"type":"track","event":"e","userId":"some-user-of-ours","messageId":"%s"}'


@pytest.fixture
def make_child(fake_master, make_redis, sink, tmp_path):
    def make(kind, conf=None, **options):
        base = {"node": {"state_dir": str(tmp_path)}, "ingest": {"listeners": [{"id": "a", "address": "127.0.0.1:0"}]},
                "sources": [{"id": "web", "write_key": "KEY"}], "destinations": [{"id": "sink", "url": sink.url}]}
        if kind == "delivery":
            base["redis"] = {"mode": "standalone", "url": make_redis().url}
        m = fake_master(kind, config.merge(base, conf), listen=LISTEN[kind], **options)
        m.start()
        m.expect("READY")
        return m
    return make


def reload(m, conf=None, epoch=2, text=None, length=None, digest=None, seals=True):
    """Sends RELOAD; the answer's fields."""
    if conf is not None:
        m.conf = config.merge(m.conf, conf)
    text = json.dumps(m.conf).encode() if text is None else text
    fd = m.config_fd(text, seals)
    m.send("RELOAD", epoch, len(text) if length is None else length,
           hashlib.sha256(text).digest() if digest is None else digest, fds=[fd])
    os.close(fd)
    return m.expect("RELOADED").fields


@pytest.mark.parametrize("kind", KINDS)
def test_answers_and_stays(make_child, kind):
    m = make_child(kind)
    for epoch in (2, 3, 4):
        assert reload(m, {"log": {"level": "debug"}}, epoch) == [epoch, True, ""]
    m.expect("BEAT")
    fds = len(os.listdir("/proc/%d/fd" % m.pid))
    for epoch in range(5, 30):
        assert reload(m, None, epoch)[1]
    assert len(os.listdir("/proc/%d/fd" % m.pid)) <= fds, "the memfd is closed"
    m.send("DRAIN", 1000, "test")
    m.expect("DRAINED")
    assert m.wait_exit() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_one_changes_nothing(make_child, kind):
    m = make_child(kind)
    good = json.dumps(m.conf).encode()
    for broken in ({"text": b"{ nonsense"}, {"text": good, "digest": b"x" * 32}, {"text": good, "length": 7},
                   {"text": good, "seals": False}, {"text": json.dumps({"nonsense": {"x": 1}}).encode()}):
        epoch, ok, text = reload(m, epoch=9, **broken)
        assert (epoch, ok) == (9, False) and text
    assert reload(m, None, 10) == [10, True, ""]


@pytest.mark.parametrize("kind", KINDS)
def test_the_level_follows(make_child, kind):
    """What is sent to another generation is told at debug."""
    m = make_child(kind)
    m.raw(message("STOP", m.generation + 1))
    assert reload(m, {"log": {"level": "debug"}})[1]
    assert "control_old_generation" not in m.log()
    m.raw(message("STOP", m.generation + 1))
    assert reload(m, {"log": {"level": "info"}}, 3)[1]
    wait_for(lambda: m.pump(0.05) or "control_old_generation" in m.log(), 10)


@pytest.mark.parametrize("kind", KINDS)
def test_the_beat_follows(make_child, kind):
    m = make_child(kind, {"master": {"health": {"beat": "60s"}}}, beat_ms=60000)
    m.expect("BEAT")
    assert reload(m, {"master": {"health": {"beat": "50ms"}}})[1]
    for _ in range(5):
        m.expect("BEAT", seconds=5)


def test_ingest_sources(make_child):
    m = make_child("ingest")
    m.link("delivery", role=0)
    def status(key):
        with Client(m.address(), key=key, timeout=5) as c:
            return c.post("/v1/batch", b'{"batch":[]}').status
    wait_for(lambda: status("KEY") == 400, 10)
    assert status("NEW") == 401
    assert reload(m, {"sources": [{"id": "web", "write_key": "OTHER"}, {"id": "app", "write_key": "NEW"}]})[1]
    assert (status("KEY"), status("OTHER"), status("NEW")) == (401, 400, 400)
    assert reload(m, {"sources": [{"id": "app", "write_key": "NEW", "enabled": False}]}, 3)[1]
    assert (status("OTHER"), status("NEW")) == (401, 404)
    assert reload(m, {"sources": [{"id": "web", "write_key": "KEY"}]}, 4)[1]
    assert (status("KEY"), status("NEW")) == (400, 401)


def test_ingest_limits(make_child):
    m = make_child("ingest")
    m.link("delivery", role=0)
    body = ('{"batch":[%s]}' % ",".join(EVENT % n for n in range(3))).encode()
    def post(body=body):
        with Client(m.address(), key="KEY", timeout=5) as c:
            return c.post("/v1/batch", body).status
    wait_for(lambda: post(b'{"batch":[]}') == 400, 10)
    assert reload(m, {"ingest": {"ack": "memory"}})[1]
    assert post() == 200
    assert reload(m, {"ingest": {"limits": {"request": 1024}}}, 3)[1]
    assert post(body + b" " * 2000) == 413 and post() == 200
    assert reload(m, {"ingest": {"limits": {"request": 100000, "events_per_batch": 2},
                                 "oversize_event": "reject_request"}}, 4)[1]
    assert post() == 413
    assert reload(m, {"ingest": {"limits": {"events_per_batch": 10, "event": 64}}}, 5)[1]
    assert post() == 413
    assert reload(m, {"ingest": {"limits": {"event": 1000}, "max_internal_queue_size": 1}}, 6)[1]
    assert post() == 503
    assert reload(m, {"ingest": {"max_internal_queue_size": 1000}, "quarantine": {"max_size": 65536, "age": "1s"}}, 7)[1]
    assert post() == 200


def test_ingest_who_waits_is_answered_in_the_new_time(make_child):
    m = make_child("ingest", {"ingest": {"ack_timeout": "60s"}})
    m.link("delivery", role=0)  # and never reads
    with Client(m.address(), key="KEY", timeout=5) as c:
        wait_for(lambda: c.post("/v1/batch", b'{"batch":[]}').status == 400, 10)
    waiting = Posting(m, ('{"batch":[%s]}' % (EVENT % 1)).encode())
    wait_for(lambda: m.pump(0.05) or any(x.name == "BEAT" and x.fields[2] == 1 for x in m.seen), 10)
    assert waiting.answer is None
    assert reload(m, {"ingest": {"ack_timeout": "200ms"}})[1]
    assert waiting.wait(10).status == 503


def test_delivery_rules(make_child, sink):
    """A destination that fails, first tried again for long, then given up after one attempt."""
    m = make_child("delivery", {"queue": {"backoff": {"delay": "50ms", "max": "50ms"}, "retry_window": "1s"}})
    link = m.link("ingest")
    link.expect("CREDIT")
    sink.behave(status=500)
    import redis
    r = redis.Redis(unix_socket_path=m.conf["redis"]["url"][7:].split("?")[0])
    link.send_batch("b000000000%015d" % 1, [EVENT % 1])
    link.expect("STORED")
    wait_for(lambda: len(sink.requests) >= 3, 10)
    assert r.zcard("{dray}:sink:failed") == 0
    assert reload(m, {"queue": {"max_attempts": 1, "retry_window": "0s"}})[1]
    wait_for(lambda: r.zcard("{dray}:sink:failed") == 1, 10)
    sink.behave()
    assert reload(m, {"sources": [{"id": "app", "write_key": "APP"}], "delivery": {"concurrency": 2, "timeout": "2s"}}, 3)[1]
    link.send_batch("b000000000%015d" % 2, [EVENT % 2], source="app")
    link.expect("STORED")
    wait_for(lambda: "2" in sink.ids(), 10)
