"""F47: a process dies while it opens a circuit, tries a destination, or divides a batch; Redis goes while a circuit is open.
Somebody else goes on: nothing is lost, nothing stays shut."""

import pytest

from lib.client import Load
from lib.events import make_events
from lib.hooks import Points
from lib.outcome import wait_settled
from lib.wait import wait_for

CONF = {"delivery": {"timeout": "1s", "connect_timeout": "500ms", "circuit": {"open_min": "100ms", "open_max": "500ms", "ramp": "200ms"}},
        "queue": {"backoff": {"delay": "50ms", "max": "200ms"}, "lock_duration": "3s", "lock_renew": "500ms"},
        "master": {"restart": {"min": "10ms"}}}


@pytest.mark.parametrize("point", ["circuit_open_unsaid", "probe_granted", "probe_unsaid"])
def test_a_death_on_the_way(point, make_dray, sink, ledger):
    dray = make_dray(conf=CONF, start=False)
    crash = Points(dray)
    dray.start()
    sink.behave(status=503)
    crash.arm(point)
    Load(dray, ledger, events=400, clients=2, batch=10).start().join()
    wait_for(lambda: crash.fired(point), 20, "a death at %s" % point)
    sink.behave()
    ledger.settle(30)  # a probe's lease is the time-out and two seconds more
    wait_settled(dray)
    assert dray.queue_counts()["failed"] == 0


def test_a_death_while_a_batch_is_divided(make_dray, sink, ledger):
    dray = make_dray(conf=CONF, start=False)
    crash = Points(dray)
    dray.start()
    sink.rule = lambda r: {"status": 400} if b"poison" in r.body else None
    crash.arm("split_sent")
    events = list(make_events(64, seed="f47"))
    events[11]["properties"] = {"note": "poison"}
    assert dray.client().batch(events).status == 200
    wait_for(lambda: crash.fired("split_sent"), 20, "a death")
    sink.wait_ids({e["messageId"] for e in events} - {events[11]["messageId"]}, 20)
    wait_for(lambda: dray.queue_counts()["failed"] == 1, 10, "the bad one")
    wait_settled(dray)
    assert max(sink.ids().values()) == 1, "each event came once"


def test_redis_goes_while_the_circuit_is_open(make_dray, make_redis, sink, ledger):
    server = make_redis()
    dray = make_dray(conf={**CONF, "redis": {"mode": "standalone", "url": server.url, "managed": None}})
    sink.behave(status=503)
    Load(dray, ledger, events=400, clients=2, batch=10).start().join()
    wait_for(lambda: dray.log.records("circuit_opened"), 10, "an open circuit")
    server.kill()
    wait_for(lambda: dray.log.records("redis_down"), 10, "Redis is away")
    server.start()
    sink.behave()
    ledger.settle(30)
    wait_settled(dray)


def test_enable_and_410(make_dray, sink, ledger):
    """410 disables in the fleet; jobs wait; dray queue enable sends them."""
    dray = make_dray(conf=CONF)
    sink.behave(status=410)
    assert dray.client().batch(list(make_events(1, seed="gone"))).status == 200
    wait_for(lambda: dray.log.records("destination_disabled"), 10, "the line")
    wait_for(lambda: dray.metric("dray_destination_enabled", dest="sink") == 0, 10, "the metric")
    sink.behave()
    Load(dray, ledger, events=100, clients=1, batch=10).start().join()
    before = len(sink.requests)
    assert before <= 2 and dray.queue_counts()["wait"] > 0
    out = dray.cli("queue", "enable", "sink")
    assert out.returncode == 0 and "enabled" in out.stdout, out
    ledger.settle(20)
    wait_settled(dray)
    assert "(it was)" in dray.cli("queue", "enable", "sink").stdout
    assert dray.cli("queue", "disable", "nobody").returncode != 0
