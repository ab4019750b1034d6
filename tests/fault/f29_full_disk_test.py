"""F29: the disk is full for the pid in the lock, for the node's file, for the quarantine: a warning, and it goes on. What should
be set aside and cannot be is refused (503), never dropped, and taken when there is room."""
import os

from lib import quarantine
from lib.client import Load
from lib.outcome import pids
from lib.shims import Disk
from lib.wait import wait_for


def test_at_start(make_dray, make_redis, sink, ledger, tmp_path):
    server = make_redis()
    dray = make_dray(conf={"redis": {"mode": "standalone", "url": server.url}}, start=False)
    disk = Disk(tmp_path, dray.dir)
    dray.env.update(disk.env)
    dray.start()
    first = dray.status()
    assert dray.stop() == 0
    disk.fill()
    dray.start()
    now = dray.status()
    assert now["node"] == first["node"], "it is the same host"
    assert now["run"] > first["run"], "and another run"
    assert {"lock_pid_not_written", "node_file_not_written"} <= {r["event"] for r in dray.log.records(level="warn")}
    Load(dray, ledger, events=50, clients=2).start().join()
    ledger.settle()
    assert dray.run_verb("run", "-c", dray.config_path).returncode == 75, "it is locked all the same"
    disk.clear()
    assert dray.stop() == 0
    assert not os.path.exists(os.path.join(dray.state_dir, "node.tmp"))
    dray.start()
    assert dray.status()["node"] == first["node"] and dray.status()["run"] not in (first["run"], now["run"])


def test_the_quarantine(make_dray, make_redis, sink, ledger, tmp_path):
    server = make_redis()
    dray = make_dray(conf={"redis": {"mode": "standalone", "url": server.url}}, start=False)
    disk = Disk(tmp_path, dray.dir)
    dray.env.update(disk.env)
    dray.start()
    before = pids(dray)
    bad = '{"batch":[{"type":"track","userId":"u","event":"e","messageId":"good"},17]}'
    with dray.client() as c:
        disk.fill()
        for _ in range(3):
            assert c.post("/v1/batch", bad).status == 503
        ledger.tried.add("good")
        Load(dray, ledger, events=50, clients=2).start().join()  # what need not be set aside is taken
        disk.clear()
        wait_for(lambda: c.post("/v1/batch", bad).status == 200, 10, "taken when there is room")
    ledger.ack(["good"])
    ledger.settle()
    assert [r.data for r in quarantine.read(dray.quarantine_dir)].count(b"17") == 1
    assert pids(dray) == before
    assert dray.log.records("quarantine_refused") or dray.log.records("quarantine_write_failed"), "it is told"
