"""F27: more, fewer, again and again, and the end in the middle of everything: at rest there are as many as were asked for, nothing is
lost, and a stop always comes to its end."""
import os
import random
import signal

import pytest

from lib.client import Load
from lib.hooks import Children
from lib.wait import wait_for


def up(dray):
    return len(dray.processes("delivery", "up"))


def storm(make_dray, ledger, signals):
    dray = make_dray()
    load = Load(dray, ledger, clients=3).start()
    wait_for(lambda: len(ledger.acked) > 20, 20)
    rng, n = random.Random(27), 2
    for i in range(signals):
        more = rng.random() < 0.55 if n < 6 else False
        if n > 1 or more:
            os.kill(dray.pid, signal.SIGTTIN if more else signal.SIGTTOU)
            n += 1 if more else -1
            wait_for(lambda: dray.status()["ready"] is not None, 10)  # one signal, one turn: equal ones would be one
        if i % 10 == 5:
            os.kill(dray.pid, signal.SIGHUP)
    while n < 3:
        os.kill(dray.pid, signal.SIGTTIN)
        n += 1
        dray.status()
    wait_for(lambda: len(dray.processes("delivery")) == n and up(dray) == n, 40, "%d are up" % n)
    load.stop()
    ledger.settle(20)
    ledger.check(dray)
    assert load.counts == {} and ledger.duplicates() == {} and not dray.log.records("child_died")
    print("figure: %d signals, at rest %d processes, %d events" % (signals, n, len(ledger.acked)))


def test_more_and_fewer(make_dray, sink, ledger):
    storm(make_dray, ledger, 40)


@pytest.mark.soak
@pytest.mark.limit(900)
def test_more_and_fewer_for_long(make_dray, sink, ledger):
    storm(make_dray, ledger, 2000)


def test_never_fewer_than_one(make_dray, sink):
    dray = make_dray()
    for _ in range(5):
        os.kill(dray.pid, signal.SIGTTOU)
        dray.status()
    wait_for(lambda: len(dray.processes("delivery")) == 1, 20)
    assert dray.log.records("scale_refused")


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("when", ["boot", "reload", "scale"])
def test_the_end_in_the_middle(make_dray, sink, when, twice):
    dray = make_dray(start=False)
    children = Children(dray)
    if when == "boot":
        children.does("delivery", 0, "rm $self; exec sleep 20")
        dray.start(wait=False)
        wait_for(lambda: os.path.exists(dray.control_path) and dray.processes("delivery"), 15)
    else:
        dray.start()
        children.does("delivery", 0 if when == "reload" else 2, "rm $self; exec sleep 20")
        if when == "reload":
            dray.write_config({"delivery": {"response_store": 9}})
            os.kill(dray.pid, signal.SIGHUP)
            wait_for(lambda: dray.status()["reload"]["under_way"], 10)
        else:
            os.kill(dray.pid, signal.SIGTTIN)
            wait_for(lambda: len(dray.processes("delivery")) == 3, 10)
    os.kill(dray.pid, signal.SIGTERM)
    if twice:
        os.kill(dray.pid, signal.SIGTERM)
    assert dray.wait_exit(20) == 0
