"""F21: the disk of the log is full (ENOSPC, EFBIG), broken (EIO) or slow. What fits into memory is written when it works
again, what does not is counted and told; no child is held up, and the master's loop is not."""
import errno
import os
import resource
import signal
import time

from lib import logs, shims
from lib.client import Load
from lib.outcome import wait_settled
from lib.wait import wait_for


def supervises(dray):
    """A killed worker is replaced at once, the control socket and health answer."""
    old = dray.kill("delivery", 0)
    started = time.monotonic()
    dray.wait_replaced("delivery", 0, old, 4)
    took = time.monotonic() - started
    assert dray.get("/livez").status == 200
    assert dray.cli("status", "-o", "json").returncode == 0
    return old, took


def chatter(dray, dropped):
    """Writes the state down until so many lines were dropped."""
    def enough():
        for _ in range(100):
            dray.control({"verb": "dump"})
        return dray.status()["log"]["dropped_lines"] >= dropped
    wait_for(enough, 60, "%d lines dropped" % dropped, every=0)


def told(log):
    return sum(int(r["n"]) for r in log.records("log_dropped", kind="master"))


def test_a_full_disk(make_dray, ledger, tmp_path):
    """ENOSPC: told in status; what did not fit into memory is counted, and told once there is room, behind a SIGUSR1 too."""
    link, good = tmp_path / "log", tmp_path / "good"
    link.symlink_to(good)
    dray = make_dray(conf={"log": {"output": "file:%s" % link}})
    log = logs.Log(str(good))
    wait_for(lambda: log.records("running"), 5)
    assert not log.bad_lines()
    os.unlink(link)
    link.symlink_to("/dev/full")
    os.kill(dray.pid, signal.SIGUSR1)
    old, took = supervises(dray)
    print("figure: with a full disk a worker is replaced in %.2f s" % took)
    wait_for(lambda: any("log: cannot be written" in a for a in dray.status()["alarms"]), 5)
    chatter(dray, 50)
    Load(dray, ledger, events=200, clients=4).start().join()
    ledger.settle()
    wait_settled(dray)
    assert max(p["loop_lag_ms"] for p in dray.processes()) < 200
    dropped = wait_for(lambda: dray.metric("dray_log_dropped_total"), 5)
    assert dropped >= 50
    os.unlink(link)
    link.symlink_to(good)
    os.kill(dray.pid, signal.SIGUSR1)
    wait_for(lambda: told(log) >= dropped, 5, "the log tells how many lines are missing")
    assert log.records("child_died", child_pid=old), "what was kept in memory is there"
    assert not any("log:" in a for a in dray.status()["alarms"])
    old = dray.kill("console", 0)
    wait_for(lambda: log.records("child_died", child_pid=old), 5, "it goes on")
    assert len(log.records("log_dropped")) == 1, "told once"
    assert not log.bad_lines()
    dray.wait_all_up()
    assert dray.stop() == 0
    assert not log.bad_lines() and log.records()[-1]["event"] == "stopped"
    assert not log.records(level="crit")


def test_a_disk_that_fills_up(make_dray, ledger, tmp_path):
    """The file grows to its limit in the middle of a line (RLIMIT_FSIZE stands for the disk): EFBIG, not the end. With
    room again that very line goes on, and none is missing."""
    path = tmp_path / "log"
    dray = make_dray(conf={"log": {"output": "file:%s" % path}})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    log = logs.Log(str(path))
    wait_for(lambda: log.records("running"), 5)
    size = os.path.getsize(path)
    resource.prlimit(dray.pid, resource.RLIMIT_FSIZE, (size + 130, hard))
    old = dray.kill("console", 0)
    dray.wait_replaced("console", 0, old)
    also, _ = supervises(dray)
    assert os.path.getsize(path) <= size + 130 and not log.records("child_died", child_pid=also)
    resource.prlimit(dray.pid, resource.RLIMIT_FSIZE, (soft, hard))
    wait_for(lambda: log.records("child_died", child_pid=old) and log.records("child_died", child_pid=also), 5)
    Load(dray, ledger, events=50, clients=1).start().join()
    ledger.settle()
    dray.wait_all_up()
    assert dray.stop() == 0
    assert not log.bad_lines() and not log.records("log_dropped")


def test_a_broken_and_a_slow_disk(make_dray, ledger, tmp_path):
    path, control = tmp_path / "log", tmp_path / "control"
    dray = make_dray(conf={"log": {"output": "file:%s" % path, "level": "debug"}}, start=False)
    dray.env.update(LD_PRELOAD=shims.build(tmp_path, "log_shim"), LOG_SHIM=str(control))
    control.write_text("%s ok 0" % path)
    dray.start()
    log = logs.Log(str(path))
    wait_for(lambda: log.records("running"), 5)

    control.write_text("%s fail %d" % (path, errno.EIO))
    old, took = supervises(dray)
    wait_for(lambda: any("Input/output error" in a for a in dray.status()["alarms"]), 5)
    assert not log.records("child_died", child_pid=old)
    control.write_text("%s ok 0" % path)
    wait_for(lambda: log.records("child_died", child_pid=old), 5)
    print("figure: with EIO a worker is replaced in %.2f s" % took)

    control.write_text("%s slow 1500" % path)
    load = Load(dray, ledger, clients=4, batch=10, pause=0.01).start()
    old, took = supervises(dray)
    lag = dray.slot("master")["loop_lag_worst_ms"]
    print("figure: with a disk that takes 1.5 s a write: replaced in %.2f s, the master's loop late by %d ms" % (took, lag))
    assert lag < 700, "no write is waited for"
    load.stop()
    ledger.settle()
    wait_settled(dray)
    control.write_text("%s ok 0" % path)
    wait_for(lambda: log.records("child_died", child_pid=old), 10)
    assert not log.bad_lines() and not log.records("log_dropped")
