"""The console's address: health and metrics."""
import json
import os
import re
import signal

from lib.client import Client, Load
from lib.wait import wait_for

SERIES = re.compile(r'[a-z_]+(\{[a-z_]+="(?:[^"\\]|\\.)*"(,[a-z_]+="(?:[^"\\]|\\.)*")*\})? \S+$')


def test_health_at_rest(dray):
    for path in ("/livez", "/readyz", "/startupz", "/healthz"):
        assert dray.get(path).status == 200, path
    answer = dray.get("/readyz?verbose")
    assert answer.headers["content-type"] == "application/json"
    checks = {c["name"]: c["ok"] for c in answer.json()["checks"]}
    assert checks["ingest"] and checks["delivery"] and checks["redis"]
    with Client(dray.console, key=None) as c:
        assert c.get("/nothing").status == 404
        answer = c.post("/livez", b"")
        assert answer.status == 405 and answer.headers["allow"] == "GET, HEAD"
        head = c.request("HEAD", "/livez")
        assert head.status == 200 and head.body == b""


def test_liveness_tells_a_stopped_master(dray):
    """The master hangs: /livez says so within two beats of its limit, and takes it back."""
    os.kill(dray.pid, signal.SIGSTOP)
    try:
        wait_for(lambda: dray.get("/livez").status == 503, 10)
        assert dray.get("/readyz").status == 503
    finally:
        os.kill(dray.pid, signal.SIGCONT)
    wait_for(lambda: dray.get("/livez").status == 200, 10)
    assert all(p["restarts"] == 0 for p in dray.processes()), "no child is killed for the master's own pause"


def test_readiness_tells_redis_away(make_dray):
    dray = make_dray(conf={"redis": {"command_timeout": "500ms"}})
    pid = dray.redis_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for(lambda: dray.get("/readyz").status == 503, 20)
        checks = {c["name"]: c["ok"] for c in json.loads(dray.get("/readyz?verbose").body)["checks"]}
        assert not checks["redis"] and checks["ingest"]
        assert dray.get("/livez").status == 200, "liveness does not ask Redis"
        assert dray.get("/startupz").status == 200
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: dray.get("/readyz").status == 200, 10)


def test_metrics_of_all_processes(dray, sink, ledger):
    Load(dray, ledger, events=480, clients=4, batch=10).start().join()
    ledger.settle()
    wait_for(lambda: dray.metric("dray_delivery_events_total", dest="sink") == 480, 5, "delivered is counted")
    text = dray.get("/metrics").body.decode()
    for line in text.splitlines():
        assert line.startswith("# HELP dray_") or line.startswith("# TYPE dray_") or SERIES.match(line), line
    m = dray.metrics()
    assert m['dray_ingest_events_total{source="web",outcome="accepted"}'] == 480
    assert m['dray_ingest_requests_total{source="web",code="200"}'] == 48
    assert m['dray_workers{role="delivery",state="up"}'] == 2
    assert m['dray_ingest_request_duration_seconds_count{source="web"}'] == 48
    assert m['dray_ingest_request_duration_seconds_bucket{source="web",le="+Inf"}'] == 48
    assert dray.metric("dray_delivery_attempts_total", outcome="ok") == len(sink.taken())


def test_counters_survive_a_killed_process(dray, sink, ledger):
    Load(dray, ledger, events=200, clients=2, batch=10).start().join()
    ledger.settle()
    wait_for(lambda: dray.metric("dray_ingest_events_total", outcome="accepted") == 200, 5)
    old = dray.kill("ingest")
    dray.wait_replaced("ingest", 0, old)
    assert dray.metric("dray_ingest_events_total", outcome="accepted") == 200
    Load(dray, ledger, events=100, clients=2, batch=10, seed="more").start().join()
    ledger.settle()
    wait_for(lambda: dray.metric("dray_ingest_events_total", outcome="accepted") == 300, 5)
    wait_for(lambda: dray.metric("dray_worker_restarts_total", role="ingest") == 1, 5)
