"""F14: the link's pipe is full and the worker slow. The intake's window closes, then it answers 503 at its high-water
mark; its memory stays bounded; when the worker reads again everything goes on."""
import os
import signal
import threading
import time

import pytest

from lib import procs
from lib.client import Client, Load
from lib.fake_worker import Worker, events_of
from lib.outcome import pids, wait_settled
from lib.wait import stays, wait_for

MIB = 1 << 20
PAD = "x" * 20000


def body(n, events=10):
    """About 200 KiB: a pipe holds five of them."""
    return {"batch": [{"type": "track", "userId": "u", "event": "e", "messageId": "f14-%d-%d" % (n, i),
                       "properties": {"pad": PAD}} for i in range(events)]}


class Crowd:
    """Clients side by side, each with one request under way that is not tried again."""

    def __init__(self, address, count):
        self.answers = [None] * count
        self.threads = [threading.Thread(target=self.run, args=(address, n), daemon=True) for n in range(count)]
        for t in self.threads:
            t.start()

    def run(self, address, n):
        with Client(address, key="KEY", timeout=60) as c:
            self.answers[n] = c.post("/v1/batch", body(n))

    def count(self, status):
        return sum(1 for a in self.answers if a is not None and a.status == status)


def test_a_worker_that_reads_nothing(fake_master):
    """One link, its pipe never read: what can be in it, what waits in the intake, what is sent away."""
    master = fake_master("ingest", {
        "sources": [{"id": "web", "write_key": "KEY"}], "destinations": [{"id": "sink", "url": "http://127.0.0.1:9/"}],
        "ingest": {"ack_timeout": "20s", "max_internal_queue_size": 400, "flush_at": 10}}, listen=["127.0.0.1:0"], variant="release").start()
    master.expect("READY")
    worker = Worker(master, credit=8)
    before = procs.rss_bytes(master.pid)
    crowd = Crowd(master.address(), 100)
    wait_for(lambda: crowd.count(503) >= 1, 20, "503 at the high-water mark")
    wait_for(lambda: sum(a is not None for a in crowd.answers) == 60, 10, "40 requests wait, 60 were sent away")
    assert crowd.count(503) == 60 and crowd.count(200) == 0
    assert all(1 <= int(a.headers["retry-after"]) <= 30 for a in crowd.answers if a is not None)
    more = [Client(master.address(), key="KEY") for _ in range(4)]
    for i in range(40):
        assert more[i % 4].post("/v1/batch", body(1000 + i)).status == 503
    used = procs.rss_bytes(master.pid) - before
    print("figure: 140 requests of 200 KiB into a full link: %.1f MiB more memory" % (used / MIB))
    assert used < 40 * MIB, "40 of them are held, 8 MiB"
    assert master.expect("BEAT", seconds=3).fields[1] < 100, "the loop turns"

    # The window: what comes out of the pipe without an answer is never more than the credit.
    taken = []
    while not worker.nothing(1):
        taken, worker.seen = taken + worker.seen, []
    assert len(taken) == 8
    for batch in taken:
        worker.stored(batch)
    while len(taken) < 40:
        batch = worker.expect()
        taken.append(batch)
        worker.stored(batch)
    wait_for(lambda: crowd.count(200) == 40, 10, "what waited is acknowledged")
    assert len({b.fields[0] for b in taken}) == 40
    again = Crowd(master.address(), 10)
    while again.count(200) < 10:
        worker.pump(0.1)
        while worker.seen:
            worker.stored(worker.seen.pop(0))
    assert again.count(503) == 0, "room again"
    for c in more:
        c.close()


def test_slow_trickle(fake_master):
    """A worker that reads 4 KiB now and then gets every byte in its order: writes are cut anywhere."""
    master = fake_master("ingest", {
        "sources": [{"id": "web", "write_key": "KEY"}], "destinations": [{"id": "sink", "url": "http://127.0.0.1:9/"}],
        "ingest": {"ack_timeout": "30s", "flush_at": 10}}, listen=["127.0.0.1:0"]).start()
    master.expect("READY")
    worker = Worker(master, credit=16)
    crowd = Crowd(master.address(), 16)
    got = []
    while len(got) < 16:
        piece = os.read(worker.batch_fd, 4096 + 1)
        for batch in worker.reader.feed(piece):
            got.append(batch)
            worker.stored(batch)
    wait_for(lambda: crowd.count(200) == 16, 10)
    ids = [e["messageId"] for b in got for e in events_of(b)]
    assert sorted(ids) == sorted("f14-%d-%d" % (n, i) for n in range(16) for i in range(10))
    assert all(e["properties"]["pad"] == PAD for b in got for e in events_of(b))


@pytest.mark.limit(60)
def test_the_whole_house_with_workers_that_stand_still(make_dray, sink, ledger):
    """Both workers stopped for 4 s, under load: 503, bounded, nobody restarted, nothing lost, then it goes on."""
    dray = make_dray(conf={"master": {"processes": {"spool": 0}}, "ingest": {"ack_timeout": "1s", "max_internal_queue_size": 500, "memory": "32MiB"}})
    load = Load(dray, ledger, clients=8, batch=20, pad=2000).start()
    wait_for(lambda: len(ledger.acked) > 400, 20)
    before = pids(dray)
    ingest = dray.pid_of("ingest")
    base = procs.rss_bytes(ingest)
    stopped = [dray.signal("delivery", n, signal.SIGSTOP) for n in (0, 1)]
    wait_for(lambda: load.counts.get("503", 0) > 8, 10, "503")
    stays(lambda: procs.rss_bytes(ingest) < base + 100 * MIB, 2, "memory is bounded")
    assert pids(dray) == before
    held = len(ledger.acked)
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    started = time.monotonic()
    wait_for(lambda: len(ledger.acked) > held + 200, 4, "work goes on within 2 s")
    print("figure: work goes on %.2f s after both workers do" % (time.monotonic() - started))
    load.stop()
    ledger.settle()
    wait_settled(dray)
    assert pids(dray) == before
    wait_for(lambda: dray.metric("dray_ingest_queued_events") == 0, 5, "nothing is held any more")
    assert dray.metric("dray_ingest_backpressure_total") > 8
