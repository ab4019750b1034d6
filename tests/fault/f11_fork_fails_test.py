"""F11: no process can be made (RLIMIT_NPROC of the service's user; EAGAIN): the slot waits and tries again, the master lives and
says so, the others work on; when there is room again all is whole. (The Nth fork alone: f12.)"""
import os
import random
import shutil
import signal
import subprocess

import pytest

from lib import procs
from lib.client import Load
from lib.outcome import pids
from lib.wait import stays, wait_for


MOST = 40  # processes and threads of the instance's user


def as_stranger(dray):
    """The instance runs as a user that nobody else is, who may have few processes; such a limit does not bind root."""
    uid = random.SystemRandom().randrange(20000, 60000)
    shutil.copy(dray.binary, os.path.join(dray.dir, "dray"))
    for folder, _, files in os.walk(dray.dir):
        os.chmod(folder, 0o777)
        for name in files:
            os.chmod(os.path.join(folder, name), 0o755 if name == "dray" else 0o644)
    start = os.path.join(dray.dir, "start")
    with open(start, "w") as f:
        f.write('#!/bin/sh\numask 0\nulimit -u %d 2>/dev/null || ulimit -p %d || exit 1\n'
                'exec setpriv --reuid %d --regid %d --clear-groups %s/dray "$@"\n' % (MOST, MOST, uid, uid, dray.dir))
    os.chmod(start, 0o755)
    dray.binary = start
    return uid


class Crowd:
    """So many other processes of that user that not one more may be."""

    def __init__(self, uid):
        self.all = [subprocess.Popen(["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups", "sleep", "600"])
                    for _ in range(MOST)]
        wait_for(lambda: all(os.stat("/proc/%d" % p.pid).st_uid == uid for p in self.all), 10)

    def go(self):
        for p in self.all:
            p.kill()
            p.wait()


@pytest.mark.release
@pytest.mark.expects("degraded")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to run as another user")
def test_a_limit_of_processes(make_dray, sink, ledger):
    dray = make_dray(start=False)
    uid = as_stranger(dray)
    dray.start()
    assert os.stat("/proc/%d" % dray.pid).st_uid == uid
    dray.fd_baseline()
    before = pids(dray)
    crowd = Crowd(uid)
    dead = dray.kill("delivery", 0)
    failed = wait_for(lambda: len(dray.log.records("spawn_failed", child_kind="delivery")) >= 2 and
                      dray.log.records("spawn_failed"), 10, "tried again")
    assert failed[0]["level"] == "error" and "temporarily unavailable" in failed[0]["err"] and failed[0]["retry_ms"] == "1000"
    assert dray.slot("delivery", 0)["state"] == "wait" and dray.status()["state"] == "degraded"
    Load(dray, ledger, events=100, clients=2).start().join()
    stays(lambda: procs.alive(dray.pid), 0.5)
    crowd.go()
    dray.wait_replaced("delivery", 0, dead)
    now = pids(dray)
    assert {k: p for k, p in now.items() if k != ("delivery", 0)} == {k: p for k, p in before.items() if k != ("delivery", 0)}
    ledger.settle()
    dray.check_fds()


@pytest.mark.release
@pytest.mark.expects("redis_server_not_started", "program_not_started", "degraded")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to run as another user")
def test_the_keeper_of_redis_cannot_fork(make_dray, sink, ledger):
    dray = make_dray(start=False)
    uid = as_stranger(dray)
    dray.start()
    Load(dray, ledger, events=50, clients=2).start().join()
    crowd = Crowd(uid)
    os.kill(dray.redis_pid(), signal.SIGKILL)
    wait_for(lambda: dray.log.records("spawn_failed", child_kind="program") or
             [r for r in dray.log.records(level="crit") if r["kind"] == "program"], 20, "it is told")
    crowd.go()
    Load(dray, ledger, events=50, clients=2, seed="then").start().join()
    ledger.settle()
