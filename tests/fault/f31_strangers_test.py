"""F31: a process dies that the master does not know (an orphan that was given to it): reaped, and nothing else. A child that says
it is another (a pid that is not its own, as one that was used again would be) is not listened to: it is ended, its slot comes
up."""
import signal

import pytest

from lib import procs
from lib.hooks import Children
from lib.outcome import pids
from lib.wait import stays, wait_for


@pytest.fixture
def started(make_dray):
    dray = make_dray(conf={"log": {"level": "debug"}}, start=False)
    children = Children(dray)
    dray.start()
    dray.fd_baseline()
    return dray, children


def test_an_unknown_pid(started, sink):
    dray, children = started
    children.does("delivery", 0, "rm $self; (for i in 1 2 3 4 5; do sleep 0.$i 2>/dev/null >/dev/null 3>&- & done); :")
    dray.wait_replaced("delivery", 0, dray.kill("delivery", 0))
    before = pids(dray)
    wait_for(lambda: len(dray.log.records("stranger_reaped")) >= 5, 10, "they are reaped")
    assert pids(dray) == before
    assert len(dray.log.records("child_died")) == 1, "nobody's obituary"
    stays(lambda: not dray.zombies(), 0.3)
    dray.check_fds()


def test_a_pid_that_is_not_its_own(started, sink):
    """The child's words come from a process below the one that was started."""
    dray, children = started
    others = {k: p for k, p in pids(dray).items() if k != ("delivery", 0)}
    children.does("delivery", 0, 'rm $self; $real "$@"; exit 1')
    old = dray.kill("delivery", 0)
    refused = wait_for(lambda: dray.log.records("child_refused"), 10)[0]
    assert refused["why"] == "it is not what was started" and int(refused["child_pid"]) != old
    dray.wait_replaced("delivery", 0, old, 20)
    wait_for(lambda: len([p for p in procs.descendants(dray.pid) if "delivery.0" in p.command]) == 1, 15, "the impostor ends")
    assert {k: p for k, p in pids(dray).items() if k != ("delivery", 0)} == others
    assert not [r for r in dray.log.records("child_died") if r.get("signal") == signal.SIGSEGV.name]
    dray.check_fds()
