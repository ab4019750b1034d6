"""redis.mode: none: everything is in memory; what a worker had, ingest has, too."""
import pytest

from lib import procs, quarantine
from lib.client import Client, Load
from lib.events import make_events
from lib.order import OrderedLoad, inversions, overtakings
from lib.outcome import assert_unchanged
from lib.wait import wait_for

NONE = {"redis": {"mode": "none", "managed": None}}


def send(dray, seed, n=1):
    events = list(make_events(n, seed=seed))
    with dray.client(timeout=20) as c:
        return c.batch(events), [e["messageId"] for e in events]


def held(dray):
    return dray.metric("dray_ingest_queued_events")


def test_events_arrive_without_redis(make_dray, sink, ledger):
    dray = make_dray(conf=NONE)
    assert not [p for p in procs.descendants(dray.pid) if p.name.startswith("redis")]
    load = Load(dray, ledger, events=2000, clients=4, batch=10).start()
    load.join()
    sink.wait_ids(set(ledger.acked), 20)
    assert ledger.duplicates() == {}
    assert_unchanged(sink, load.sent)
    assert dray.get("/readyz").status == 200
    wait_for(lambda: held(dray) == 0, 5)
    assert dray.cli("flush", "--timeout", "10s").returncode == 0
    r = dray.cli("queue", "ls")
    assert r.returncode != 0 and "redis.mode is none" in r.stderr, r
    ledger.checked = True


def test_retries_and_deaths_of_workers(make_dray, sink, ledger):
    """A destination that is away; workers that are killed with its batches in hand, or replaced: all of it arrives."""
    dray = make_dray(conf=NONE)
    sink.behave(status=503)
    answer, ids = send(dray, "kept", 40)
    assert answer.status == 200
    wait_for(lambda: len(sink.requests) > 2, 10, "it is tried again")
    for n in (0, 1):
        old = dray.kill("delivery", n)
        dray.wait_replaced("delivery", n, old)
    seen = len(sink.requests)
    wait_for(lambda: len(sink.requests) > seen + 2, 10, "others go on with it")
    dray.control({"verb": "restart", "kind": "delivery"})
    wait_for(lambda: len(dray.log.records("delivery_drained")) >= 2, 20)
    sink.behave()
    sink.wait_ids(set(ids), 20)
    wait_for(lambda: held(dray) == 0, 5)
    assert not dray.log.records("events_lost") and not dray.log.records("batch_lost")


def test_refused_for_good(make_dray, sink, ledger):
    """There is no failed set: the quarantine has it. Who waits for the delivery is told."""
    dray = make_dray(conf={**NONE, "sources": [{"id": "web", "write_key": "test-key"},
                                               {"id": "sure", "write_key": "sure", "ack": "delivered"}]})
    sink.behave(status=400, body=b"no such plan")
    answer, ids = send(dray, "bad")
    assert answer.status == 200
    wait_for(lambda: len(quarantine.read(dray.quarantine_dir)) == 1, 10)
    record = quarantine.read(dray.quarantine_dir)[0]
    assert ids[0].encode() in record.data
    with Client(dray.ingest, "sure", timeout=20) as c:
        answer = c.batch(list(make_events(1, seed="bad2")))
        assert answer.status == 502 and b"answered 400: no such plan" in answer.body, answer
        sink.behave()
        sure = list(make_events(1, seed="good"))
        assert c.batch(sure).status == 200
        assert sure[0]["messageId"] in sink.seen_ids(), "delivered before it was answered"
    ledger.checked = True


@pytest.mark.parametrize("mode", ["strict", "key"])
def test_order_is_kept(make_dray, make_sink, sink, ledger, mode):
    how = {"is_multi_processor": False} if mode == "strict" else {"ordering": "key", "partitions": 4}
    dray = make_dray(conf={**NONE, "destinations": [{"id": "sink", "url": sink.url, **how}]})
    sink.behave(fail_rate=0.1)
    load = OrderedLoad(lambda: [dray], ledger, events=150, users=5, clients=4, seed="none-" + mode).start()
    wait_for(lambda: len(ledger.acked) > 50, 20)
    for n in (0, 1):
        dray.kill("delivery", n)
    load.join()
    sink.behave()
    sink.wait_ids(set(ledger.acked), 30)
    assert inversions(sink, load, whole=mode == "strict") == []
    assert overtakings(sink, load, whole=mode == "strict") == []
    ledger.checked = True


def test_full(make_dray, sink, ledger):
    """Memory is bounded: then 503, and nothing that was taken is lost."""
    dray = make_dray(conf={**NONE, "ingest": {"max_internal_queue_size": 200, "flush_at": 10}})
    sink.behave(status=503)
    taken, refused = [], 0
    for i in range(60):
        answer, ids = send(dray, "full-%d" % i, 10)
        if answer.status == 200:
            taken += ids
        else:
            assert answer.status == 503 and answer.headers.get("retry-after")
            refused += 1
    assert len(taken) == 200 and refused == 40
    sink.behave()
    sink.wait_ids(set(taken), 30)


def test_the_end_of_the_host(make_dray, sink, ledger):
    """What is not delivered when the time to drain is over is gone, and counted."""
    dray = make_dray(conf={**NONE, "master": {"drain": "2s"}, "delivery": {"timeout": "1s"}})
    sink.behave(status=503)
    send(dray, "gone", 7)
    wait_for(lambda: sink.requests, 10)
    assert dray.stop() == 0
    lost = dray.log.records("events_lost")
    assert len(lost) == 1 and lost[0]["events"] == "7"
    ledger.checked = True


def test_what_needs_redis_is_refused(make_dray, sink):
    dray = make_dray(conf={**NONE, "queue": {"limiter": "10/1s"}, "master": {"processes": {"ingest": 2}},
                           "destinations": [{"id": "sink", "url": sink.url, "is_multi_processor": False}]}, start=False)
    r = dray.cli("check")
    assert r.returncode == 78
    assert "queue.limiter: counts in Redis" in r.stderr and "processes.ingest: with redis.mode: none" in r.stderr
