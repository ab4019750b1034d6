"""dray sink: a destination that does as it is told."""
import gzip
import http.client
import json
import os
import signal
import subprocess

import pytest

from lib.client import Client
from lib.wait import wait_for

BODY = b'{"batch":[{"messageId":"a","x":1.0},{"messageId":"b"}]}'


@pytest.fixture
def start(build):
    """start("--status", "503", ...) gives (client, process)."""
    opened = []

    def go(*options):
        p = subprocess.Popen([os.path.join(build, "asan", "dray"), "sink", "--listen", "127.0.0.1:0", *options],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = p.stdout.readline()
        assert line.startswith("listening on http://127.0.0.1:"), line + p.stderr.read()
        c = Client(line.split("//")[1].strip(), key=None, timeout=5)
        opened.append((c, p))
        return c, p
    yield go
    for c, p in opened:
        c.close()
        if p.poll() is None:
            p.kill()
        p.communicate()


def address(c):
    return "%s:%d" % (c.host, c.port)


def stats(c):
    return c.get("/stats").json()


def test_records_and_counts(start, tmp_path):
    record = tmp_path / "record"
    c, p = start("--record", str(record))
    assert c.post("/v1/batch", BODY, headers={"Idempotency-Key": "b1", "Authorization": "Basic eA=="}).status == 200
    assert c.post("/x", gzip.compress(BODY), headers={"Content-Encoding": "gzip"}).status == 200
    s = stats(c)
    assert (s["requests"], s["events"], s["distinct"], s["duplicates"], s["failed"]) == (2, 4, 2, 2, 0)
    wait_for(lambda: record.read_text().count("\n") == 2, 5)
    first, second = record.read_text().splitlines()
    assert '"events":[{"messageId":"a","x":1.0},{"messageId":"b"}]' in first
    first, second = json.loads(first), json.loads(second)
    assert (first["path"], first["idempotency_key"], first["auth"], first["status"]) == ("/v1/batch", "b1", "Basic eA==", 200)
    assert (second["path"], second["idempotency_key"]) == ("/x", None) and second["events"] == first["events"]
    p.send_signal(signal.SIGTERM)
    out, err = p.communicate(timeout=10)
    assert p.returncode == 0 and out.startswith('received {"requests":2,') and err == ""


def test_status_and_retry_after(start):
    c, _ = start("--status", "429", "--retry-after", "7")
    a = c.post("/", BODY)
    assert (a.status, a.headers["retry-after"]) == (429, "7")
    assert (stats(c)["failed"], stats(c)["events"]) == (1, 0)


def test_a_share_fails(start):
    c, _ = start("--fail-rate", "0.5")
    seen = [c.post("/", BODY).status for _ in range(200)]
    assert set(seen) == {200, 500} and 50 < seen.count(500) < 150
    assert stats(c)["failed"] == seen.count(500)


@pytest.mark.parametrize("options", [("--cut-rate", "1"), ("--cut-rate", "1", "--delay", "20ms")])
def test_cuts(start, options):
    c, p = start(*options)
    with pytest.raises((OSError, http.client.HTTPException)):
        c.post("/", BODY)
    assert p.poll() is None and stats(c)["unanswered"] == 1


def test_hangs_and_delays(start):
    c, p = start("--hang-rate", "1")
    with Client(address(c), key=None, timeout=0.5) as impatient, pytest.raises((OSError, http.client.HTTPException)):
        impatient.post("/", BODY)
    assert stats(c)["unanswered"] == 1
    p.send_signal(signal.SIGINT)
    assert p.wait(10) == 0
    c, _ = start("--delay", "300ms")
    with Client(address(c), key=None, timeout=0.1) as impatient, pytest.raises((OSError, http.client.HTTPException)):
        impatient.post("/", BODY)
    assert c.post("/", BODY).status == 200


def test_cannot_listen_or_record(build, start, tmp_path):
    c, _ = start()
    for options, code, text in ((("--listen", address(c)), 69, "cannot listen on"),
                                (("--listen", "127.0.0.1:0", "--record", str(tmp_path / "no" / "where")), 74, "cannot write")):
        r = subprocess.run([os.path.join(build, "asan", "dray"), "sink", *options], capture_output=True, text=True, timeout=20)
        assert r.returncode == code and text in r.stderr and r.stderr.count("\n") == 1
