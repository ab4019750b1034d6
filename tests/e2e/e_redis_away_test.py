"""Redis stopped or gone, without a spool (r_spool_test.py: with one): nobody is restarted for it, ingest says 503, nothing acknowledged is lost, work goes on."""
import os
import signal
import time

import pytest

from lib.client import Load
from lib.wait import wait_for

# The waits of the real thing, shortened: a request gives up after 1 s instead of 10 s, a command after 500 ms.
WITHOUT = {"master": {"processes": {"spool": 0}}}
QUICK = {**WITHOUT, "ingest": {"ack_timeout": "1s"}, "redis": {"command_timeout": "500ms", "reconnect": {"max": "500ms"}},
         "queue": {"lock_duration": "3s", "lock_renew": "1s", "stalled_interval": "1s"}}


def pids(dray):
    return {(p["kind"], p["slot"]): p["pid"] for p in dray.processes()}


def away(dray, ledger, seconds, go, come_back):
    """Under load Redis goes for so many seconds; the load's clients retry all the while."""
    load = Load(dray, ledger, clients=4, batch=10, seconds=90).start()
    wait_for(lambda: len(ledger.acked) > 200, 30)
    before = pids(dray)
    go()
    with dray.client(timeout=30) as c:
        def refused():
            answer = c.post("/v1/track", {"userId": "u", "event": "probe", "messageId": "probe"})
            return answer if answer.status == 503 else None
        ledger.tried.add("probe")
        answer = wait_for(refused, 20, "503 while Redis is away")
        assert int(answer.headers["retry-after"]) >= 1
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert pids(dray) == before, "nobody is restarted because Redis is away"
        time.sleep(0.2)
    assert dray.get("/livez").status == 200
    come_back()
    count = len(ledger.acked)
    wait_for(lambda: len(ledger.acked) > count + 40, 2 * 2, "work goes on within 2 s")
    load.stop()
    ledger.settle(30)
    assert pids(dray) == before
    ledger.check(dray)


def test_managed_redis_stopped(make_dray, sink, ledger):
    dray = make_dray(conf=QUICK)
    pid = dray.redis_pid()
    away(dray, ledger, 5, lambda: os.kill(pid, signal.SIGSTOP), lambda: os.kill(pid, signal.SIGCONT))
    assert dray.redis_pid() == pid, "a stopped Redis is not killed for silence"


@pytest.mark.soak
@pytest.mark.limit(300)
def test_managed_redis_stopped_for_20_s(make_dray, sink, ledger):
    """The full count, with the defaults: a request is answered 503 after 10 s."""
    dray = make_dray(conf=WITHOUT)
    pid = dray.redis_pid()
    away(dray, ledger, 20, lambda: os.kill(pid, signal.SIGSTOP), lambda: os.kill(pid, signal.SIGCONT))
    assert dray.redis_pid() == pid


def test_external_redis_gone(make_dray, make_redis, sink, ledger):
    server = make_redis()
    dray = make_dray(conf={**QUICK, "redis": {**QUICK["redis"], "mode": "standalone", "url": server.url}})
    away(dray, ledger, 5, server.kill, server.start)


def test_managed_redis_killed(make_dray, sink, ledger):
    """kill -9 of redis-server: it is started again over its data, and nothing else."""
    dray = make_dray(conf=QUICK)
    load = Load(dray, ledger, clients=4, batch=10).start()
    wait_for(lambda: len(ledger.acked) > 200, 30)
    before = pids(dray)
    for _ in range(3):
        old = dray.redis_pid()
        os.kill(old, signal.SIGKILL)
        wait_for(lambda: dray.redis_pid() != old, 10, "another redis-server")
        count = len(ledger.acked)
        wait_for(lambda: len(ledger.acked) > count + 40, 10, "work goes on")
    load.stop()
    ledger.settle(30)
    after = pids(dray)
    assert {k: v for k, v in before.items() if k[0] != "program"} == \
           {k: v for k, v in after.items() if k[0] != "program"}
    ledger.check(dray)


def test_destination_down(make_dray, make_sink, sink, ledger):
    """The destination refuses connections: batches are acknowledged and wait with growing delays, then all come."""
    dray = make_dray(conf={**QUICK, "delivery": {  # each job goes on being tried: fault/f47_flow_test.py has circuits
        "circuit": {"consecutive": 0, "failure_ratio": 1, "min_requests": 1000000},
        "retry_budget": {"ratio": 1, "min": 10000}}})
    sink.down()
    load = Load(dray, ledger, events=300, clients=4, batch=10).start()
    load.join()
    before = pids(dray)
    wait_for(lambda: dray.queue_counts()["delayed"] > 0, 10)
    r = dray.redis()
    wait_for(lambda: any(int(r.hget(k, "attemptsMade") or 0) >= 3 for k in r.scan_iter("{dray}:sink:*")
                         if r.type(k) == b"hash"), 20, "several attempts")
    assert dray.queue_counts()["failed"] == 0
    assert pids(dray) == before
    sink.up()
    ledger.settle(20)
    assert ledger.duplicates() == {}
    ledger.check(dray)


def test_a_worker_that_ends_meanwhile_leaves_nothing_locked(make_dray, sink, ledger):
    """With the locks of the defaults: what it held is not left to the stalled check, half a minute later."""
    dray = make_dray(conf={"master": {"drain": "2s", "processes": {"spool": 0}}, "delivery": {"timeout": "1500ms"}})
    pid = dray.redis_pid()
    sink.behave(delay=1)
    Load(dray, ledger, events=200, clients=8, batch=5).start().join()
    r = dray.redis()
    wait_for(lambda: r.llen("{dray}:sink:active") > 0, 10)
    os.kill(pid, signal.SIGSTOP)
    dray.cli("scale", "delivery", "1", "--no-wait")
    record = wait_for(lambda: dray.log.records("child_drained", child_kind="delivery"), 10)[0]
    os.kill(pid, signal.SIGCONT)
    assert int(record["left"]) > 0
    wait_for(lambda: dray.log.records("token_released", prefix="0"), 5)
    ledger.settle(10)
    ledger.check(dray)
