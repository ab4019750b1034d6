"""F16: frames that lie (length 0, over the cap, 2^32-1, no 0xCE, truncated, an array of 400 M, nesting of 10^6, wrong
arity, unknown type, wrong direction): the link is closed and logged, no memory grows; old generations are dropped
silently. The process lives on, with its other links; the sender gets its batches back and sends them elsewhere."""
import os
import select
import struct
import threading
import time

import msgpack
import pytest

from lib import procs
from lib.client import Client
from lib.fake_master import NUMBERS, Reader, frame, message
from lib.wait import wait_for

MIB = 1 << 20
BATCH_CAP, ACK_CAP = 8 * MIB, 4096
EVENTS, END, STORED, CREDIT = (NUMBERS[n] for n in ("EVENTS", "END", "STORED", "CREDIT"))


def body(*fields):
    return frame(msgpack.packb(list(fields)))


def bad_frames(cap, g):
    """(what, bytes) that are wrong on any channel."""
    return [
        ("length 0", struct.pack(">BI", 0xCE, 0)),
        ("one over the cap", struct.pack(">BI", 0xCE, cap + 1)),
        ("2^32-1", struct.pack(">BI", 0xCE, 2**32 - 1) + b"\xdd" * 100),
        ("no 0xCE", b"POST /v1/batch HTTP/1.1\r\n\r\n"),
        ("an array of 400 M", frame(b"\xdd\x17\xd7\x84\x00" + b"\0" * 100)),
        ("an array of 2^32-1", frame(b"\xdd\xff\xff\xff\xff")),
        ("a map of 2^32-1", frame(b"\xdf\xff\xff\xff\xff")),
        ("not an array", frame(b"\xa5hello")),
        ("no elements", frame(b"\x90")),
        ("type is text", body("EVENTS", g)),
        ("unknown type", body(63, g)),
        ("type of 2^32-1", body(2**32 - 1, g)),
        ("wrong direction", message("HELLO", g, 1, 1, "delivery", 0, 1, "x")),
    ]


def bad_batches(g):
    """More that is wrong on a batch pipe."""
    good = [EVENTS, g, "b000000000000000000000009", 0, "web", "sink", "", [b"{}"]]

    def but(at, value):
        return frame(msgpack.packb(good[:at] + [value] + good[at + 1:]))
    fields = b"\x98" + msgpack.packb(good[:7])[1:]  # the events come behind it
    return bad_frames(BATCH_CAP, g) + [
        ("nesting of 10^6", frame(b"\x91" * 10**6)),
        ("nested in a field", frame(fields + b"\x91" * 10**6)),
        ("too few fields", frame(msgpack.packb(good[:7]))),
        ("too many fields", frame(msgpack.packb(good + [1]))),
        ("an answer", message("STORED", g, "b000000000000000000000009", False)),
        ("id is a number", but(2, 5)),
        ("id is 64 KiB long", but(2, "b" * 65536)),
        ("id with NUL", but(2, "b\0c")),
        ("tries is negative", but(3, -1)),
        ("source is an array", but(4, ["web"])),
        ("events is text", but(7, "{}")),
        ("an event is a number", but(7, [b"{}", 7])),
        ("an event is an array", but(7, [[b"{}"]])),
        ("400 M events", frame(fields + b"\xdd\x17\xd7\x84\x00" + b"\xc4\x02{}" * 3)),
        ("an event of 4 GiB", frame(fields + b"\x91\xc6\xff\xff\xff\xff{}")),
        ("bytes left over", frame(msgpack.packb(good) + b"\0")),
        ("END with a field", body(END, g, 1)),
    ]


def bad_answers(g):
    """More that is wrong on an ack pipe."""
    return bad_frames(ACK_CAP, g) + [
        ("nesting", frame(b"\x91" * 4000)),
        ("a batch", message("END", g)),
        ("STORED of nothing that was sent", body(STORED, g, "b000000000000000000000008", False)),
        ("STORED without its flag", body(STORED, g, "b000000000000000000000008")),
        ("credit is text", body(CREDIT, g, "many", 1)),
        ("credit is negative", body(CREDIT, g, -1, 1)),
        ("credit of 2^64-1", body(CREDIT, g, 2**64 - 1, 1)),
        ("REFUSED with a text of 64 KiB", frame(b"\x96\x32" + msgpack.packb(g) + b"\xa1b\xc2\x00\xda\xff\xff")),
    ]


def memory(pid):
    """The most it ever had in memory, and in its address space, in bytes."""
    with open("/proc/%d/status" % pid) as f:
        lines = dict(line.split(":", 1) for line in f)
    return int(lines["VmHWM"].split()[0]) * 1024, int(lines["VmPeak"].split()[0]) * 1024


def wait_closed(link, seconds=10):
    """Until the child has closed its side; whatever it still said is read."""
    deadline = time.monotonic() + seconds
    while not link.is_ended:
        assert time.monotonic() < deadline, "the link is still open"
        if select.select([link.ack_fd], [], [], 0.1)[0]:
            data = os.read(link.ack_fd, 65536)
            link.is_ended = not data
            link.seen += link.reader.feed(data)


def push(fd, data):
    """Writes as much as the other side takes."""
    try:
        while data:
            data = data[os.write(fd, data):]
    except BrokenPipeError:
        pass


@pytest.fixture(params=["asan", "release"])
def worker(request, fake_master, make_redis, sink):
    """A delivery child; of the release build as well, since the sanitizers' memory hides the child's own."""
    conf = {"redis": {"mode": "standalone", "url": make_redis().url}, "sources": [{"id": "web", "write_key": "KEY"}],
            "destinations": [{"id": "sink", "url": sink.url}]}
    m = fake_master("delivery", conf, variant=request.param).start()
    m.expect("READY")
    m.is_lean = request.param == "release"
    return m


def batch_id(n):
    return "b000000000" + "%015d" % n


def event(n):
    return '{"type":"track","userId":"u","messageId":"m-%d"}' % n


def test_hostile_batches(worker, sink):
    good = worker.link(peer_slot=1)
    good.expect("CREDIT")
    good.send_batch(batch_id(0), [event(0)])
    assert good.expect("STORED").fields == [batch_id(0), False]
    wait_for(lambda: len(sink.ids()) == 1, 10)
    fds = procs.fd_count(worker.pid)
    resident, mapped = memory(worker.pid)
    rows = bad_batches(worker.generation)
    for i, (what, data) in enumerate(rows, 1):
        link = worker.link()
        link.expect("CREDIT")
        push(link.batch_fd, data)
        try:
            wait_closed(link)
        except AssertionError as error:
            raise AssertionError("%s: %s" % (what, error)) from None
        assert link.seen == [], "%s: nothing is answered" % what
        link.close()
        wait_for(lambda: worker.log().count("event=link_broken") == i, 5, "a line about it: " + what)
        good.send_batch(batch_id(i), [event(i)])
        assert good.expect("STORED").fields == [batch_id(i), False], what
    wait_for(lambda: len(sink.ids()) == len(rows) + 1, 10)
    if worker.is_lean:
        now = memory(worker.pid)
        assert now[0] - resident < 2 * BATCH_CAP and now[1] - mapped < 4 * BATCH_CAP, "memory: %s, before %s" % (
            now, (resident, mapped))
    wait_for(lambda: procs.fd_count(worker.pid) <= fds, 5, "no descriptor stays open")
    assert worker.exit_code is None and sorted(sink.ids()) == sorted("m-%d" % i for i in range(len(rows) + 1))


def test_more_than_was_granted(worker, sink):
    sink.behave(hang=True)
    link, good = worker.link(), worker.link(peer_slot=1)
    most = link.expect("CREDIT").fields[0]
    data = b"".join(message("EVENTS", worker.generation, batch_id(100 + i), 0, "web", "sink", "", [event(i).encode()])
                    for i in range(50 * most))
    push(link.batch_fd, data)
    wait_closed(link)
    assert "more batches than were granted" in worker.log()
    good.send_batch(batch_id(1), [event(1)])
    assert good.expect("STORED").fields == [batch_id(1), False]
    sink.release()


@pytest.mark.parametrize("cut", [1, 4, 5, 6, 40])
def test_truncated(worker, sink, cut):
    """The sender dies in the middle of a frame: the batch before it is taken, the torn one is not."""
    link = worker.link()
    link.expect("CREDIT")
    link.send_batch(batch_id(1), [event(1)])
    link.raw(message("EVENTS", worker.generation, batch_id(2), 0, "web", "sink", "", [event(2).encode()])[:cut])
    os.close(link.batch_fd)
    wait_closed(link)
    wait_for(lambda: sink.ids() == {"m-1": 1}, 10)
    assert "level=error" not in worker.log()
    other = worker.link()
    other.send_batch(batch_id(2), [event(2)])
    assert other.expect("STORED").fields == [batch_id(2), False]


def test_an_old_generation_is_dropped_silently(worker, sink):
    link = worker.link()
    link.expect("CREDIT")
    for g in (worker.generation - 1, worker.generation + 1, 0, 2**32 - 1):
        link.raw(message("EVENTS", g, batch_id(1), 0, "web", "sink", "", [event(1).encode()]))
        link.raw(message("END", g))
    link.send_batch(batch_id(2), [event(2)])
    assert link.expect("STORED").fields == [batch_id(2), False]
    wait_for(lambda: sink.ids() == {"m-2": 1}, 10)
    assert "link_broken" not in worker.log()


class Post(threading.Thread):
    """A request under way."""

    def __init__(self, master, name):
        super().__init__(daemon=True)
        self.master, self.body, self.answer = master, {"userId": "u", "messageId": name}, None
        self.start()

    def run(self):
        with Client(self.master.address(), key="KEY", timeout=30) as c:
            self.answer = c.post("/v1/track", self.body)


def take_batch(link):
    """What an ingest sent on a link of ours."""
    reader, found = Reader(), []
    while not found:
        assert select.select([link.batch_fd], [], [], 10)[0], "no batch"
        found = reader.feed(os.read(link.batch_fd, 65536))
    return found[0]


def test_hostile_answers(fake_master, tmp_path):
    """The other direction: an ingest whose worker lies takes its batch back and gives it to another."""
    conf = {"node": {"state_dir": str(tmp_path)}, "ingest": {"listeners": [{"id": "a", "address": "127.0.0.1:0"}]},
            "sources": [{"id": "web", "write_key": "KEY"}], "destinations": [{"id": "sink", "url": "http://127.0.0.1:9/"}]}
    m = fake_master("ingest", conf, listen=["127.0.0.1:0"], variant="release").start()
    m.expect("READY")
    fds = before = None
    for i, (what, data) in enumerate(bad_answers(1)):
        liar_generation, honest_generation = 1, 2 + i
        liar = m.link("delivery", role=0, peer_slot=0, peer_generation=liar_generation)
        # our ends of a link to a sender: batch_fd is read, ack_fd is written
        os.write(liar.ack_fd, message("CREDIT", liar_generation, 4, BATCH_CAP))
        post = Post(m, "m-%d" % i)
        sent = take_batch(liar)
        push(liar.ack_fd, data)
        wait_for(lambda: m.log().count("event=link_broken") == i + 1, 5, "a line about it: " + what)
        assert post.answer is None, "%s: nothing is acknowledged by a lie" % what
        honest = m.link("delivery", role=0, peer_slot=1, peer_generation=honest_generation)
        os.write(honest.ack_fd, message("CREDIT", honest_generation, 4, BATCH_CAP))
        again = take_batch(honest)
        assert again.fields[0] == sent.fields[0] and again.fields[5] == sent.fields[5], what
        os.write(honest.ack_fd, message("STORED", honest_generation, sent.fields[0], False))
        post.join(10)
        assert post.answer is not None and post.answer.status == 200, what
        liar.close()
        honest.close()
        wait_for(lambda: m.log().count("event=link_gone") == 2 * (i + 1), 5, "both links gone")
        fds, before = fds or procs.fd_count(m.pid), before or memory(m.pid)
    now = memory(m.pid)
    assert now[0] - before[0] < 2 * BATCH_CAP and now[1] - before[1] < 4 * BATCH_CAP, (now, before)
    wait_for(lambda: procs.fd_count(m.pid) <= fds, 5, "no descriptor stays open")
