"""Several ingest processes on the same sockets, TCP and unix: connections spread over them, and neither a death nor another
number of processes refuses or resets one."""
import http.client
import os
import socket
import stat
import threading
import time

from lib.wait import wait_for


def listeners(dray, *more):
    return {"ingest": {"listeners": [{"id": "public", "address": dray.ingest}] + list(more)}}


def requests_by_process(dray):
    return {p["slot"]: p["jobs"] for p in dray.processes("ingest", "up")}


class Visitors(threading.Thread):
    """One connection after the other, each with one request; every one must be answered."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.address, self.done, self.errors, self.ending = address, 0, [], threading.Event()
        self.start()

    def run(self):
        while not self.ending.is_set():
            try:
                with visit(self.address) as s:
                    s.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    answer = b""
                    while True:
                        data = s.recv(65536)
                        if not data:
                            break
                        answer += data
                    if not answer.startswith(b"HTTP/1.1 "):
                        self.errors.append("no answer: %r" % answer)
                self.done += 1
            except OSError as e:
                self.errors.append(repr(e))

    def end(self):
        self.ending.set()
        self.join(20)


def visit(address):
    if address.startswith("/"):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(20)
        s.connect(address)
        return s
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host, int(port)), 20)


def test_connections_spread(make_dray):
    dray = make_dray(conf={"master": {"processes": {"ingest": 3}}})
    before = requests_by_process(dray)
    assert len(before) == 3
    crowd = [visit(dray.ingest) for _ in range(300)]
    for s in crowd:
        s.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    for s in crowd:
        assert s.recv(65536).startswith(b"HTTP/1.1 200")

    def share():
        now = requests_by_process(dray)
        got = [now[k] - before.get(k, 0) for k in now]
        return got if sum(got) >= 300 else None
    got = wait_for(share, 10)
    print("figure: 300 connections over 3 processes: %s" % got)
    assert min(got) >= 45, got
    for s in crowd:
        s.close()


def test_nobody_is_refused(make_dray, tmp_path):
    path = os.path.join(str(tmp_path), "in.sock")
    dray = make_dray(start=False)
    dray.write_config(dict(listeners(dray, {"id": "local", "address": "unix:" + path, "mode": "0600"}),
                           master={"processes": {"ingest": 3}}))
    dray.start()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    visitors = [Visitors(dray.ingest), Visitors(path), Visitors(dray.ingest)]
    for number in (2, 1, 3, 1, 4):
        dray.write_config({"master": {"processes": {"ingest": number}}})
        assert dray.cli("reload").returncode == 0
        wait_for(lambda: len(requests_by_process(dray)) == number, 20)
    done = [v.done for v in visitors]
    wait_for(lambda: all(v.done > d + 20 for v, d in zip(visitors, done)), 20)
    # Another mode, another socket beside, and the old ones are the same.
    dray.write_config(listeners(dray, {"id": "local", "address": "unix:" + path, "mode": "0660"},
                                {"id": "second", "address": "unix:" + path + "2"}))
    assert dray.cli("reload").returncode == 0
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
    wait_for(lambda: os.path.exists(path + "2"), 10)
    late = Visitors(path + "2")
    wait_for(lambda: late.done > 20, 20)
    for v in visitors + [late]:
        v.end()
    assert [v.errors for v in visitors + [late]] == [[]] * 4
    print("figure: %s connections, none refused" % [v.done for v in visitors])
    dray.stop()
    assert not os.path.exists(path) and not os.path.exists(path + "2")


def test_a_death_refuses_nobody_who_waits(make_dray):
    """A connection that stands in the line when a process dies, or hangs, is taken by another."""
    dray = make_dray(conf={"master": {"processes": {"ingest": 2}}})
    pid = dray.pid_of("ingest", 0)
    os.kill(pid, 19)
    try:
        start = time.monotonic()
        for _ in range(40):
            c = http.client.HTTPConnection(*dray.ingest.split(":"), timeout=8)
            c.request("GET", "/health")
            assert c.getresponse().status == 200
            c.close()
        assert time.monotonic() - start < 8, "the one that stands does not keep them"
    finally:
        os.kill(pid, 18)
    v = Visitors(dray.ingest)
    old = dray.kill("ingest", 1)
    dray.wait_replaced("ingest", 1, old)
    count = v.done
    wait_for(lambda: v.done > count + 10, 10)
    v.end()
    # Those that the dead one had are reset, and nobody else is.
    assert len(v.errors) <= 1, v.errors
