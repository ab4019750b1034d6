"""F33: two masters are started for one run dir: the second one exits 75 with "already running, pid N"; the first does not notice."""
import fcntl
import os
import subprocess

from lib import procs
from lib.client import Load
from lib.logs import parse_line
from lib.wait import wait_for


def test_the_second_one_ends(make_dray, sink, ledger):
    dray = make_dray()
    dray.fd_baseline()
    before = {(p["kind"], p["slot"]): p["pid"] for p in dray.processes()}
    load = Load(dray, ledger, clients=2, batch=10, pause=0.01).start()
    wait_for(lambda: len(ledger.acked) > 20, 20)
    for _ in range(3):
        second = dray.run_verb("run", "-c", dray.config_path)
        assert second.returncode == 75, second.stderr
        said = [parse_line(line) for line in second.stderr.splitlines()]
        crit = [r for r in said if r["level"] == "crit"]
        assert len(crit) == 1 and crit[0]["event"] == "already_running"
        assert crit[0]["owner_pid"] == str(dray.pid) != crit[0]["pid"]
        assert crit[0]["run_dir"] == dray.run_dir and "run_dir" in crit[0]["remedy"]
    with open(os.path.join(dray.run_dir, "lock")) as f:
        assert int(f.read()) == dray.pid
    assert dray.status()["state"] in ("ok", "up")
    assert {(p["kind"], p["slot"]): p["pid"] for p in dray.processes()} == before
    load.stop()
    ledger.settle()
    dray.check_fds()
    assert dray.stop() == 0


def test_at_the_same_moment(make_dray, sink):
    """Five at once: one runs."""
    dray = make_dray(start=False)
    logs = [open(os.path.join(dray.dir, "start%d" % i), "wb") for i in range(5)]
    running = [subprocess.Popen([dray.binary, "run", "-c", dray.config_path], stdin=subprocess.DEVNULL, stderr=log,
                                stdout=log, cwd=dray.dir, env=dray.environment(), start_new_session=True) for log in logs]
    try:
        wait_for(lambda: sum(p.poll() is not None for p in running) == 4, 20, "four end")
        assert sorted(p.returncode for p in running if p.returncode is not None) == [75] * 4
        first = next(p for p in running if p.returncode is None)
        dray.process = first
        dray.log.path = logs[running.index(first)].name
        dray.wait_ready()
    finally:
        for log in logs:
            log.close()
        if dray.process is None:
            for p in running:
                p.kill()


def test_what_a_killed_one_has_forked_still_holds_the_lock(make_dray):
    dray = make_dray(start=False)
    os.makedirs(dray.run_dir, exist_ok=True)
    path = os.path.join(dray.run_dir, "lock")
    gone = subprocess.Popen(["true"])
    gone.wait()
    with open(path, "w") as f:
        f.write("%d\n" % gone.pid)
        f.flush()
        fcntl.flock(f, fcntl.LOCK_EX)
        dray.start(wait=False)
        wait_for(lambda: path in procs.fds(dray.pid).values(), 10, "it is at the lock")
    dray.wait_ready()
