"""F01: kill -9 of a worker idle / mid-BATCH read / after store before STORED / mid-curl: restarted; the batch in flight goes
to another worker; 0 lost; a duplicate only in "after store", and absorbed by the batch's id."""
import pytest

from lib.events import batch_body, make_events
from lib.hooks import Hooks
from lib.wait import wait_for

BIG = {"ingest": {"max_batch": "3MiB", "flush_at": 500}}  # more than a pipe holds


def obituary(dray, pid):
    """The one log line about a process' end."""
    found = wait_for(lambda: dray.log.records("child_died", child_pid=pid), 5, "an obituary")
    assert len(found) == 1
    return found[0]


def send(dray, ledger, events):
    with dray.client() as c:
        assert c.deliver(batch_body(events)).status == 200
    ledger.ack(e["messageId"] for e in events)


def check_killed(dray, pid, slot):
    """One obituary that says how, and the slot is full again without a delay."""
    dray.wait_replaced("delivery", slot, pid)
    record = obituary(dray, pid)
    assert (record["child_kind"], record["child_slot"], record["level"]) == ("delivery", str(slot), "warn")
    assert (record["signal"], record["by"], record["reason"]) == ("SIGKILL", "somebody else", "kill")
    assert not dray.log.records("child_backoff"), "what has worked is back at once"


@pytest.fixture
def others(make_dray):
    """Checks that nobody but the delivery processes has died."""
    def look(dray):
        return {(p["kind"], p["slot"]): p["pid"] for p in dray.processes() if p["kind"] != "delivery"}
    return look


def test_idle(dray, sink, ledger, others):
    before = others(dray)
    dray.fd_baseline()
    pid = dray.kill("delivery", 0)
    check_killed(dray, pid, 0)
    send(dray, ledger, list(make_events(20)))
    ledger.settle()
    assert ledger.duplicates() == {} and others(dray) == before
    dray.check_fds()


def test_while_it_reads_a_batch(make_dray, sink, ledger, others):
    dray = make_dray(conf=BIG, start=False)
    hooks = Hooks(dray)
    dray.start()
    before = others(dray)
    dray.fd_baseline()
    hooks.arm("batch_torn", "kill")
    send(dray, ledger, list(make_events(200, pad=9000)))
    assert hooks.fired("batch_torn")
    died = wait_for(lambda: dray.log.records("child_died"), 5)[0]
    check_killed(dray, int(died["child_pid"]), int(died["child_slot"]))
    assert dray.log.records("link_gone", returned="true"), "the batch came back"
    ledger.settle()
    assert ledger.duplicates() == {} and others(dray) == before
    dray.check_fds()


def test_after_storing_before_saying_so(make_dray, sink, ledger, others):
    dray = make_dray(start=False)
    hooks = Hooks(dray)
    dray.start()
    before = others(dray)
    dray.fd_baseline()
    hooks.arm("batch_stored", "kill")
    send(dray, ledger, list(make_events(20)))
    assert hooks.fired("batch_stored")
    died = wait_for(lambda: dray.log.records("child_died"), 5)[0]
    check_killed(dray, int(died["child_pid"]), int(died["child_slot"]))
    ledger.settle()
    wait_for(lambda: dray.metric("dray_ingest_batches_total", outcome="duplicate") == 1, 5)
    assert len({r.key for r in sink.requests}) == 1
    assert ledger.duplicates() == {} and others(dray) == before
    dray.check_fds()


def test_while_it_delivers(make_dray, sink, ledger, others):
    dray = make_dray(conf={"master": {"health": {"beat": "100ms"}}})
    before = others(dray)
    dray.fd_baseline()
    sink.behave(hang=True)
    send(dray, ledger, list(make_events(20)))
    wait_for(lambda: len(sink.requests) == 1, 10)
    slot = wait_for(lambda: [p["slot"] for p in dray.processes("delivery") if p["in_hand"] > 0], 5)[0]
    sink.behave()
    pid = dray.kill("delivery", slot)
    wait_for(lambda: len(sink.taken()) == 1, 2, "its job is handed back and delivered")  # promised within 1 s
    check_killed(dray, pid, slot)
    assert obituary(dray, pid)["in_hand"] == "1"
    first, second = sink.requests
    assert first.key == second.key and first.status is None
    assert wait_for(lambda: [r for r in dray.log.records("jobs_handed_back", kind="master") if r["jobs"] == "1"], 5)
    ledger.settle()
    assert ledger.duplicates() == {} and others(dray) == before
    dray.check_fds()
