"""F12: the Nth pipe2 / socketpair / fcntl / sendmsg (and fork) of the master fails, N = 1, 2, 3 ... until nothing fails any more:
the slot waits, or the link is made again; no leak, no child that nobody can reach."""
import errno
import os
import signal

import pytest

from lib import procs
from lib.events import batch_body, make_events
from lib.faultshim import FaultShim
from lib.wait import wait_for

CONF = {"master": {"health": {"kill_grace": "200ms"}, "restart": {"min": "20ms", "max": "100ms"}}}

# sendmsg for want of memory is tried again at once, and nobody need know.
TOLD = {"pipe2": {"spawn_failed", "link_failed"}, "socketpair": {"spawn_failed"}, "fork": {"spawn_failed"},
        "fcntl": {"link_failed", "child_refused"}, "sendmsg": set()}


BATCHES = ("ingest", "spool", "delivery")  # each sends to all behind it


def links(dray):
    """Pipes that each process which sends or takes batches has, beside its log: two a link."""
    return {(p["kind"], p["slot"]): sum(t.startswith("pipe:") for n, t in procs.fds(p["pid"]).items() if n > 2)
            for p in dray.processes() if p["kind"] in BATCHES and p["pid"]}


def all_linked(dray, workers):
    wanted = {("delivery", n): 2 * 2 for n in range(workers)}  # ingest, spool
    wanted["spool", 0] = 2 * (1 + workers)
    wanted["ingest", 0] = 2 * (1 + workers)
    return links(dray) == wanted


def whole(dray):
    return all(p["state"] == "up" for p in dray.processes()) and all_linked(dray, 2)


def one_round(dray, ledger, victim, n):
    """Kills the victim; everything stands again, and events flow."""
    events = list(make_events(2, seed="%s-%d" % (victim, n)))
    old = dray.pid_of(victim)
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: dray.slot(victim)["pid"] != old and whole(dray), 20, "all up, all links made")
    with dray.client() as c:
        assert c.deliver(batch_body(events)).status == 200
    ledger.ack(e["messageId"] for e in events)


def fail_in_turn(make_dray, ledger, victim, call, error):
    """(instance, {slot: pid} of the others before)"""
    dray = make_dray(conf=CONF, start=False)
    shim = FaultShim(dray)
    dray.start()
    wait_for(lambda: whole(dray), 10)
    others = {(p["kind"], p["slot"]): p["pid"] for p in dray.processes() if p["kind"] != victim}
    dray.fd_baseline()
    n = 0
    while True:
        n += 1
        assert n < 60, "it never came through"
        shim.arm(call, n, error)
        one_round(dray, ledger, victim, n)
        if not shim.disarm():
            break
    assert n > 1, "not one call failed"
    ledger.settle()
    dray.check_fds()
    print("figure: %s, %s killed: %d calls failed in turn" % (call, victim, n - 1))
    return dray, others


@pytest.mark.expects("degraded")
@pytest.mark.parametrize("victim", ["delivery", "ingest"])
@pytest.mark.parametrize("call,error", [("pipe2", errno.EMFILE), ("socketpair", errno.ENFILE), ("fcntl", errno.EMFILE),
                                        ("sendmsg", errno.ENOMEM), ("fork", errno.EAGAIN)])
def test_nth_call_fails(make_dray, sink, ledger, victim, call, error):
    dray, others = fail_in_turn(make_dray, ledger, victim, call, error)
    assert {k: dray.slot(*k)["pid"] for k in others} == others, "nobody else was hurt"
    told = {r["event"] for r in dray.log.records() if r["level"] in ("warn", "error")}
    assert TOLD[call] <= told, "each failure is told"


@pytest.mark.expects("degraded")
def test_a_channel_that_breaks(make_dray, sink, ledger):
    """An error that cannot pass: whoever cannot be told anything any more is replaced."""
    fail_in_turn(make_dray, ledger, "delivery", "sendmsg", errno.EIO)
