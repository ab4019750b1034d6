"""One real child against a hostile, absent or silent master: what every child does, whatever its kind."""
import hashlib
import os
import signal
import socket
import struct
import subprocess
import time

import msgpack
import pytest

from lib.fake_master import frame, message
from lib.wait import wait_for

LISTEN = {"console": ["127.0.0.1:0"], "ingest": ["127.0.0.1:0"], "delivery": []}
KINDS = sorted(LISTEN)
OSERR, PROTOCOL, ORPHAN = 71, 76, 81
ORPHAN_SECONDS = 10  # CHILD_ORPHAN_MS


@pytest.fixture
def make_child(fake_master, make_redis, sink, tmp_path):
    """make_child(kind): ready for work."""
    def make(kind, start=True, **options):
        conf = {"node": {"state_dir": str(tmp_path)}, "ingest": {"listeners": [{"id": "a", "address": "127.0.0.1:0"}]},
                "sources": [{"id": "web", "write_key": "KEY"}], "destinations": [{"id": "sink", "url": sink.url}]}
        if kind == "delivery":
            conf["redis"] = {"mode": "standalone", "url": make_redis().url}
        m = fake_master(kind, conf, listen=LISTEN[kind], **options)
        if start:
            m.start()
            m.expect("READY")
        return m
    return make


def body(*fields):
    return frame(msgpack.packb(list(fields)))


def hostile(g):
    """(what, bytes) that no master of this protocol sends; g: the child's generation."""
    return [
        ("text", b"GET / HTTP/1.1\r\n\r\n"),
        ("no bytes in a frame", struct.pack(">BI", 0xCE, 0)),
        ("over the cap", struct.pack(">BI", 0xCE, (64 << 10) + 1)),
        ("4 GiB", struct.pack(">BI", 0xCE, 2**32 - 1)),
        ("random", bytes(range(256)) * 4),
        ("not an array", frame(b"\xc0")),
        ("an array of 400 M", frame(b"\xdd\x17\xd7\x84\x00" + b"\0" * 8)),
        ("nested", frame(b"\x91" * 60000)),
        ("empty array", frame(b"\x90")),
        ("type is no number", body("LINK", g)),
        ("unknown type", body(99, g)),
        ("type of 4 G", body(2**32 - 1, g)),
        ("a child's own type", message("READY", g, 1)),
        ("of a batch pipe", message("END", g)),
        ("too few fields", body(10, g)),
        ("too many fields", body(12, g, 1, 2, 3)),
        ("field of another type", body(10, g, "soon", "test")),
        ("negative", body(10, g, -1, "test")),
        ("more than the field holds", body(10, g, 2**40, "test")),
        ("a text that is longer than the frame", frame(b"\x94\x0a\x07\x01\xdb\xff\xff\xff\xff")),
        ("bytes left over", frame(msgpack.packb([12, g]) + b"\0")),
        ("no descriptor with CONFIG", message("CONFIG", g, 1, 10, b"x" * 32, 0, "n", 1, 100, 100, 100)),
        ("torn, then another", message("STOP", g)[:6] + message("STOP", g)),
    ]


@pytest.mark.parametrize("what", [w for w, _ in hostile(7)])
def test_a_hostile_master(make_child, what):
    m = make_child("console")
    m.raw(dict(hostile(m.generation))[what])
    assert m.wait_exit() == PROTOCOL
    assert "event=control_broken" in m.log()
    assert "DRAINED" not in [x.name for x in m.seen]


@pytest.mark.parametrize("kind", ["delivery", "ingest"])
@pytest.mark.parametrize("what", ["text", "unknown type"])
def test_a_hostile_master_of_others(make_child, kind, what):
    m = make_child(kind)
    m.raw(dict(hostile(m.generation))[what])
    assert m.wait_exit() == PROTOCOL
    assert "event=control_broken" in m.log()


@pytest.mark.parametrize("kind", KINDS)
def test_an_old_generation_is_dropped(make_child, kind):
    m = make_child(kind)
    for name, fields in (("STOP", []), ("DRAIN", [5000, "old"])):
        m.raw(message(name, m.generation - 1, *fields))
        m.raw(message(name, m.generation + 1, *fields))
    beat = m.expect("BEAT")
    while m.expect("BEAT").fields[0] <= beat.fields[0]:
        pass
    assert m.exit_code is None and "child_draining" not in m.log()
    m.send("STOP")
    assert m.wait_exit() == 0


def test_one_byte_at_a_time(make_child):
    m = make_child("console", start=False)
    m.spawn()
    m.expect("HELLO")
    m.send_config()
    m.expect("READY")
    for byte in message("HEALTH", m.generation, True, '{"ready":true}') + message("DRAIN", m.generation, 5000, "test"):
        m.raw(bytes([byte]))
    m.expect("DRAINED")
    assert m.wait_exit() == 0


# ---- CONFIG

def config_exit(m, text=None, length=None, digest=None, seals=True, beat_ms=200):
    m.spawn()
    m.expect("HELLO")
    text = b"{}" if text is None else text
    fd = m.config_fd(text, seals)
    m.send("CONFIG", 1, len(text) if length is None else length, digest or hashlib.sha256(text).digest(),
           len(m.listeners), m.node, m.run, beat_ms, 5000, 5000, fds=[fd])
    os.close(fd)
    return m.wait_exit()


@pytest.mark.parametrize("case,code", [
    ({"digest": b"\0" * 32}, PROTOCOL), ({"length": 3}, PROTOCOL), ({"length": 2**40}, PROTOCOL), ({"length": 0}, PROTOCOL),
    ({"seals": False}, PROTOCOL), ({"beat_ms": 0}, PROTOCOL), ({"text": b"{"}, OSERR), ({"text": b"\0\xff"}, OSERR),
    ({"text": b'{"ingest":{"ack":"never"}}'}, OSERR), ({"text": b'{"nobody_knows":1}'}, OSERR)])
def test_a_configuration_that_is_not_taken(make_child, case, code):
    m = make_child("console", start=False)
    assert config_exit(m, **case) == code
    assert "event=config_" in m.log()
    assert "READY" not in [x.name for x in m.seen]


def test_config_comes_first_and_once(make_child):
    m = make_child("console", start=False)
    m.spawn()
    m.expect("HELLO")
    m.send("HEALTH", True, "{}")
    assert m.wait_exit() == PROTOCOL and "event=control_too_early" in m.log()
    m = make_child("console")
    m.send_config()
    assert m.wait_exit() == PROTOCOL and "event=config_again" in m.log()


# ---- the end

@pytest.mark.parametrize("kind", KINDS)
def test_the_master_is_gone(make_child, kind):
    m = make_child(kind)
    m.control.shutdown(socket.SHUT_RDWR)
    assert m.wait_exit(2 * ORPHAN_SECONDS) == ORPHAN
    assert "event=master_gone" in m.log()


def test_the_master_is_gone_in_the_middle_of_a_frame(make_child):
    m = make_child("console")
    m.raw(message("DRAIN", m.generation, 5000, "test")[:9])
    m.control.shutdown(socket.SHUT_RDWR)
    assert m.wait_exit(2 * ORPHAN_SECONDS) == ORPHAN


def test_an_orphan_does_not_wait_for_ever(make_child, sink):
    """A destination that never answers holds an orphan no longer than its limit."""
    sink.behave(hang=True)
    m = make_child("delivery")
    link = m.link()
    link.send_batch("b000000000000000000000001", ['{"type":"track","userId":"u","messageId":"m-1"}'])
    link.expect("STORED")
    wait_for(lambda: sink.requests, 10, "the attempt is under way")
    started = time.monotonic()
    m.control.shutdown(socket.SHUT_RDWR)
    assert m.wait_exit(2 * ORPHAN_SECONDS) == ORPHAN
    assert time.monotonic() - started < 2 * ORPHAN_SECONDS
    link.close()


@pytest.mark.parametrize("kind", KINDS)
def test_sigterm_drains(make_child, kind):
    m = make_child(kind)
    m.signal(signal.SIGTERM)
    assert m.expect("DRAINED").fields == [0]
    assert m.wait_exit() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_masters_signals_are_not_its_own(make_child, kind):
    """A terminal sends these to the whole group; the master sees to it."""
    m = make_child(kind)
    for signo in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN,
                  signal.SIGPIPE):
        m.signal(signo)
    m.seen.clear()
    m.expect("BEAT")
    m.send("DRAIN", 5000, "test")
    m.expect("DRAINED")
    assert m.wait_exit() == 0


def test_not_started_by_a_master(build):
    done = subprocess.run([os.path.join(build, "asan", "dray"), "-x", "delivery", "-n", "0"], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 64 and "child_not_started_by_master" in done.stderr
