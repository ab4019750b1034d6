"""As the first process of a container: it is the init of its pid namespace; the root file system cannot be written."""
import os
import shutil
import signal
import subprocess

import pytest

from lib import procs
from lib.client import Load
from lib.wait import wait_for


def works(*command):
    return shutil.which(command[0]) and subprocess.run(command, capture_output=True, timeout=30).returncode == 0


pytestmark = pytest.mark.skipif(not works("unshare", "--pid", "--fork", "--mount", "--mount-proc", "true"),
                                reason="no pid and mount namespaces for this user (unshare needs root)")


def wrapped(dray, script):
    """The instance is started by a shell script; $@ is its command line."""
    path = os.path.join(dray.dir, "start")
    with open(path, "w") as f:
        f.write("#!/bin/sh\nset -e\nset -- %s \"$@\"\n%s\n" % (dray.binary, script))
    os.chmod(path, 0o755)
    dray.binary = path
    return dray


def inside(init, *command):
    return subprocess.run(["nsenter", "-t", str(init), "-p", "-m", *command], capture_output=True, text=True, timeout=30)


@pytest.fixture
def contained(make_dray):
    """(the instance, the host's number of the process that is 1 inside)"""
    dray = wrapped(make_dray(start=False, variant="release"),
                   "exec unshare --pid --fork --mount-proc --kill-child \"$@\"").start()
    init = next(p.pid for p in procs.descendants(dray.pid) if p.ppid == dray.pid)
    yield dray, init
    if procs.alive(init):
        os.kill(init, signal.SIGTERM)
        dray.wait_exit()


def test_first_process(contained, sink, ledger):
    dray, init = contained
    assert inside(init, "cat", "/proc/1/comm").stdout.startswith("dray")
    Load(dray, ledger, events=100, clients=2).start().join()
    ledger.settle()
    # Strangers whose parents are gone come to it, and are reaped without a word.
    before = len(dray.log.records(level="warn"))
    assert inside(init, "sh", "-c", "for i in 1 2 3 4 5; do (sleep 0.2; exit 3) & done; exit 0").returncode == 0
    wait_for(lambda: not [p for p in procs.descendants(init) if p.name in ("sleep", "sh")], 10, "no zombie, no stranger")
    assert len(dray.log.records(level="warn")) == before
    # A worker's death is seen and mended as anywhere else.
    assert inside(init, "kill", "-KILL", str(dray.pid_of("delivery"))).returncode == 0
    wait_for(lambda: dray.log.records("child_died"), 10)
    dray.wait_all_up()
    # From inside, signals without a handler would be lost on process 1.
    for name in ("HUP", "USR1", "TTIN", "TTOU"):
        assert inside(init, "kill", "-" + name, "1").returncode == 0
        wait_for(lambda: dray.log.records("signal", signal="SIG" + name), 10)
    wait_for(lambda: not dray.status()["rolling"], 30)
    assert inside(init, "kill", "-TERM", "1").returncode == 0
    assert dray.wait_exit() == 0


def test_a_crash_of_the_first_process_ends_it(contained):
    """The kernel keeps process 1 from signals that it has no handler for: the end after the report must not be one of them."""
    dray, init = contained
    dray.expect_exit(128 + signal.SIGABRT)
    os.kill(init, signal.SIGABRT)
    assert dray.wait_exit() == 128 + signal.SIGABRT
    assert "crash: end" in dray.log.text()
    wait_for(lambda: not procs.descendants(dray.pid), 20)
    with open(dray.log.path, "w"):
        pass  # the master's own report is no line of the log


def test_root_file_system_that_cannot_be_written(make_dray, sink, ledger):
    """Only state_dir and run_dir can."""
    dray = make_dray(start=False, variant="release")
    for folder in (dray.state_dir, dray.run_dir):
        os.makedirs(folder)
    binds = "".join("mount --bind %s %s\n" % (d, d) for d in (dray.state_dir, dray.run_dir))
    wrapped(dray, 'if [ "$IN" ]; then\nmount --make-rprivate /\n%smount -o remount,bind,ro /\n! touch /written 2>/dev/null\n'
                  'exec "$@"\nfi\nIN=1 exec unshare --mount "$0" run -c %s' % (binds, dray.config_path))
    dray.start()
    load = Load(dray, ledger, events=200, clients=2).start()
    load.join()
    with dray.client() as c:
        assert c.post("/v1/batch", {"batch": [None, {"type": "track", "userId": "u", "event": "E", "messageId": "m"}]}).status == 200
    ledger.tried.add("m")
    ledger.acked.add("m")
    assert os.path.isdir(dray.quarantine_dir)
    for kind in ("ingest", "delivery", "program"):
        dray.wait_replaced(kind, 0, dray.kill(kind, 0))
    ledger.settle()
    assert not os.path.exists("/written") and dray.stop() == 0
