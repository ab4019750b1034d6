"""F35: a random storm: each 50 ms a KILL, STOP and CONT, TERM, HUP, TTIN, TTOU, USR1 or USR2 for a random process of any kind, or
a verb of the operator; redis-server and the master are not excepted. Every event answered 2xx is delivered, in Redis or in the
quarantine; what came twice has a reason. --seed N repeats a storm."""
import random
import time

import pytest

from lib import procs
from lib.client import Load
from lib.explain import Deaths, explain
from lib.hooks import Children
from lib.storm import RandomStorm
from lib.wait import wait_for

pytestmark = pytest.mark.alone

CONF = {
    "master": {"processes": {"delivery": 3}, "drain": "5s", "health": {"hang": "4s", "kill_grace": "1s"},
               "restart": {"min": "20ms", "max": "500ms", "burst": "", "degraded_at": "1000000/60s"}},
    "queue": {"lock_duration": "5s", "lock_renew": "2s", "stalled_interval": "2s", "max_stalled_count": 1000},
    "redis": {"command_timeout": "2s"},
    "delivery": {"connect_timeout": "1s", "timeout": "3s"},
}


def has_upgrade(dray):
    return dray.run_verb("upgrade", "--help").returncode == 0


def storm(make_dray, sink, ledger, request, seconds, settle, **options):
    seed = request.config.getoption("--seed")
    seed = seed if seed is not None else random.SystemRandom().randrange(1, 10**6)
    sink.behave(delay=0.005)
    dray = make_dray(conf=CONF, start=False, **options)
    dray.expect("batch_poison")  # a batch may be in hand at three deaths: it is set aside, by rule
    dray.start()
    rss, fds = procs.rss_bytes(dray.pid), dray.fd_baseline()
    deaths = Deaths()
    load = Load(dray, ledger, clients=6, batch=10, pause=0.02, seconds=120, seed="storm-%d" % seed).start()
    wait_for(lambda: len(ledger.acked) > 100, 30)
    weather = RandomStorm(dray, deaths, seed, has_upgrade(dray))
    try:
        weather.run(seconds)
        weather.calm()
    finally:
        for line in weather.told():
            print("figure: " + line)
    load.stop(90)
    dray.wait_all_up(60)
    ledger.settle(settle, but=ledger.quarantined(dray))
    result = ledger.check(dray)
    why = explain([sink], [load], deaths)
    print("figure: storm: %d requests answered 2xx (tried again: %s), %d events: delivered %d, in Redis %d, quarantined %d, lost 0" % (
        load.requests, load.counts, result["acked"], result["delivered"], result["redis"], result["quarantined"]))
    print("figure: storm: %d came twice: %d deliveries of a batch again, %d sent again by a client" % (
        result["duplicates"], why["again"], why["sent again"]))
    print("figure: storm: longest time without a 2xx %.1f s (until %s); the master: %.1f MiB before, %.1f MiB after, %d and %d descriptors" % (
        load.gap, time.strftime("%H:%M:%S", time.gmtime(load.gap_end)), rss / 2**20, procs.rss_bytes(dray.pid) / 2**20, fds, procs.fd_count(dray.pid)))
    dray.control({"verb": "scale", "kind": "delivery", "n": 3})
    wait_for(lambda: len(dray.processes("delivery")) == 3, 30)
    dray.check_fds(30)
    assert load.requests > 5 * seconds, "the service went on"
    assert weather.hits("KILL") > 0.5 * seconds and weather.missed < 0.5 * sum(weather.did.values())
    return weather


@pytest.mark.limit(300)
def test_a_quarter_of_a_minute(make_dray, sink, ledger, request):
    storm(make_dray, sink, ledger, request, 15, 60)


@pytest.mark.soak
@pytest.mark.limit(1500)
@pytest.mark.parametrize("variant", ["asan", "release"])
def test_ten_minutes(make_dray, sink, ledger, request, variant):
    weather = storm(make_dray, sink, ledger, request, 600, 120, variant=variant)
    assert weather.starts > 5


# ---- what storms have found

def test_a_signal_for_the_master_does_not_end_a_starting_child(make_dray, sink, ledger):
    """`killall -HUP dray` comes to every process, those too that have not installed their handlers yet."""
    dray = make_dray(start=False)
    children = Children(dray)
    for kind, slot in (("delivery", 0), ("delivery", 1), ("ingest", 0), ("console", 0), ("program", 0)):
        children.does(kind, slot, "for s in HUP INT QUIT USR1 USR2 TTIN TTOU; do kill -$s $$; done")
    dray.start()
    assert not dray.log.records("child_died")
    assert not dray.log.records("child_backoff")
