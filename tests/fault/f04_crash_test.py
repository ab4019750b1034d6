"""F04: kill -SEGV / -ABRT of any child: the obituary has signal, backtrace, the ids in hand and a note about the core."""
import os
import re
import signal
import threading

import pytest

from lib.client import Load
from lib.events import batch_body, make_events
from lib.wait import wait_for

BEAT = {"master": {"health": {"beat": "100ms"}}}


def crash(dray, kind, slot, signo):
    """Sends the signal; (obituary, last words) of the process."""
    pid = dray.signal(kind, slot, signo)
    record = wait_for(lambda: dray.log.records("child_died", child_pid=pid), 10, "an obituary")[0]
    name = signal.Signals(signo).name
    assert (record["child_kind"], record["child_slot"], record["signal"]) == (kind, str(slot), name)
    assert record["core"] in ("yes", "no") and record["reason"] == "crash" and int(record["ran_ms"]) > 0
    words = [r["msg"] for r in dray.log.records("raw", pid=pid)]
    assert words[0] == "crash: signal %s from pid %d" % (name, os.getpid())
    assert words[-1] == "crash: end"
    frames = [w for w in words if re.search(r"\[0x[0-9a-f]+\]$", w)]
    assert len(frames) >= 3 and any("dray" in w for w in frames), "a backtrace: %s" % words
    dray.wait_replaced(kind, slot, pid)
    return record, words


def held(words):
    """{("job", id), ...} as the last words say, and their number."""
    found = set()
    for w in words:
        if w.startswith("crash: in hand: "):
            found.update(tuple(piece.split(" ")) for piece in w[len("crash: in hand: "):].split(", "))
    total = [int(w.rsplit(" ", 1)[1]) for w in words if w.startswith("crash: in hand in all: ")]
    assert len(total) == 1
    return found, total[0]


@pytest.mark.parametrize("signo", [signal.SIGSEGV, signal.SIGABRT], ids=["SEGV", "ABRT"])
def test_delivery_with_jobs_in_hand(make_dray, sink, ledger, signo):
    dray = make_dray(conf={**BEAT, "ingest": {"flush_at": 1}})
    dray.fd_baseline()
    sink.behave(hang=True)
    load = Load(dray, ledger, events=30, clients=3, batch=1).start()
    load.join()
    wait_for(lambda: len(sink.requests) == 30, 10)
    wait_for(lambda: sum(p["in_hand"] for p in dray.processes("delivery")) == 30, 5)
    slot, count = max(((p["slot"], p["in_hand"]) for p in dray.processes("delivery")), key=lambda x: x[1])
    keys = {r.key for r in sink.requests}
    sink.behave()
    record, words = crash(dray, "delivery", slot, signo)
    jobs, total = held(words)
    assert total == count == int(record["in_hand"]) == len(jobs)
    assert all(what == "job" and i in keys for what, i in jobs)
    sink.release()
    ledger.settle()
    dray.check_fds()


def test_ingest_with_batches_in_hand(make_dray, sink, ledger):
    dray = make_dray(conf=BEAT)
    workers = [dray.signal("delivery", n, signal.SIGSTOP) for n in (0, 1)]
    events = list(make_events(10))
    with dray.client() as c:
        body = batch_body(events)
        result = []
        sender = threading.Thread(target=lambda: result.append(c.deliver(body)), daemon=True)
        sender.start()
        wait_for(lambda: dray.slot("ingest")["in_hand"] == 1, 10)
        _, words = crash(dray, "ingest", 0, signal.SIGABRT)
        batches, total = held(words)
        assert total == 1 and [what for what, _ in batches] == ["batch"]
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
        sender.join(30)
    assert result[0].status == 200
    ledger.ack(e["messageId"] for e in events)
    ledger.settle()
    named = batches.pop()[1]
    assert named in {r.key for r in sink.requests}, "what was named came to a worker all the same"


@pytest.mark.parametrize("kind,signo", [("console", signal.SIGSEGV), ("program", signal.SIGABRT)])
def test_those_with_nothing_in_hand(make_dray, sink, ledger, kind, signo):
    dray = make_dray()
    dray.fd_baseline()
    _, words = crash(dray, kind, 0, signo)
    assert "crash: in hand in all: 0" in words
    dray.wait_ready()
    events = list(make_events(10))
    with dray.client() as c:
        assert c.deliver(batch_body(events)).status == 200
    ledger.ack(e["messageId"] for e in events)
    ledger.settle()
    dray.check_fds()
