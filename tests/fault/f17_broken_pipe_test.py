"""F17: EPIPE at every point where something is written to a link or to a control channel. As when the other side had
died (F01, F03): its batches go to another, a child without a master drains and ends. SIGPIPE ends nobody."""
import os
import signal
import socket
import time

import pytest

from lib import procs, shims
from lib.client import Load, Posting
from lib.fake_worker import Worker
from lib.outcome import wait_settled
from lib.wait import wait_for
from proc.delivery_test import batch_id, config, event, key

KINDS = {"delivery": 10, "ingest": 10, "console": 6, "program": 6, "master": 25}
QUICK = {"master": {"processes": {"delivery": 2}, "restart": {"min": "10ms", "max": "100ms", "degraded_at": "500/60s"},
                    "health": {"beat": "200ms"}}}


@pytest.mark.limit(90)
def test_control_at_every_write(make_dray, sink, ledger, tmp_path):
    """The Nth message of each kind of child, and of the master to any of them, finds the channel closed."""
    breaks = shims.Breaks(tmp_path, KINDS)
    assert len(breaks.left()) == sum(KINDS.values())
    dray = make_dray(conf=QUICK, env=shims.bad_io(tmp_path, broken=breaks), start=False)
    dray.start(wait=False)
    wait_for(lambda: dray.get("/livez").status == 200, 30, "alive")
    load = Load(dray, ledger, clients=4, batch=10, pause=0.02).start()
    wait_for(lambda: not breaks.left(), 60, "each point was reached")
    dray.wait_ready()
    held = len(ledger.acked)
    wait_for(lambda: len(ledger.acked) > held + 100, 10, "work goes on")
    load.stop()
    ledger.settle()
    wait_settled(dray, seconds=15)
    died = dray.log.records("child_died")
    print("figure: %d channels broken, %d children died of it, %d duplicates" % (
        sum(KINDS.values()), len(died), len(ledger.duplicates())))
    assert died and not [r for r in died if r.get("signal") == "SIGPIPE"]
    assert dray.process.pid == dray.slot("master")["pid"]
    ledger.check(dray)


# ---- the links

@pytest.fixture
def redis_server(make_redis):
    return make_redis()


@pytest.fixture
def worker(fake_master, redis_server, sink):
    m = fake_master("delivery", config(redis_server.url, sink.url, queue={"backoff": {"delay": "50ms"}})).start()
    m.expect("READY")
    return m


def deaf(link):
    """Its answers are not read any more."""
    os.close(link.ack_fd)
    link.ack_fd = os.open("/dev/null", os.O_RDONLY)


def still_works(worker, n, ended):
    """Another link is served, the broken one is done with once its batches end, and nothing was lost of it."""
    link = worker.link()
    assert link.expect("CREDIT").fields[0] > 0
    link.send_batch(batch_id(n), [event(n)])
    assert link.expect("STORED").fields[0] == batch_id(n)

    def pipes():
        return sum(target.startswith("pipe:") for target in procs.fds(worker.pid).values())
    count = pipes()
    ended.close()
    wait_for(lambda: pipes() == count - 2, 5, "its two descriptors are closed")
    return link


def test_worker_at_credit(worker, sink):
    link = worker.link()
    deaf(link)
    link.send_batch(batch_id(1), [event(1)])
    still_works(worker, 2, link)
    sink.wait_ids(["m-2"])


def test_worker_at_stored(worker, sink, redis_server):
    """The batch is in Redis, nobody hears of it: it is delivered, and known as a duplicate when it comes again."""
    link = worker.link()
    link.expect("CREDIT")
    redis_server.freeze()
    link.send_batch(batch_id(1), [event(1)])
    deaf(link)
    redis_server.thaw()
    sink.wait_ids(["m-1"])
    again = still_works(worker, 2, link)
    again.send_batch(batch_id(1), [event(1)], tries=1)
    assert again.expect("STORED").fields == [batch_id(1), True]
    sink.wait_ids(["m-2"])
    assert sum(sink.ids().values()) == 2


def test_worker_at_refused(worker, sink):
    link = worker.link()
    link.expect("CREDIT")
    deaf(link)
    link.send_batch(batch_id(1), [event(1)], queue="nobody")
    still_works(worker, 2, link)


def test_worker_at_leave(worker, sink):
    link = worker.link()
    link.expect("CREDIT")
    deaf(link)
    worker.send("DRAIN", 2000, "test")
    link.close()
    assert worker.expect("DRAINED").fields == [0]
    assert worker.wait_exit() == 0


INTAKE = {"sources": [{"id": "web", "write_key": "KEY"}], "ingest": {"ack_timeout": "20s", "flush_at": 10},
          "destinations": [{"id": "sink", "url": "http://127.0.0.1:9/"}]}


@pytest.fixture
def intake(fake_master):
    m = fake_master("ingest", INTAKE, listen=["127.0.0.1:0"]).start()
    m.expect("READY")
    return m


def half_closed(worker):
    """Its batches are not read any more; its answers may still come."""
    os.close(worker.batch_fd)
    worker.batch_fd = os.open("/dev/null", os.O_RDONLY)


def post(intake, pad=0):
    return Posting(intake, {"batch": [{"userId": "u", "type": "track", "event": "e", "properties": {"p": "x" * pad}}]})


def test_ingest_at_a_batch(intake):
    """The first write fails: the batch stays with the dead link until its answers end, then another worker has it."""
    first = Worker(intake)
    half_closed(first)
    p = post(intake)
    second = Worker(intake, slot=1, generation=2)
    assert second.nothing(0.5) and p.answer is None, "an answer of the first could still come"
    os.close(first.ack_fd)
    batch = second.expect()
    assert batch.fields[1] <= 1, "one death at most"
    second.stored(batch)
    assert p.wait().status == 200


def test_ingest_at_a_stored_batch(intake):
    """The batch was read and stored before the worker died: its last answer counts."""
    first = Worker(intake)
    p = post(intake)
    batch = first.expect()
    half_closed(first)
    q = post(intake)
    first.stored(batch)
    assert p.wait().status == 200
    os.close(first.ack_fd)
    second = Worker(intake, slot=1, generation=2)
    other = second.expect()
    assert other.fields[0] != batch.fields[0]
    second.stored(other)
    assert q.wait().status == 200


def test_ingest_in_the_middle_of_a_batch(intake):
    """The pipe is full, a batch is partly in it, its reader goes."""
    first = Worker(intake, credit=100)
    waiting = [post(intake, pad=30000) for _ in range(60)]
    wait_for(lambda: intake.expect("BEAT", seconds=3), 5)
    os.read(first.batch_fd, 10000)
    half_closed(first)
    os.close(first.ack_fd)
    second = Worker(intake, slot=1, generation=2, credit=100)
    while not all(p.answer is not None for p in waiting):
        second.pump(0.1)
        for batch in second.seen:
            second.stored(batch)
        second.seen = []
    assert {p.wait().status for p in waiting} == {200}


def test_ingest_at_end(intake):
    """It drains; the worker is gone when END is written."""
    first = Worker(intake)
    half_closed(first)
    intake.send("DRAIN", 2000, "test")
    os.close(first.ack_fd)
    assert intake.expect("DRAINED").fields == [0]
    assert intake.wait_exit() == 0


# ---- the control channel, from outside: nothing can be written to the master, and nothing is read from it

@pytest.mark.parametrize("kind", ["delivery", "ingest", "console"])
@pytest.mark.parametrize("point", ["HELLO", "READY", "BEAT", "DRAINED"])
def test_child_without_master(fake_master, redis_server, sink, kind, point):
    conf = config(redis_server.url, sink.url)
    m = fake_master(kind, conf, listen=[] if kind == "delivery" else ["127.0.0.1:0"])
    if point == "HELLO":
        m.spawn()
        m.control.close()
        m.control = socket.socketpair()[0]
        assert m.wait_exit() in (0, 81)
        return
    if point == "READY":
        m.spawn()
        m.expect("HELLO")
        m.send_config()
    else:
        m.start()
        m.expect("READY")
    if point == "DRAINED":
        m.send("DRAIN", 2000, "test")
    m.control.shutdown(socket.SHUT_RDWR)
    started = time.monotonic()
    assert m.wait_exit(25) in ((0, 81) if point == "DRAINED" else (81,))
    assert time.monotonic() - started < 20
    assert m.exit_code != -signal.SIGPIPE
