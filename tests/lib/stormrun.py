"""A random storm over a running instance, and its account: for tests/fault/f35 and the bench.

    dray = Dray(..., conf=CONF)      not started
    weather = whole_storm(dray, sink, ledger, seed, seconds=600, say=print)
    whole_storm(..., log=stopped_log)       nobody reads what it logs; full_log: the disk of its log is full
"""
import contextlib
import os
import time

from lib import procs
from lib.client import Load
from lib.explain import Deaths, explain
from lib.storm import RandomStorm
from lib.wait import wait_for

CONF = {
    "master": {"processes": {"delivery": 3}, "drain": "5s", "health": {"hang": "4s", "kill_grace": "1s"},
               "restart": {"min": "20ms", "max": "500ms", "burst": "", "degraded_at": "1000000/60s"}},
    "queue": {"lock_duration": "5s", "lock_renew": "2s", "stalled_interval": "2s", "max_stalled_count": 1000},
    "redis": {"command_timeout": "2s"},
    "delivery": {"connect_timeout": "1s", "timeout": "3s"},
}


@contextlib.contextmanager
def stopped_log(dray):
    """A pipe that is full from the first page on."""
    reader, writer = os.pipe()
    dray.stderr = writer
    try:
        yield "nobody reads the log"
    finally:
        os.close(reader)
        os.close(writer)


@contextlib.contextmanager
def full_log(dray):
    path = os.path.join(dray.dir, "full")
    os.symlink("/dev/full", path)
    dray.write_config({"log": {"output": "file:" + path}})
    yield "the disk of the log is full"


@contextlib.contextmanager
def working_log(_dray):
    yield "with a log"


def whole_storm(dray, sink, ledger, seed, seconds, settle=60, say=print, log=working_log):
    """Starts the instance and its clients, lets the storm go over them, and balances the books: fails when an event was lost,
    or came twice without a reason."""
    with log(dray) as how:
        say("storm: seed %d, %d s, %s" % (seed, seconds, how))
        return _storm(dray, sink, ledger, seed, seconds, settle, say)


def _storm(dray, sink, ledger, seed, seconds, settle, say):
    sink.behave(delay=0.005)
    dray.expect("batch_poison")  # a batch may be in hand at three deaths: it is set aside, by rule
    dray.start()
    rss, fds = procs.rss_bytes(dray.pid), dray.fd_baseline()
    deaths = Deaths()
    load = Load(dray, ledger, clients=6, batch=10, pause=0.02, seconds=120, seed="storm-%d" % seed).start()
    wait_for(lambda: len(ledger.acked) > 100, 30)
    weather = RandomStorm(dray, deaths, seed)
    try:
        weather.run(seconds)
        weather.calm()
    finally:
        for line in weather.told():
            say(line)
    load.stop(90)
    dray.wait_all_up(60)
    ledger.settle(settle, but=ledger.quarantined(dray))
    result = ledger.check(dray)
    why = explain([sink], [load], deaths)
    say("storm: %d requests answered 2xx (tried again: %s), %d events: delivered %d, in Redis %d, quarantined %d, lost 0" % (
        load.requests, load.counts, result["acked"], result["delivered"], result["redis"], result["quarantined"]))
    say("storm: %d came twice: %d deliveries of a batch again, %d sent again by a client" % (
        result["duplicates"], why["again"], why["sent again"]))
    dray.control({"verb": "scale", "kind": "delivery", "n": 3})
    wait_for(lambda: len(dray.processes("delivery")) == 3, 30)
    dray.check_fds(30)
    say("storm: longest time without a 2xx %.1f s (until %s); the master: %.1f MiB before, %.1f MiB after, %d and %d descriptors" % (
        load.gap, time.strftime("%H:%M:%S", time.gmtime(load.gap_end)), rss / 2**20, procs.rss_bytes(dray.pid) / 2**20, fds,
        procs.fd_count(dray.pid)))
    assert load.requests > 5 * seconds, "the service went on"
    assert weather.hits("KILL") > 0.5 * seconds and weather.missed < 0.5 * sum(weather.did.values())
    return weather
