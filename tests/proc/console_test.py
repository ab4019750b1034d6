"""The console alone, under a fake master."""
import signal
import time

import pytest

from lib.client import Client
from lib.wait import wait_for


@pytest.fixture
def master(fake_master):
    m = fake_master("console", listen=["127.0.0.1:0"]).start()
    m.expect("READY")
    return m


@pytest.fixture
def client(master):
    with Client(master.address(), key=None, timeout=5) as c:
        yield c


def counter(name, value):
    """A snapshot with one counter without labels (the form: common/metrics/wire.c)."""
    return b"DM1\x01\x00" + bytes([len(name)]) + name.encode() + b"\0\0\0\1\0\0\0" + value.to_bytes(8, "little")


def test_says_nothing_good_before_the_master_spoke(client):
    assert client.get("/livez").status == 503
    assert client.get("/readyz").status == 503
    assert client.get("/startupz").status == 503
    assert client.get("/metrics").status == 503, "an empty page would say that every series has ended"


def test_health_goes_through(master, client):
    master.send("HEALTH", False, '{"ready":false,"checks":[]}')
    wait_for(lambda: client.get("/livez").status == 200, 5)
    assert client.get("/readyz").status == 503 and client.get("/startupz").status == 503
    master.send("HEALTH", True, '{"ready":true,"checks":[]}')
    wait_for(lambda: client.get("/readyz").status == 200, 5)
    assert client.get("/startupz").status == 200 and client.get("/healthz").status == 200
    for query in ("verbose", "verbose=1", "a=b&verbose=true"):
        answer = client.get("/readyz?" + query)
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == {"ready": True, "checks": []}
    master.send("HEALTH", False, '{"ready":false}')
    wait_for(lambda: client.get("/readyz?verbose").status == 503, 5)
    assert client.get("/startupz").status == 200, "the start is over for good"


def test_a_silent_master_is_told(master, client):
    master.send("HEALTH", True, "{}")
    wait_for(lambda: client.get("/livez").status == 200, 5)
    started = time.monotonic()
    wait_for(lambda: client.get("/livez").status == 503, 2 * 5)
    assert time.monotonic() - started > 2.5, "one late beat is not death"
    assert client.get("/readyz").status == 503


def test_metrics_in_parts(master, client):
    bytes_ = counter("dray_log_dropped_total", 42)
    master.send("METRICS", 0, 2, bytes_[:10])
    master.send("METRICS", 1, 2, bytes_[10:])
    wait_for(lambda: b"\ndray_log_dropped_total 42\n" in client.get("/metrics").body, 5)
    master.send("METRICS", 0, 1, counter("dray_log_dropped_total", 43))
    wait_for(lambda: b"\ndray_log_dropped_total 43\n" in client.get("/metrics").body, 5)


def test_unreadable_metrics_are_an_error_not_a_crash(master, client):
    master.send("METRICS", 0, 1, b"DM1\xff\xff")
    wait_for(lambda: client.get("/metrics").status == 500, 5)
    assert "event=metrics_unreadable" in master.log()
    master.send("METRICS", 0, 1, counter("dray_log_dropped_total", 1))
    wait_for(lambda: client.get("/metrics").status == 200, 5)


def test_other_paths_and_methods(client):
    assert client.get("/").status == 404 and client.get("/livez/").status == 404
    answer = client.post("/metrics", b"x")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    head = client.request("HEAD", "/startupz")
    assert (head.status, head.body) == (503, b"")


def test_drain(master, client):
    client.get("/livez")  # leaves an idle keep-alive connection
    master.send("DRAIN", 2000, "test")
    assert master.expect("DRAINED").fields == [0]
    assert master.wait_exit() == 0


@pytest.mark.parametrize("how", ["term", "orphan"])
def test_other_ends(master, how):
    if how == "term":
        master.signal(signal.SIGTERM)
        assert master.wait_exit() == 0
    else:
        master.control.close()
        master.is_ended = True
        assert master.wait_exit() == 81
