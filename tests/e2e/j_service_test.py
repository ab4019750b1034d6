"""Under a service manager: sockets from outside (LISTEN_FDS), notifications (NOTIFY_SOCKET), where the log goes."""
import fcntl
import json
import os
import signal
import socket
import stat
import subprocess

import pytest

from lib import procs
from lib.wait import stays, wait_for

LAUNCHER = """
import os, sys
first, fds = 3, [int(n) for n in sys.argv[1].split(",")]
high = [os.dup(fd) for fd in fds]
high = [os.dup2(fd, 200 + i) for i, fd in enumerate(high)]
for i, fd in enumerate(high):
    os.dup2(fd, first + i)
    os.close(fd)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)))
os.execv(sys.argv[2], sys.argv[2:])
"""


def activate(dray, sockets):
    """Starts the instance as systemd does: the sockets from descriptor 3 on."""
    fds = [s.fileno() for s in sockets]
    with open(dray.log.path, "ab") as log:
        dray.process = subprocess.Popen(
            ["/usr/bin/python3", "-c", LAUNCHER, ",".join(map(str, fds)), dray.binary, "run", "-c", dray.config_path],
            stdin=subprocess.DEVNULL, stderr=log, cwd=dray.dir, env=dray.environment(), pass_fds=fds,
            start_new_session=True)
    return dray


def unix_listener(path):
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    s.listen(64)
    return s


def test_socket_activation(make_dray, sink):
    """They are used instead of binding; what connected before the start is answered; their files stay."""
    dray = make_dray(start=False)
    path = os.path.join(dray.dir, "in.sock")
    dray.write_config({"ingest": {"listeners": [{"id": "public", "address": dray.ingest},
                                                {"id": "local", "address": "unix:" + path}]}})
    host, port = dray.ingest.split(":")
    with socket.create_server((host, int(port))) as tcp, unix_listener(path) as unix, \
            socket.create_server((dray.host, 8099)) as surplus, socket.socket(socket.AF_UNIX) as early:
        early.connect(path)  # nobody accepts yet
        early.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        activate(dray, [surplus, unix, tcp]).wait_ready()
        early.settimeout(10)
        assert early.recv(4096).startswith(b"HTTP/1.1 200 ")
        with dray.client() as c:
            assert c.post("/v1/track", {"userId": "u", "event": "E", "messageId": "m1"}).status == 200
        wait_for(lambda: "m1" in sink.ids(), 10)
        told = dray.log.records("listen_fd_unused")
        assert [r["address"] for r in told] == [dray.host + ":8099"] and told[0]["remedy"]
        assert dray.stop() == 0
        assert os.path.exists(path), "the file is the service manager's"


def test_own_unix_socket_is_removed(make_dray):
    dray = make_dray(start=False)
    path = os.path.join(dray.dir, "in.sock")
    dray.write_config({"ingest": {"listeners": [{"id": "local", "address": "unix:" + path, "mode": "0600"}]}})
    dray.start()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert dray.stop() == 0 and not os.path.exists(path)


@pytest.fixture(params=["path", "abstract"])
def notify(request, tmp_path):
    """A service manager's socket: what was told so far, as lists of lines."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        path = str(tmp_path / "notify")
        if request.param == "abstract":
            path = "@dray-test-%d" % os.getpid()
        s.bind(path.replace("@", "\0"))
        s.setblocking(False)
        told = []

        def read():
            while True:
                try:
                    told.append(s.recv(4096).decode().split("\n"))
                except BlockingIOError:
                    return told
        read.path = path
        yield read


def only(lines, *keys):
    """Of messages those that tell one of these, each as {key: value}."""
    found = [dict(line.split("=", 1) for line in message) for message in lines]
    return [m for m in found if any(key in m for key in keys)]


def test_notifications(make_dray, notify):
    dray = make_dray(conf={"master": {"core": "on"}}, start=False,  # on: its environment can be read
                     env={"NOTIFY_SOCKET": notify.path, "WATCHDOG_USEC": "600000", "DRAY_NODE__NAME": "x"}).start()
    wait_for(lambda: only(notify(), "READY"), 10)
    assert [m["STATUS"] for m in only(notify(), "STATUS")][0].startswith("starting")
    wait_for(lambda: only(notify(), "STATUS")[-1]["STATUS"] == "ok: program 1/1 delivery 2/2 spool 1/1 console 1/1 ingest 1/1", 10)
    with open("/proc/%d/environ" % dray.pid_of("console"), "rb") as f:
        environment = f.read()
    assert b"PATH=" in environment and not any(n in environment for n in (b"NOTIFY_SOCKET", b"WATCHDOG", b"DRAY_NODE"))

    mark = len(notify())
    os.kill(dray.pid, signal.SIGHUP)
    wait_for(lambda: only(notify()[mark:], "READY"), 20)
    reload = only(notify()[mark:], "READY", "RELOADING")
    assert reload[0]["RELOADING"] == "1" and int(reload[0]["MONOTONIC_USEC"]) > 0 and reload[-1] == {"READY": "1"}

    with open(dray.config_path, "a") as f:
        f.write("nonsense: 1\n")
    wait_for(lambda: not dray.status()["rolling"], 20)
    mark = len(notify())
    assert dray.cli("reload", "-s", dray.control_path).returncode == 78
    wait_for(lambda: only(notify()[mark:], "READY"), 10, "a refused reload ends too")

    assert not only(notify(), "STOPPING", "EXTEND_TIMEOUT_USEC")
    assert dray.stop() == 0
    stop = only(notify(), "STOPPING", "EXTEND_TIMEOUT_USEC")
    assert [list(m) for m in stop] == [["STOPPING"], ["EXTEND_TIMEOUT_USEC"]]
    assert int(stop[1]["EXTEND_TIMEOUT_USEC"]) > 10e6, "more than master.drain"


def pings(notify):
    return len(only(notify(), "WATCHDOG"))


@pytest.mark.parametrize("notify", ["path"], indirect=True)
def test_the_watchdog_is_the_loops(make_dray, notify):
    """Pinged at half of the time; a master that stands still does not ping."""
    dray = make_dray(start=False, env={"NOTIFY_SOCKET": notify.path, "WATCHDOG_USEC": "400000"}).start()
    before = pings(notify)
    wait_for(lambda: pings(notify) >= before + 5, 2 * 5 * 0.2 + 1)
    os.kill(dray.pid, signal.SIGSTOP)
    try:
        wait_for(lambda: procs.Proc(dray.pid).state == "T", 5)
        before = pings(notify)
        stays(lambda: pings(notify) == before, 1)
    finally:
        os.kill(dray.pid, signal.SIGCONT)
    wait_for(lambda: pings(notify) > before, 5)


@pytest.mark.parametrize("notify", ["path"], indirect=True)
def test_a_watchdog_of_another_process(make_dray, notify):
    make_dray(start=False, env={"NOTIFY_SOCKET": notify.path, "WATCHDOG_USEC": "200000", "WATCHDOG_PID": "1"}).start()
    stays(lambda: pings(notify) == 0, 1)


@pytest.mark.parametrize("notify", ["path"], indirect=True)
def test_a_boot_that_takes_longer(make_dray, notify):
    """The managed Redis waits for its data folder: the service manager is told to wait, too."""
    dray = make_dray(start=False, env={"NOTIFY_SOCKET": notify.path})
    os.makedirs(dray.state_dir)
    with open(os.path.join(dray.state_dir, "redis.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        dray.start(wait=False)
        wait_for(lambda: only(notify(), "EXTEND_TIMEOUT_USEC"), 15)
        assert not only(notify(), "READY")
    wait_for(lambda: only(notify(), "READY"), 10)
    dray.wait_ready()


def test_log_file_in_json_and_its_rotation(make_dray, sink, ledger):
    dray = make_dray(start=False)
    path, old = os.path.join(dray.dir, "x.log"), os.path.join(dray.dir, "x.log.1")
    # what must be quoted
    dray.run_dir = os.path.join(dray.dir, 'r "1" \\')
    dray.write_config({"log": {"format": "json", "output": "file:" + path}, "node": {"run_dir": dray.run_dir}})
    dray.start()
    assert dray.log.text() == "", "nothing on stderr"
    os.rename(path, old)
    os.kill(dray.pid, signal.SIGUSR1)
    wait_for(lambda: os.path.exists(path) and "dump_process" in open(path).read(), 10)
    dray.wait_replaced("delivery", 0, dray.kill("delivery", 0))
    assert dray.stop() == 0
    records = []
    for name in (old, path):
        with open(name, encoding="utf-8") as f:
            records += [json.loads(line, object_pairs_hook=without_twins) for line in f]
    assert all(r["ts"] and r["level"] and r["kind"] and r["event"] for r in records)
    assert records[0]["event"] == "start" and records[0]["run_dir"] == dray.run_dir
    assert records[-1]["event"] == "stopped" and any(r["event"] == "child_died" for r in records)


def without_twins(pairs):
    assert len(dict(pairs)) == len(pairs), "a key twice: %s" % pairs
    return dict(pairs)


@pytest.mark.parametrize("output, word", [("file:/no/such/folder/log", "folder"), ("syslog", "/dev/log")])
def test_a_log_that_cannot_be_opened(make_dray, output, word):
    if output == "syslog" and os.path.exists("/dev/log"):
        pytest.skip("a syslog daemon runs here")
    result = make_dray(conf={"log": {"output": output}}, start=False).cli("run")
    assert result.returncode == 78
    first = result.stderr.splitlines()[0]
    assert "log_open_failed" in first and word in first.split("remedy=")[1]
