"""A storm of kill -9 on any process but the master, under load: not one acknowledged event is lost."""
import pytest

from lib.client import Load
from lib.redis_server import slow_fsync_binary
from lib.storm import Storm
from lib.wait import wait_for

pytestmark = pytest.mark.alone

CONF = {
    "master": {"processes": {"delivery": 3}},
    "queue": {"lock_duration": "5s", "lock_renew": "2s", "stalled_interval": "2s"},
    "redis": {"command_timeout": "2s"},
    "delivery": {"connect_timeout": "1s", "timeout": "3s"},
}


def storm_over(dray, sink, ledger, seconds, settle, clients=6):
    sink.behave(delay=0.01)
    dray.expect("degraded", "batch_poison")  # a batch may be in hand at three kills: then it is set aside, by rule
    dray.fd_baseline()
    load = Load(dray, ledger, clients=clients, batch=10, seconds=seconds + 60).start()
    wait_for(lambda: len(ledger.acked) > 100, 30)
    storm = Storm(dray, per_second=5, seconds=seconds).run()
    load.stop(60)
    dray.wait_all_up(60)
    ledger.settle(settle, but=ledger.quarantined(dray))
    result = ledger.check(dray)
    print("figure: acknowledged %(acked)d, delivered %(delivered)d, quarantined %(quarantined)d, duplicates %(duplicates)d, lost 0" % result)
    explain_duplicates(dray, sink, ledger)
    storm.check()
    dray.check_fds()


def explain_duplicates(dray, sink, ledger):
    """An event comes twice for two reasons only: the same batch (same key) was delivered again because a process died
    between doing and recording; or the client sent it again because it never heard an answer."""
    by_id = {}
    for request in sink.taken():
        for i in request.ids():
            by_id.setdefault(i, []).append(request.key)
    again = sent_again = 0
    for i in ledger.duplicates():
        keys = by_id[i]
        assert all(keys), "a batch without an id"
        again += len(keys) - len(set(keys))
        sent_again += len(set(keys)) - 1
    print("figure: duplicates: %d of the same batch, %d sent again by a client" % (again, sent_again))


@pytest.mark.limit(300)
def test_storm(make_dray, sink, ledger):
    storm_over(make_dray(conf=CONF), sink, ledger, 15, 60)


@pytest.mark.limit(300)
def test_storm_with_slow_fsync(make_dray, sink, ledger):
    dray = make_dray(conf=CONF, start=False)
    dray.write_config({"redis": {"managed": {"binary": slow_fsync_binary(dray.dir, 300)}}})
    dray.start(seconds=60)
    storm_over(dray, sink, ledger, 10, 90, clients=3)


@pytest.mark.soak
@pytest.mark.limit(600)
def test_a_minute(make_dray, sink, ledger):
    storm_over(make_dray(conf=CONF), sink, ledger, 60, 120)


@pytest.mark.soak
@pytest.mark.limit(600)
def test_a_minute_with_slow_fsync(make_dray, sink, ledger):
    dray = make_dray(conf=merge_timeouts(CONF), start=False)
    dray.write_config({"redis": {"managed": {"binary": slow_fsync_binary(dray.dir, 1500)}}})
    dray.start(seconds=120)
    storm_over(dray, sink, ledger, 60, 240, clients=3)


def merge_timeouts(conf):
    """An fsync of 1.5 s needs more patience than 2 s a command."""
    return {**conf, "redis": {"command_timeout": "10s"}}
