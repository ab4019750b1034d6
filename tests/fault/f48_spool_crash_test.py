"""F48: the spool dies at each of its crash points (common/base/crash_points.def): what was answered 2xx is delivered, what came
twice has a reason, the spool is empty in the end, and nobody else has died of it."""
import time

import pytest

from lib.client import Load
from lib.explain import Deaths, explain
from lib.hooks import Points, points
from lib.outcome import wait_settled
from lib.wait import wait_for

CONF = {"delivery": {"connect_timeout": "1s", "timeout": "2s"},
        "master": {"drain": "4s", "processes": {"delivery": 2},
                   "restart": {"min": "10ms", "burst": "", "degraded_at": "10000/60s"}},
        "spool": {"after": "20ms"},
        "redis": {"mode": "standalone", "command_timeout": "300ms", "reconnect": {"max": "100ms"}},
        "queue": {"lock_duration": "3s", "lock_renew": "1s", "stalled_interval": "1s", "max_stalled_count": 100}}
TAKES = ("spool_unwritten", "spool_written", "spool_synced", "spool_loaded")  # passed while Redis is away
DRAINS = ("spool_drain", "spool_drained")
EACH = 10  # s in which a point must fire


def held(dray):
    return dray.status()["spool"]["batches"]


class Stage:
    """An instance under load whose Redis comes and goes."""

    def __init__(self, make_dray, make_redis, sink, ledger):
        self.redis = make_redis()
        self.dray = make_dray(conf={**CONF, "redis": {**CONF["redis"], "url": self.redis.url}}, start=False)
        self.ledger, self.sink = ledger, sink
        self.crash, self.deaths = Points(self.dray), Deaths()
        self.dray.start()
        self.dray.fd_baseline()
        self.load = Load(self.dray, ledger, clients=3, batch=5, pause=0.02, seconds=200).start()
        wait_for(lambda: len(ledger.acked) > 50, 20)

    def away(self, enough):
        self.redis.freeze()
        self.deaths.note("redis")
        count = len(self.ledger.acked)
        wait_for(lambda: enough() or (held(self.dray) > 3 and len(self.ledger.acked) > count + 20), 20, "batches in the spool")

    def back(self):
        self.redis.thaw()
        self.deaths.note("redis")

    def fire(self, name, n, how):
        """Redis goes, the spool takes; Redis comes back, the spool gives: it dies on the way. Again, until it was passed n times."""
        def fired():
            return self.crash.fired(name)
        deadline = time.monotonic() + EACH + 3 * n
        armed = name in TAKES
        if armed:
            self.crash.arm(name, n, how)
        while not fired():
            assert time.monotonic() < deadline, "nobody died at %s, passed %d times" % (name, self.crash.passed(name))
            self.away(fired)
            if not armed:
                self.crash.arm(name, n, how)
                armed = True
            if name in DRAINS:
                self.dray.control({"verb": "restart", "kind": "spool"})
            elif name in TAKES and fired():
                self.dray.wait_all_up(20)
                count = len(self.ledger.acked)
                wait_for(lambda: len(self.ledger.acked) > count + 10, 20, "its successor takes batches")
            self.back()
            wait_for(lambda: fired() or held(self.dray) == 0, 20, "an empty spool, or a death")
            if name == "spool_file_removed":  # once a second
                wait_for(lambda: fired() or not self.dray.status()["spool"]["bytes"], 5, "no file, or a death")
        self.deaths.note("spool")

    def whole_again(self):
        self.dray.wait_all_up(20)
        acked = set(self.ledger.acked)
        self.sink.wait_ids(acked, 20)
        wait_for(lambda: held(self.dray) == 0, 20, "an empty spool")
        wait_for(lambda: len(self.ledger.acked) > len(acked), 20, "the clients go on")

    def end(self):
        self.load.stop(60)
        self.ledger.settle(30)
        wait_settled(self.dray)
        self.ledger.check(self.dray)
        assert {r["child_kind"] for r in self.dray.log.records("child_died")} == {"spool"}, "nobody else dies of it"
        return explain([self.sink], [self.load], self.deaths, ("redis", "spool"))


def walk(stage, n=1, how="kill"):
    chosen = [p for p in points() if p.process == "spool"]
    started = time.monotonic()
    for point in chosen:
        begun = time.monotonic()
        stage.fire(point.name, n, how)
        fired = time.monotonic()
        stage.whole_again()
        print("%-18s fired after %.2f s, whole after %.2f s" % (point.name, fired - begun, time.monotonic() - fired))
    return len(chosen), time.monotonic() - started


@pytest.mark.limit(200)
def test_each_point(make_dray, make_redis, sink, ledger):
    stage = Stage(make_dray, make_redis, sink, ledger)
    count, seconds = walk(stage)
    twice = stage.end()
    stage.dray.check_fds()
    print("figure: %d points in %.1f s; %d events; twice: %s" % (count, seconds, len(ledger.acked), twice))


@pytest.mark.soak
@pytest.mark.limit(1000)
@pytest.mark.parametrize("how", ["kill", "exit"])
def test_nth_pass(make_dray, make_redis, sink, ledger, how):
    stage = Stage(make_dray, make_redis, sink, ledger)
    for n in range(1, 6):
        walk(stage, n, how)
    print("figure: twice: %s" % stage.end())
