"""F12: every call that a process makes while it starts fails once, the 1st, the 2nd, the 3rd ... until a start succeeds untouched.
A child: it ends with an exit code (by no signal), its slot comes up at the next try, and works; or it comes up and works all the
same. The master: it starts all the same, or ends with an exit code and a line that says why, and leaves nothing behind.
Short form: some N of a fixed seed; `make soak`: all."""
import errno
import os
import random
import signal

import pytest

from lib import procs
from lib.events import batch_body, make_events
from lib.faultshim import NEVER, FaultShim
from lib.wait import wait_for

SEED = 4
CONF = {"master": {"processes": {"delivery": 1}, "health": {"kill_grace": "200ms", "boot": "3s"},
                   "restart": {"min": "20ms", "max": "50ms", "burst": "10000/1s"}}}
CALLS = {"open": errno.EMFILE, "read": errno.EIO, "write": errno.EIO, "fcntl": errno.EINVAL, "socket": errno.EMFILE,
         "connect": errno.EAGAIN, "sendmsg": errno.ENOMEM, "recvmsg": errno.ENOMEM, "epoll_create1": errno.EMFILE,
         "epoll_ctl": errno.ENOMEM, "epoll_wait": errno.ENOMEM, "eventfd": errno.EMFILE, "pipe2": errno.EMFILE,
         "socketpair": errno.EMFILE, "pthread_create": errno.EAGAIN, "fork": errno.EAGAIN, "memfd_create": errno.EMFILE,
         "timerfd_create": errno.EMFILE, "accept4": errno.EMFILE, "fsync": errno.EIO, "rename": errno.ENOSPC}
KINDS = ["ingest", "delivery", "console", "program"]
MOST = 400  # of one call while it starts; what comes behind is its work


def numbers(call, seen, soak):
    """Which N are tried when there were so many calls."""
    if soak:
        return list(range(1, min(seen, MOST) + 1))
    rng = random.Random("%s %d" % (call, SEED))
    return sorted(rng.sample(range(1, min(seen, MOST) + 1), min(seen, 1 if seen < 3 else 2)))


def links(dray):
    return sum(t.startswith("pipe:") for n, t in procs.fds(dray.pid_of("ingest")).items() if n > 2)


def whole(dray):
    return all(p["state"] == "up" for p in dray.processes()) and links(dray) >= 2


def works(dray, ledger, seed):
    """New connections to ingest and console; an event goes all the way."""
    events = list(make_events(1, seed=seed))
    ledger.tried.update(e["messageId"] for e in events)
    with dray.client(timeout=5) as c:
        assert c.deliver(batch_body(events), seconds=10).status == 200
    ledger.ack(e["messageId"] for e in events)
    ledger.settle(10)
    wait_for(lambda: dray.get("/livez").status == 200, 5)


def restart_with(dray, shim, ledger, kind, call, nth, keep=False):
    """The next process of this kind has this fault; True when it came to it."""
    old = dray.pid_of(kind)
    since = len(dray.log.records("child_died"))
    shim.arm(call, nth, CALLS.get(call, errno.ENOMEM), kind=kind, keep=keep)
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: shim.target() not in (0, old), 10, "the next one starts")
    what = "%s: %s %s %d" % (kind, call, "from" if keep else "no.", nth)
    wait_for(lambda: dray.slot(kind)["pid"] != old and whole(dray), 20, "all up, linked: " + what)
    works(dray, ledger, what)
    fired = shim.disarm()
    for r in dray.log.records("child_died")[since:]:
        if r["child_pid"] != str(old):
            assert r.get("signal") is None or keep and r["signal"] in ("SIGABRT", "SIGKILL"), "%s: %s" % (what, r)
            assert r["child_kind"] == kind, "nobody else is hurt: %s: %s" % (what, r)
    return fired


def survey(dray, shim, ledger, kind, calls):
    """{call: how often it is made until the slot is up and has worked}"""
    found = {}
    for call in calls:
        restart_with(dray, shim, ledger, kind, call, NEVER)
        found[call] = shim.seen()
    return {c: n for c, n in found.items() if n > 0}


def each_call(make_dray, ledger, kind, soak, keep=False):
    dray = make_dray(conf=CONF, start=False)
    dray.expect("degraded", "fatal", "config_broken", "loop_failed", "redis_dir_unusable", "redis_server_not_started",
                "program_not_started")
    shim = FaultShim(dray)
    dray.start()
    wait_for(lambda: whole(dray), 10)
    works(dray, ledger, "first")
    dray.fd_baseline()
    made = survey(dray, shim, ledger, kind, CALLS) if soak else MADE[kind]
    count, found = 0, []
    for call in sorted(made):
        for nth in numbers(call, made[call], soak):
            try:
                count += restart_with(dray, shim, ledger, kind, call, nth, keep)
            except AssertionError as error:
                found.append("%s no. %d: %s" % (call, nth, error))
                shim.disarm()
                dray.cli("reload")  # a slot that gave up is tried again
                wait_for(lambda: whole(dray), 20, "all up again")
    assert not found and count > 0, "\n".join(found)
    dray.check_fds()
    print("figure: %s: %d calls failed%s; seed %d; calls made: %s" % (kind, count, " from there on" if keep else "", SEED, made))


# About how often (survey), for the short form.
MADE = {"ingest": {"open": 4, "read": 5, "fcntl": 22, "epoll_ctl": 5, "recvmsg": 5, "sendmsg": 4, "pthread_create": 1},
        "delivery": {"open": 2, "write": 18, "fcntl": 27, "epoll_ctl": 9, "socket": 3, "sendmsg": 5, "connect": 3},
        "console": {"open": 3, "fcntl": 17, "epoll_create1": 1, "epoll_ctl": 4, "eventfd": 1},
        "program": {"open": 4, "fcntl": 11, "connect": 1, "epoll_ctl": 5}}


@pytest.mark.parametrize("kind", KINDS)
def test_some_calls(make_dray, sink, ledger, kind):
    each_call(make_dray, ledger, kind, False)


@pytest.mark.soak
@pytest.mark.limit(3600)
@pytest.mark.parametrize("keep", [False, True], ids=["once", "from-there-on"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_call(make_dray, sink, ledger, kind, keep):
    each_call(make_dray, ledger, kind, True, keep)
