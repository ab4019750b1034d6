"""F19: Redis is flushed, its scripts are gone (NOSCRIPT). They are loaded again; nobody crashes."""
import pytest

from lib.client import Load
from lib.outcome import pids, wait_settled
from lib.wait import wait_for


@pytest.fixture
def server(make_redis):
    return make_redis()


@pytest.fixture
def dray(make_dray, server):
    return make_dray(conf={"redis": {"mode": "standalone", "url": server.url},
                           "queue": {"lock_duration": "2s", "lock_renew": "500ms", "stalled_interval": "1s"}})


def goes_on(dray, ledger, seed):
    load = Load(dray, ledger, events=200, clients=4, seed=seed).start()
    load.join()
    ledger.settle()
    wait_settled(dray)
    return load


def test_scripts_flushed_under_load(dray, server, ledger):
    before = pids(dray)
    r = server.client()
    load = Load(dray, ledger, clients=4, batch=10).start()
    for _ in range(20):
        count = len(ledger.acked)
        wait_for(lambda: len(ledger.acked) > count + 20, 10)
        r.script_flush()
    load.stop()
    ledger.settle()
    wait_settled(dray)
    assert load.counts == {}, "nothing was refused for it"
    assert ledger.duplicates() == {}
    assert pids(dray) == before and not dray.log.records("redis_down")
    assert not dray.log.records(level="error")
    assert r.info("stats")["total_error_replies"] >= 20, "NOSCRIPT was said"


def test_flushed_while_empty(dray, server, ledger):
    before = pids(dray)
    goes_on(dray, ledger, "before")
    for n in range(3):
        server.client().flushall()
        server.client().script_flush()
        goes_on(dray, ledger, "after%d" % n)
    assert ledger.duplicates() == {} and pids(dray) == before


def test_flushed_with_jobs_in_hand(dray, server, sink, ledger):
    """The locks are gone: the calls under way are given up, or end and find no job. What comes next is as ever."""
    before = pids(dray)
    sink.behave(delay=1.0)
    with dray.client() as c:
        for n in range(5):
            assert c.post("/v1/track", {"userId": "u", "event": "gone", "messageId": "gone-%d" % n}).status == 200
    ledger.tried.update("gone-%d" % n for n in range(5))
    wait_for(lambda: sink.requests and dray.queue_counts()["wait"] == 0, 10)
    server.client().flushall()
    server.client().script_flush()
    wait_for(lambda: dray.log.records("lock_lost"), 5)
    sink.behave()
    goes_on(dray, ledger, "after")
    assert pids(dray) == before and ledger.duplicates() == {}
    assert dray.queue_counts()["failed"] == 0
    assert {r["event"] for r in dray.log.records() if r["level"] in ("warn", "error")} == {"lock_lost"}


def test_flushed_with_jobs_delayed(dray, server, sink, ledger):
    """Delayed jobs, their tick and the wakers: all keys gone under them, nobody minds."""
    before = pids(dray)
    sink.behave(status=503)
    with dray.client() as c:
        for n in range(5):
            assert c.post("/v1/track", {"userId": "u", "event": "gone", "messageId": "gone-%d" % n}).status == 200
    ledger.tried.update("gone-%d" % n for n in range(5))
    wait_for(lambda: dray.queue_counts()["delayed"] > 0, 10)
    server.client().flushall()
    sink.behave()
    goes_on(dray, ledger, "after")
    assert pids(dray) == before
