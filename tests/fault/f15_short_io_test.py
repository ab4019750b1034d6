"""F15: every read and every write of a channel moves one byte. The result is the same as ever."""
import os

import pytest

from lib import shims
from lib.client import Load
from lib.outcome import assert_unchanged, pids, wait_settled
from lib.wait import wait_for

# One byte at a time through megabytes of system calls: what is slow must not be taken for dead.
PATIENT = {"master": {"processes": {"delivery": 2}}, "redis": {"command_timeout": "20s", "connect_timeout": "60s"},
           "ingest": {"ack_timeout": "30s"}, "delivery": {"timeout": "9s"}}


def run(dray, sink, ledger, events):
    assert "io_shim.so" in open("/proc/%d/maps" % dray.pid_of("ingest")).read()
    before = pids(dray)
    load = Load(dray, ledger, events=events, clients=4, batch=10).start()
    load.join()
    ledger.settle(30)
    wait_settled(dray)
    assert len(ledger.acked) == events and ledger.duplicates() == {} and len(sink.ids()) == events
    assert_unchanged(sink, load.sent)
    assert load.counts == {}, "nothing had to be sent twice"
    assert pids(dray) == before and all(p["restarts"] == 0 for p in dray.processes())
    wait_for(lambda: dray.status()["ingest"]["accepted_events"] == events, 5, "status counts the events")
    wait_for(lambda: dray.metric("dray_delivery_events_total", dest="sink") == events, 5, "so do the metrics")
    assert dray.queue_counts()["completed"] > 0 and dray.queue_counts()["failed"] == 0
    told = {r["event"] for r in dray.log.records() if r["level"] in ("warn", "error")}
    assert told <= {"ready_without_redis"}, "each connection loads the scripts byte by byte: that may take 2 s"
    assert not os.path.exists(dray.quarantine_dir) or ledger.quarantined(dray) == set()


@pytest.mark.limit(240)
def test_pipes_and_unix_sockets(make_dray, sink, ledger, tmp_path):
    """Control, batch and ack pipes, log pipes, the control socket, Redis on its unix socket."""
    dray = make_dray(conf=PATIENT, env=shims.bad_io(tmp_path, short="local"), start=False)
    dray.start(seconds=60)
    run(dray, sink, ledger, 100)
    assert dray.cli("status", "-o", "json").returncode == 0
    assert dray.cli("restart", "delivery").returncode == 0
    Load(dray, ledger, events=20, clients=1, seed="after").start().join()
    ledger.settle()
    assert dray.stop() == 0


@pytest.mark.limit(240)
def test_tcp(make_dray, make_redis, sink, ledger, tmp_path):
    """Intake, console, deliveries, Redis over TCP."""
    server = make_redis(port=True)
    dray = make_dray(conf={**PATIENT, "redis": {**PATIENT["redis"], "mode": "standalone", "url": server.tcp_url}},
                     env=shims.bad_io(tmp_path, short="tcp"), start=False)
    dray.start(seconds=60)
    run(dray, sink, ledger, 100)
    assert dray.stop() == 0


@pytest.mark.release
def test_release_build(make_dray, sink, ledger, tmp_path):
    dray = make_dray(conf=PATIENT, env=shims.bad_io(tmp_path, short="local"))
    run(dray, sink, ledger, 100)
