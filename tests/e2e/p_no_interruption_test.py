"""No act of the operator is felt: under 300 requests a second of clients that try once, the configuration is loaded again, workers
come and go, every kind is restarted; no request fails, no event is lost, none comes twice."""
import os
import socket
import threading
import time

import pytest

from lib.client import Client, basic
from lib.events import batch_body, make_events
from lib.steady import Steady
from lib.wait import wait_for

pytestmark = pytest.mark.alone


class Busy:
    """An instance under load of all sorts."""

    def __init__(self, make_dray, sink, ledger, **conf):
        sink.behave(delay=0.005)
        self.dray = make_dray(conf={"master": {"processes": {"delivery": 2}, "drain": "20s"}, **conf})
        self.sink, self.ledger = sink, ledger
        self.steady = Steady(self.dray, ledger).start()
        wait_for(lambda: len(ledger.acked) > 300, 20)
        self.slow = []

    def replaced(self):
        return len(self.dray.log.records("replaced"))

    def settled(self):
        """No replacement is under way, all that is wanted is up."""
        s = self.dray.status()
        return all(p["state"] == "up" for p in s["processes"])

    def act(self, *words):
        """An act while a client is in the middle of a body, and a big body is on its way."""
        before = self.replaced()
        slow = SlowClient(self)
        big = threading.Thread(target=self.big_body, args=(len(self.slow),))
        big.start()
        done = self.dray.cli(*words)
        assert done.returncode == 0, done
        if words[0] != "scale":
            wait_for(lambda: self.replaced() > before, 30, "%s is done" % " ".join(words))
        big.join(30)
        slow.finish()
        self.slow.append(slow)

    def big_body(self, n):
        with Client(self.dray.ingest, self.dray.key) as c:
            self.steady.one(c, list(make_events(300, seed="big-%d" % n, pad=8000)), "big body, new")

    def end(self):
        self.steady.stop()
        for slow in self.slow:
            slow.check()
        assert self.steady.failed == [], "%d of %d requests failed, first: %s" % (
            len(self.steady.failed), self.steady.requests, self.steady.failed[:5])
        self.ledger.settle(30)
        self.ledger.check(self.dray)
        assert self.ledger.duplicates() == {}
        assert not self.dray.log.records("child_died")
        print("figure: %d requests, %.0f a second, %d events, none failed, lost or came twice; the longest took %.0f ms" % (
            self.steady.requests, self.steady.rate, len(self.ledger.acked), 1000 * self.steady.worst))


class SlowClient:
    """Sends the head and half a body, and the rest when the act is done."""

    def __init__(self, busy):
        self.busy = busy
        self.events = list(make_events(3, seed="slow-%d" % len(busy.slow)))
        body = batch_body(self.events)
        host, port = busy.dray.ingest.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), 30)
        self.socket.sendall(b"POST /v1/batch HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nContent-Length: %d\r\n\r\n" % (
            basic(busy.dray.key).encode(), len(body)) + body[:len(body) // 2])
        self.rest = body[len(body) // 2:]

    def finish(self):
        self.socket.sendall(self.rest)
        busy = self.busy
        with busy.steady.lock:
            busy.ledger.tried.update(e["messageId"] for e in self.events)
        self.answer = b""
        while b"\r\n\r\n" not in self.answer:
            piece = self.socket.recv(4096)
            if not piece:
                break
            self.answer += piece
        if self.answer.startswith(b"HTTP/1.1 200 "):
            with busy.steady.lock:
                busy.ledger.ack(e["messageId"] for e in self.events)
        self.socket.close()

    def check(self):
        assert self.answer.startswith(b"HTTP/1.1 200 "), "a slow client had %r" % self.answer


def second_version(version):
    return version[:-1] + "9"


def second_build(dray):
    """The program as if it had been built of another version."""
    version = dray.status()["version"].encode()
    with open(dray.binary, "rb") as f:
        data = f.read()
    assert version in data
    path = os.path.join(dray.dir, "dray-second")
    with open(path, "wb") as f:
        f.write(data.replace(version, second_version(version.decode()).encode()))
    os.chmod(path, 0o755)
    return path


@pytest.mark.release
@pytest.mark.limit(240)
def test_no_act_is_felt(make_dray, sink, ledger):
    busy = Busy(make_dray, sink, ledger)
    dray = busy.dray
    for n in range(10):  # of keys that are told, and of such that replace delivery, ingest or both
        dray.write_config({"delivery": {"concurrency": 20 + n, "response_store": 1000 + n}, "log": {"flood": {"burst": 4000 + n}},
                           "ingest": {"flush_at": 50 + n, "listeners": [{"id": "public-%d" % (n // 2), "address": dray.ingest}]}})
        busy.act("reload")
    for n in (1, 2, 3, 4, 5, 6, 5, 4, 3, 2, 1, 2):
        busy.act("scale", "delivery", str(n))
        wait_for(lambda: len(dray.processes("delivery", "up")) == n, 20)
    for kind in ("delivery", "ingest", "console", "program"):
        busy.act("restart", kind)
        wait_for(busy.settled, 30)
    version = dray.status()["version"]
    busy.act("upgrade", "--binary", second_build(dray))
    wait_for(busy.settled, 30)
    assert dray.is_running() and dray.status()["version"] == second_version(version)
    busy.end()


@pytest.mark.release
def test_an_idle_connection_is_served_once_more(make_dray, sink, ledger):
    """A request on a connection that stood idle when its process was told to drain, by whatever process it is read."""
    dray = make_dray()
    clients = [dray.client() for _ in range(20)]
    steady = Steady(dray, ledger)
    for n, c in enumerate(clients):
        steady.one(c, list(make_events(1, seed="first-%d" % n)), "kept")
    old = dray.pid_of("ingest")
    assert dray.cli("restart", "ingest").returncode == 0
    wait_for(lambda: len(dray.log.records("replaced")) == 1, 20)
    # And once more, so that the workers to which the draining process is linked are others by now.
    assert dray.cli("restart", "delivery").returncode == 0
    wait_for(lambda: len(dray.log.records("replaced")) == 2, 20)
    wait_for(lambda: len(dray.processes("delivery")) == 2, 20)
    assert old in [p["pid"] for p in dray.processes("ingest")], "it waits for them"
    for n, c in enumerate(clients):
        steady.one(c, list(make_events(1, seed="second-%d" % n)), "kept")
    assert steady.failed == []
    for c in clients:  # told to close: what http.client does by itself
        assert c.connection.sock is None
        c.close()
    ledger.settle()
    wait_for(lambda: old not in [p["pid"] for p in dray.processes()], 20, "the old one is gone")
    assert ledger.duplicates() == {}


@pytest.mark.release
def test_a_stop_answers_what_has_begun(make_dray, sink, ledger):
    """A stop does not wait for idle connections; a body that is on its way is waited for."""
    dray = make_dray()
    idle = dray.client()
    steady = Steady(dray, ledger)
    steady.one(idle, list(make_events(1, seed="idle")), "kept")
    busy = type("", (), {"dray": dray, "ledger": ledger, "steady": steady, "slow": []})
    slow = SlowClient(busy)
    time.sleep(0.1)
    dray.process.terminate()
    wait_for(lambda: dray.log.records("ingest_drain"), 10)
    slow.finish()
    slow.check()
    began = time.monotonic()
    assert dray.wait_exit(20) == 0
    assert time.monotonic() - began < 2 * 2.5, "idle connections do not hold it up"
    idle.close()
    dray.start()
    ledger.settle()
