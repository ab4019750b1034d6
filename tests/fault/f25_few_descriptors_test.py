"""F25: a process has no descriptor left. Who comes then is told 503 and closed, by the descriptor in reserve; what has a
connection is served; nobody spins; and when there are descriptors again everything is as ever. The master's own want of them
delays a start, and no more."""
import json
import os
import resource
import signal
import socket
import time

from lib import procs
from lib.client import Client, Load
from lib.outcome import pids, wait_settled
from lib.wait import wait_for

SPIN = 0.6  # share of a processor that one that spins would use more of


def limit(pid, room):
    """From now on the process may open so many more descriptors (numbers; gaps count)."""
    used = set(procs.fds(pid))
    number = 0
    while room > 0 or number in used:
        room -= number not in used
        number += 1
    old = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (number, old[1]))
    return old


def raw_get(address, path):
    """The whole answer on a connection of its own, b"" when it was cut."""
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), 5) as s:
        s.settimeout(5)
        text = b""
        try:
            s.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path.encode())
            while piece := s.recv(65536):
                text += piece
        except ConnectionError:
            pass
        return text


def told_503(address, path):
    """One of a few is heard in full (a reset may overtake the answer)."""
    for _ in range(20):
        text = raw_get(address, path)
        assert not text.startswith(b"HTTP/1.1 200")
        if text.startswith(b"HTTP/1.1 503 ") and b"Retry-After: 1" in text:
            return True
    return False


def does_not_spin(pid, seconds=1.0):
    """Over a while in which nothing is asked of it."""
    before, began = procs.cpu_seconds(pid), time.monotonic()
    wait_for(lambda: time.monotonic() - began > seconds, 2 * seconds)
    share = (procs.cpu_seconds(pid) - before) / (time.monotonic() - began)
    assert share < SPIN, "it uses %.0f %% of a processor" % (100 * share)


def connect(address):
    host, port = address.rsplit(":", 1)
    s = socket.create_connection((host, int(port)), 5)
    s.settimeout(5)
    return s


def crowd_out(dray, kind, address, path):
    pid = dray.pid_of(kind)
    with Client(address) as kept:
        assert kept.get(path).status == 200
        old = limit(pid, 3)
        idle = [connect(address) for _ in range(3)]
        wait_for(lambda: told_503(address, path), 10, "503 for want of descriptors")
        assert kept.get(path).status == 200, "who has a connection is served"
        idle += [connect(address) for _ in range(50)]
        does_not_spin(pid)
        # The reserve is lost as well: nobody can be taken off the queue.
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (4, old[1]))
        with connect(address) as waits:
            does_not_spin(pid)
            assert kept.get(path).status == 200
            resource.prlimit(pid, resource.RLIMIT_NOFILE, old)
            waits.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
            assert waits.recv(65536).startswith(b"HTTP/1.1 "), "who waited is served"
        for s in idle:
            s.close()
    wait_for(lambda: raw_get(address, path).startswith(b"HTTP/1.1 200"), 10, "as ever")
    assert len(dray.log.records("http_connections_refused", kind=kind)) >= 1


def test_ingest(dray, ledger):
    before = pids(dray)
    crowd_out(dray, "ingest", dray.ingest, "/health")
    Load(dray, ledger, events=50, clients=2).start().join()
    ledger.settle()
    assert pids(dray) == before


def test_console(dray):
    before = pids(dray)
    crowd_out(dray, "console", dray.console, "/livez")
    assert pids(dray) == before


def test_delivery(make_dray, sink, ledger):
    """No connection to the destination can be made: tried again, as if it had refused."""
    dray = make_dray(conf={"master": {"processes": {"delivery": 1}}})
    before = pids(dray)
    pid = dray.pid_of("delivery")
    old = limit(pid, 0)
    Load(dray, ledger, events=30, clients=1).start().join()  # stored: that connection stands
    wait_for(lambda: dray.metric("dray_delivery_attempts_total", dest="sink") >= 2, 10, "it tries")
    assert sink.taken() == [] and dray.queue_counts()["failed"] == 0
    does_not_spin(pid)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, old)
    ledger.settle()
    wait_settled(dray)
    assert pids(dray) == before and ledger.duplicates() == {}


def test_master(dray, ledger):
    """A dead child cannot be replaced for want of descriptors, nor anybody heard on the control socket: both are done when
    it has some again; the others work on."""
    old = limit(dray.pid, 2)
    dead = [p["pid"] for p in dray.processes("delivery")]
    crowd = [connect_control(dray) for _ in range(8)]
    for s in crowd:
        s.sendall(b'{"verb":"status"}\n')
    wait_for(lambda: dray.log.records("control_waits"), 5)
    does_not_spin(dray.pid)
    os.kill(dead[0], signal.SIGKILL)
    wait_for(lambda: dray.log.records("spawn_failed", child_kind="delivery"), 5)
    Load(dray, ledger, events=50, clients=2).start().join()
    resource.prlimit(dray.pid, resource.RLIMIT_NOFILE, old)
    for s in crowd:
        assert json.loads(receive(s))["ok"]
        s.close()
    dray.wait_replaced("delivery", 0, dead[0])
    assert dray.pid_of("delivery", 1) == dead[1]
    ledger.settle()


def connect_control(dray):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(5)
    s.connect(dray.control_path)
    return s


def receive(s):
    text = b""
    while not text.endswith(b"\n"):
        piece = s.recv(65536)
        assert piece, "cut"
        text += piece
    return text


def test_a_small_limit_from_the_start(make_dray, sink, ledger):
    """master.nofile at its least, under a soft limit that is lower still."""
    dray = make_dray(conf={"master": {"nofile": 64}}, start=False)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (50, before[1]))
    try:
        dray.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert resource.prlimit(dray.pid_of("ingest"), resource.RLIMIT_NOFILE)[0] == 64
    crowd = [connect(dray.ingest) for _ in range(100)]
    for s in crowd:
        s.close()
    Load(dray, ledger, events=200, clients=4).start().join()
    ledger.settle()
