"""F13: an allocation fails. While a child starts: the 1st, the 2nd, the 3rd ... one, of whatever library; it ends with an exit
code (83 where it is ours), by no signal, and comes up at the next try; or it works all the same. The master's own start: the same,
and it leaves nothing behind. One as big as a batch: 503 or sent again, and nobody ends for it. Short form: some N of a fixed
seed; `make soak`: many more."""
import os
import random
import signal

import pytest

from lib import procs
from lib.client import Load
from lib.events import batch_body, make_events
from lib.faultshim import NEVER, FaultShim
from lib.outcome import pids
from lib.wait import wait_for

SEED = 4
CONF = {"master": {"processes": {"delivery": 1}, "health": {"kill_grace": "200ms", "boot": "5s"},
                   "restart": {"min": "20ms", "max": "50ms", "burst": "10000/1s"}}}
KINDS = ["ingest", "delivery", "console", "program"]
pytestmark = pytest.mark.release


def whole(dray):
    return all(p["state"] == "up" for p in dray.processes()) and dray.get("/readyz").status == 200


def works(dray, ledger, seed):
    events = list(make_events(1, seed=seed))
    ledger.tried.update(e["messageId"] for e in events)
    with dray.client(timeout=5) as c:
        assert c.deliver(batch_body(events), seconds=10).status == 200
    ledger.ack(e["messageId"] for e in events)
    ledger.settle(10)
    wait_for(lambda: dray.get("/livez").status == 200, 5)


def start_without(dray, shim, ledger, kind, nth):
    """(the exit code of the next process of this kind, None: it came up; how many allocations were seen)"""
    old, what = dray.pid_of(kind), "%s: allocation %d" % (kind, nth)
    shim.arm("malloc", nth, kind=kind)
    os.kill(old, signal.SIGKILL)
    target = wait_for(lambda: shim.target() not in (0, old) and shim.target(), 10, "the next one starts")
    wait_for(lambda: dray.slot(kind)["pid"] != old and whole(dray), 20, "all up: " + what)
    works(dray, ledger, what)
    assert shim.disarm() or nth == NEVER, "it did not come to that"
    for r in dray.log.records("child_died"):
        if r["child_pid"] == str(target):
            if (r["reason"], r.get("by")) == ("boot", "the supervisor"):  # a library that tries for ever: the deadline ends it
                return "late", shim.seen()
            assert r.get("signal") is None, "%s: %s" % (what, r)
            return int(r["code"]), shim.seen()
    return None, shim.seen()


def each(make_dray, ledger, kind, first, more):
    """The first so many, and so many of the others."""
    dray = make_dray(conf=CONF, start=False)
    dray.expect("degraded", "fatal", "loop_failed", "config_broken", "redis_dir_unusable", "redis_server_not_started",
                "program_not_started", "config_invalid", "config_unreadable", "seccomp_failed", "landlock_failed")
    shim = FaultShim(dray)
    dray.start()
    dray.fd_baseline()
    works(dray, ledger, "first")
    ended, found = {}, []
    seen = start_without(dray, shim, ledger, kind, NEVER)[1]
    rest = range(first + 1, seen * 9 // 10)  # it differs a little from start to start
    for nth in [*range(1, first + 1), *sorted(random.Random("%s %d" % (kind, SEED)).sample(rest, min(more, len(rest))))]:
        try:
            code, _ = start_without(dray, shim, ledger, kind, nth)
            ended[code] = ended.get(code, 0) + 1
        except AssertionError as error:
            found.append("allocation %d: %s" % (nth, error))
            shim.disarm()
            dray.cli("reload")
            wait_for(lambda: whole(dray), 20, "all up again")
    print("figure: %s: how it ended, and how often: %s; of %d; seed %d" % (kind, ended, seen, SEED))
    assert not found, "\n".join(found)
    assert set(ended) <= {None, "late", 83, 71, 69, 75, 76, 1}, ended
    dray.check_fds()


@pytest.mark.parametrize("kind", KINDS)
def test_some_allocations_of_a_start(make_dray, sink, ledger, kind):
    each(make_dray, ledger, kind, 0, 5)


@pytest.mark.soak
@pytest.mark.limit(3600)
@pytest.mark.parametrize("kind", KINDS)
def test_many_allocations_of_a_start(make_dray, sink, ledger, kind):
    each(make_dray, ledger, kind, 150, 250)


def master_without(make_dray, nth):
    """Its exit code; None: it runs all the same."""
    dray = make_dray(conf={"redis": {"mode": "standalone", "url": "unix:///nowhere"}, "master": {"processes": {"delivery": 1}}},
                     start=False)
    shim = FaultShim(dray)
    shim.arm("malloc", nth, kind="master", pid=-1)
    dray.start(wait=False)
    dray.expect("fatal", "loop_failed", "config_not_sealed", "control_sock_failed")
    wait_for(lambda: not dray.is_running() or shim.fired() and dray.log.records("running"), 20, "it ends or runs")
    if dray.is_running():
        dray.stop()
        return None
    code = dray.wait_exit()
    assert code > 0, "allocation %d: %d" % (nth, code)
    dray.expect_exit(code)
    assert dray.log.text().strip(), "allocation %d: exit code %d without a word" % (nth, code)
    assert not os.path.exists(dray.control_path), "allocation %d: the socket is left" % nth
    with open(dray.log.path, "w"):  # what it said before it had a log is no log line
        pass
    assert not [p for p in procs.descendants(os.getpid()) if p.state != "Z" and dray.dir in p.command]
    return code


def each_of_the_master(make_dray, numbers):
    ended = {}
    for nth in numbers:
        code = master_without(make_dray, nth)
        ended[code] = ended.get(code, 0) + 1
    print("figure: master: how it ended, and how often: %s; seed %d" % (ended, SEED))
    assert set(ended) <= {None, 83, 71, 78, 77}, ended


def test_some_allocations_of_the_master(make_dray):
    each_of_the_master(make_dray, sorted(random.Random(SEED).sample(range(1, 3000), 8)))


@pytest.mark.soak
@pytest.mark.limit(3600)
def test_many_allocations_of_the_master(make_dray):
    each_of_the_master(make_dray, list(range(1, 100)) + sorted(random.Random(SEED).sample(range(100, 3000), 200)))


@pytest.mark.parametrize("kind", ["ingest", "delivery"])
def test_as_big_as_a_batch(make_dray, sink, ledger, kind):
    """64 KiB and more, each of the first ones in turn, in a process that works."""
    dray = make_dray(conf={"master": {"processes": {"delivery": 1}},  # a job that was let go comes back with its lock's end
                           "queue": {"lock_duration": "2s", "lock_renew": "500ms", "stalled_interval": "500ms"}}, start=False)
    shim = FaultShim(dray)
    dray.start()
    before = pids(dray)
    answers, n = {}, 0
    while True:
        n += 1
        assert n < 40, "it never came through"
        events = list(make_events(40, pad=9000, seed="big%d" % n))
        ledger.tried.update(e["messageId"] for e in events)
        shim.arm("malloc", n, pid=before[kind, 0], at_least=64 << 10)
        with dray.client() as c:
            first = c.batch(events).status
            answers[first] = answers.get(first, 0) + 1
            assert first in (200, 503)
            assert first == 200 or c.deliver(batch_body(events)).status == 200
        ledger.ack(e["messageId"] for e in events)
        ledger.settle(15)
        if not shim.disarm():
            break
    assert n > 1, "not one was as big as that"
    print("figure: %s: %d allocations of 64 KiB and more failed in turn; first answers %s" % (kind, n - 1, answers))
    Load(dray, ledger, events=50, clients=2, seed="then").start().join()
    ledger.settle()
    assert pids(dray) == before, "nobody ends for want of a big block"
