"""F36: a delivery worker that is stopped past its lock's life, then goes on: its job was done by another, its late answer
changes nothing, a request that still runs is aborted; counted and told as lock lost."""
import signal

from lib import jobs
from lib.client import Client
from lib.events import batch_body, make_events
from lib.wait import wait_for

CONF = {"master": {"processes": {"delivery": 2}, "health": {"hang": "60s"}},
        "queue": {"lock_duration": "1s", "lock_renew": "300ms", "stalled_interval": "500ms"}}


def stop_the_holder(dray, ledger, sink, how):
    """One job whose first request goes as told; its worker is stopped, another one does it. -> the worker's slot, the
    job's id, and the job as the other one left it."""
    sink.rule = lambda request: None if any(r.key == request.key for r in sink.requests) else how
    events = list(make_events(1, seed="late"))
    ledger.tried.update(e["messageId"] for e in events)
    with Client(dray.ingest, dray.key) as c:
        assert c.deliver(batch_body(events)).status == 200
    ledger.ack(e["messageId"] for e in events)
    wait_for(lambda: sink.requests, 5)
    r, job_id = dray.redis(), sink.requests[0].key
    slot = int(r.get("{dray}:sink:%s:lock" % job_id).decode().split(".")[-2])
    dray.signal("delivery", slot, signal.SIGSTOP)
    wait_for(lambda: dray.queue_counts()["completed"] == 1, 15, "another worker does it")
    return slot, job_id, jobs.job(r, "sink", job_id)


def check_nothing_changed(dray, job_id, before):
    lost = wait_for(lambda: dray.log.records("lock_lost"), 10, "it finds out")
    assert [x["job"] for x in lost] == [job_id]
    assert wait_for(lambda: dray.metric("dray_lock_lost_total"), 10) == 1
    assert jobs.job(dray.redis(), "sink", job_id) == before
    assert (before.get("attemptsMade"), before.get("failedReason"), before["stalledCounter"]) == (None, None, "1")
    counts = dray.queue_counts()
    assert [counts[s] for s in ("wait", "active", "delayed", "failed", "completed")] == [0, 0, 0, 0, 1]
    assert jobs.locks(dray.redis(), "sink") == []


def test_late_answer_changes_nothing(make_dray, sink, ledger):
    dray = make_dray(conf=CONF)
    slot, job_id, before = stop_the_holder(dray, ledger, sink, {"status": 503, "delay": 0.5})
    wait_for(lambda: sink.requests[0].status == 503, 5, "the answer that it will read late")
    dray.signal("delivery", slot, signal.SIGCONT)
    check_nothing_changed(dray, job_id, before)
    assert len(sink.requests) == 2
    ledger.settle()


def test_request_is_aborted(make_dray, sink, ledger):
    dray = make_dray(conf=CONF)
    slot, job_id, before = stop_the_holder(dray, ledger, sink, {"hang": True})
    assert any(c.hung for c in sink.connections)
    dray.signal("delivery", slot, signal.SIGCONT)
    wait_for(lambda: not any(c.hung for c in sink.connections), 5, "its request is given up")
    check_nothing_changed(dray, job_id, before)
    ledger.settle()
