"""Ordered queues over several hosts that share one Redis: what was sent in order comes in order, whoever dies."""
import os
import random
import signal
import threading
import time

import pytest

from lib import jobs
from lib.order import OrderedLoad, inversions, overtakings
from lib.wait import wait_for

pytestmark = pytest.mark.alone

QUICK = {"lease": "3s", "lock_duration": "3s", "lock_renew": "1s", "stalled_interval": "1s", "max_stalled_count": 50,
         "max_attempts": 100, "backoff": {"delay": "50ms", "max": "200ms"}}
STRICT = {**QUICK, "is_multi_processor": False}
KEY = {**QUICK, "ordering": "key", "partitions": 16}
RARE = ("degraded", "batch_poison")  # a batch may be in hand at three kills: then it is set aside, by rule


class Fleet:
    """Instances on one Redis; living() are those that take requests."""

    def __init__(self, make_dray, make_redis, queue, hosts, workers):
        self.server = make_redis()
        self.make_dray = make_dray
        self.conf = {"queue": queue, "master": {"processes": {"delivery": workers}}, "delivery": {"timeout": "3s"},
                     "redis": {"mode": "standalone", "url": self.server.url, "managed": None, "command_timeout": "2s"}}
        self.drays = []
        for _ in range(hosts):
            self.add()

    def add(self):
        dray = self.make_dray(conf=self.conf)
        dray.expect(*RARE)
        self.drays.append(dray)
        return dray

    def living(self):
        return [d for d in self.drays if d.is_running()]

    def remove(self, dray):
        self.drays.remove(dray)
        assert dray.stop() == 0

    def holder(self, queue="sink", prefix="{dray}"):
        """(instance, slot) of the delivery process that holds the lease; None: nobody."""
        value = self.server.client().get("%s:%s:dray:lease" % (prefix, queue))
        if value is None:
            return None
        node, _run, slot, _generation = value.decode().split("/")[0].rsplit(".", 3)
        for d in self.living():
            if d.status()["node"] == node:
                return d, int(slot)
        return None


class Kills(threading.Thread):
    """One kill -9 every two seconds, until it is stopped. choose(): (instance, kind, slot), or None."""

    def __init__(self, choose, every=2.0):
        super().__init__(daemon=True)
        self.choose, self.every = choose, every
        self.over = threading.Event()
        self.tried = self.landed = 0
        self.start()

    def run(self):
        while not self.over.wait(self.every):
            self.tried += 1
            try:
                dray, kind, slot = self.choose()
                os.kill(dray.pid_of(kind, slot), signal.SIGKILL)
                self.landed += 1
            except (LookupError, OSError, AssertionError, TypeError):
                pass  # it was just being replaced, or stopped

    def stop(self):
        self.over.set()
        self.join(10)
        print("figure: %d kills tried, %d landed" % (self.tried, self.landed))
        assert self.landed >= 3 and self.landed >= 0.6 * self.tried, "%d of %d kills landed" % (self.landed, self.tried)


def strict(make_dray, make_redis, sink, ledger, workers, events, settle):
    fleet = Fleet(make_dray, make_redis, STRICT, 2, workers)
    sink.behave(fail_rate=0.2, delay=0.03)
    rng = random.Random(5)

    def victim():
        held = fleet.holder()
        if held is not None and rng.random() < 0.75:
            return held[0], "delivery", held[1]
        return rng.choice(fleet.drays), "delivery", rng.randrange(workers)

    load = OrderedLoad(fleet.living, ledger, events).start()
    kills = Kills(victim)
    load.join()
    ledger.settle(settle, but=ledger.quarantined(fleet.drays[0]) | ledger.quarantined(fleet.drays[1]))
    kills.stop()
    assert inversions(sink, load, whole=True) == []
    assert overtakings(sink, load, whole=True) == []
    first = list(dict.fromkeys(i for r in sink.requests for i in r.ids()))
    assert first == sorted(first), "one sender: the order is the sending order, without exception"
    ledger.check(fleet.drays[0])
    failed = sum(r.status == 500 for r in sink.requests)
    print("figure: %d events in %d requests, %d failed by the destination; %d came more than once; inversions 0" % (
        len(first), len(sink.requests), failed, len(ledger.duplicates())))
    assert failed > 0.1 * len(sink.requests), "it does fail"
    epoch = int(fleet.server.client().get("{dray}:sink:dray:epoch"))
    assert epoch > 1, "the lease went from one to another"


@pytest.mark.limit(180)
def test_strict_order(make_dray, make_redis, sink, ledger):
    strict(make_dray, make_redis, sink, ledger, workers=2, events=300, settle=90)


@pytest.mark.soak
@pytest.mark.limit(900)
def test_strict_order_in_full(make_dray, make_redis, sink, ledger):
    strict(make_dray, make_redis, sink, ledger, workers=4, events=2000, settle=600)


def by_key(make_dray, make_redis, sink, ledger, hosts, workers, events, users, pause, settle):
    fleet = Fleet(make_dray, make_redis, KEY, hosts, workers)
    sink.behave(fail_rate=0.1, delay=0.01)
    rng = random.Random(6)

    def victim():
        dray = rng.choice(fleet.drays)
        return (dray, "delivery", rng.randrange(workers)) if rng.random() < 0.8 else (dray, "ingest", 0)

    load = OrderedLoad(fleet.living, ledger, events, users, clients=8, batch=5, seconds=settle, pause=pause).start()
    kills = Kills(victim)
    gone = fleet.drays[0]
    wait_for(lambda: len(ledger.acked) > events // 4, settle, "a quarter is taken")
    fleet.remove(gone)
    wait_for(lambda: len(ledger.acked) > events // 2, settle, "a half is taken")
    fleet.add()
    load.join()
    aside = set().union(*(ledger.quarantined(d) for d in fleet.drays + [gone]))
    ledger.settle(settle, but=aside)
    kills.stop()
    assert inversions(sink, load) == []
    assert overtakings(sink, load) == []
    ledger.check(fleet.drays[0])
    used = {k.decode().split("}")[0] for k in fleet.server.client().scan_iter("{dray:sink:*}:sink:dray:epoch", count=1000)}
    assert len(used) == 16, "each partition had a processor: %s" % sorted(used)
    print("figure: %d events of %d users in %d requests, %d failed by the destination; %d came more than once; inversions 0"
          % (len(load.sent), users, len(sink.requests), sum(r.status == 500 for r in sink.requests),
             len(ledger.duplicates())))


@pytest.mark.limit(240)
def test_order_by_key(make_dray, make_redis, sink, ledger):
    by_key(make_dray, make_redis, sink, ledger, hosts=2, workers=2, events=2000, users=100, pause=0.2, settle=90)


@pytest.mark.soak
@pytest.mark.limit(1200)
def test_order_by_key_in_full(make_dray, make_redis, sink, ledger):
    by_key(make_dray, make_redis, sink, ledger, hosts=3, workers=4, events=20000, users=500, pause=0.05, settle=600)


def test_partitions_are_shared_and_move(make_dray, make_redis, sink, ledger):
    """Each of the workers of both hosts has its share; when a host stops, the rest has all, within two leases."""
    fleet = Fleet(make_dray, make_redis, KEY, 2, 2)
    r = fleet.server.client()

    def holders():
        values = r.mget(["{dray:sink:%d}:sink:dray:lease" % n for n in range(16)])
        return [v and v.decode().split("/")[0] for v in values]

    def shares():
        held = holders()
        return sorted(held.count(h) for h in set(held) - {None}) if None not in held else []
    wait_for(lambda: shares() == [4, 4, 4, 4], 30, "four workers with four partitions each")
    fleet.remove(fleet.drays[0])
    began = time.monotonic()
    wait_for(lambda: shares() == [8, 8], 2 * 3, "two workers with eight each")
    print("figure: the partitions of a host that stopped were with others %.1f s after its end" % (time.monotonic() - began))
    load = OrderedLoad(fleet.living, ledger, 200, users=50, clients=4, batch=5).start().join()
    ledger.settle(30)
    assert inversions(sink, load) == []
    assert jobs.counts(r, "sink")["wait"] == 0, "nothing stands in the queue without partitions"
