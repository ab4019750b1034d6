"""The log as an operator has it: outputs, forms, rotation, levels at run time, the last errors."""
import array
import json
import os
import pty
import re
import select
import signal
import socket
import time

from lib import logs
from lib.wait import wait_for


class Daemon:
    """What listens at /dev/log or the journal's socket."""

    def __init__(self, path):
        self.path, self.packets = str(path), []
        self.up()

    def up(self):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)

    def down(self):
        self.socket.close()
        os.unlink(self.path)

    def read(self):
        while select.select([self.socket], [], [], 0)[0]:
            data, control, _, _ = self.socket.recvmsg(1 << 20, socket.CMSG_LEN(4))
            for _, _, fds in control:
                fd = array.array("i", fds)[0]
                with open(fd, "rb") as f:
                    f.seek(0)
                    data = f.read()
            self.packets.append(data)
        return self.packets

    def saw(self, text):
        return [p for p in self.read() if text in p]


def test_syslog_comes_and_goes(make_dray, tmp_path):
    daemon = Daemon(tmp_path / "log")
    dray = make_dray(conf={"log": {"output": "syslog", "facility": "local3"}}, env={"DRAY_SYSLOG_SOCKET": daemon.path})
    first = wait_for(lambda: daemon.saw(b"event=running"), 5)[0].decode()
    assert re.match(r"<158>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d dray\[%d\]: ts=" % dray.pid, first)  # local3.info
    logs.parse_line(first.split("]: ", 1)[1])
    daemon.down()
    old = dray.kill("console", 0)
    dray.wait_replaced("console", 0, old)
    wait_for(lambda: any("log: cannot be written" in a for a in dray.status()["alarms"]), 5)
    daemon.up()
    died = wait_for(lambda: daemon.saw(b"event=child_died"), 5)[0].decode()
    assert died.startswith("<156>") and "child_pid=%d " % old in died
    wait_for(lambda: not dray.status()["alarms"], 5)


def test_the_journal(make_dray, tmp_path):
    daemon = Daemon(tmp_path / "journal")
    dray = make_dray(conf={"log": {"output": "journal"}}, env={"DRAY_JOURNAL_SOCKET": daemon.path})
    old = dray.kill("console", 0)
    packet = wait_for(lambda: daemon.saw(b"DRAY_EVENT=child_died"), 5)[0].decode()
    fields = dict(line.split("=", 1) for line in packet.splitlines())
    assert fields["PRIORITY"] == "4" and fields["SYSLOG_IDENTIFIER"] == "dray" and fields["DRAY_KIND"] == "master"
    assert fields["DRAY_CHILD_PID"] == str(old) and fields["DRAY_SIGNAL"] == "SIGKILL"
    assert fields["MESSAGE"].startswith("master.0: event=child_died ")
    dray.wait_all_up()


def test_stderr_that_the_service_manager_reads(make_dray):
    """JOURNAL_STREAM names it: each line begins with its priority."""
    r, w = os.pipe()
    st = os.fstat(w)
    dray = make_dray(start=False, env={"JOURNAL_STREAM": "%d:%d" % (st.st_dev, st.st_ino)})
    dray.start(stderr=w)
    os.close(w)
    dray.stop()
    with open(r, "rb") as f:
        lines = f.read().decode().splitlines()
    assert lines and all(line.startswith("<6>ts=") or line.startswith("<4>ts=") for line in lines), lines[:3]


def test_a_terminal(make_dray):
    def first_lines(**env):
        master, slave = pty.openpty()
        dray = make_dray(start=False, conf={"log": {"format": "auto"}}, env={"TERM": "xterm", **env})
        dray.start(stderr=slave)
        os.close(slave)
        dray.stop()
        text = b""
        try:
            while select.select([master], [], [], 0)[0]:
                text += os.read(master, 65536)
        except OSError:
            pass
        os.close(master)
        return text.decode().splitlines()
    coloured, plain = first_lines(), first_lines(NO_COLOR="1")
    assert re.match(r"\x1b\[2m\d\d:\d\d:\d\d\.\d{3}\x1b\[0m \x1b\[32mINFO \x1b\[0m master      \x1b\[1mstart\x1b\[0m  version=",
                    coloured[0])
    assert re.match(r"\d\d:\d\d:\d\d\.\d{3} INFO  master      start  version=", plain[0])
    assert any(re.search(r" INFO  delivery\.0  \w+", line) for line in plain)


def test_rotation_loses_no_line(make_dray, tmp_path):
    """Moved away and USR1, again and again while lines come: each stands in exactly one of the files."""
    path = tmp_path / "log"
    dray = make_dray(conf={"log": {"output": "file:%s" % path}})
    for n in range(5):
        for k in range(20):
            dray.control({"verb": "level", "level": "info", "kind": "console", "slot": 100 * n + k, "for_ms": 1})
            if k == 10:
                os.rename(path, "%s.%d" % (path, n))
                os.kill(dray.pid, signal.SIGUSR1)
        time.sleep(1.1)  # their time is over: a place for the next ones
        wait_for(lambda: os.path.exists(path), 5)
    assert dray.stop() == 0
    files = [logs.Log("%s.%d" % (path, n)) for n in range(5)] + [logs.Log(str(path))]
    assert all(f.lines() for f in files) and not any(f.bad_lines() for f in files)
    assert sum(len(f.records("level", of="console", for_ms=1)) for f in files) == 100
    assert not any(f.records("log_dropped") for f in files)


def test_output_and_format_change_at_reload(make_dray, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    dray = make_dray(conf={"log": {"output": "file:%s" % one}})
    pids = {p["pid"] for p in dray.processes()}
    dray.write_config({"log": {"output": "file:%s" % two, "format": "json"}})
    assert dray.cli("reload").returncode == 0
    dray.wait_all_up()
    dray.kill("console", 0)
    wait_for(lambda: "child_died" in logs.Log(str(two)).text(), 5)
    for line in two.read_text().splitlines():
        assert json.loads(line)["kind"]
    assert logs.Log(str(one)).records("running") and "child_died" not in one.read_text()
    assert dray.pid in pids
    dray.write_config({"log": {"output": "file:%s/no/such/folder" % tmp_path}})
    assert dray.cli("reload").returncode == 77
    wait_for(lambda: "reload_refused" in two.read_text() and "no/such/folder" in two.read_text(), 5)


def test_levels_at_run_time(make_dray):
    dray = make_dray(conf={"log": {"level": "warn"}})

    def levels():
        return {(r["kind"], r["slot"]): r["level"] for r in dray.status()["log"]["levels"]}

    def heard(kind, slot=0):
        return [r for r in dray.log.records(kind=kind, slot=slot) if r["level"] in ("info", "debug")]
    assert not heard("delivery") and not heard("master")
    done = dray.cli("level", "debug", "--kind", "delivery", "--slot", "0", "--for", "4s")
    assert done.returncode == 0 and re.search(r"^log.level is warn\ndelivery\.0: debug, for [34]\.\ds more$", done.stdout, re.M)
    assert levels() == {("delivery", 0): "debug"}
    assert dray.cli("level", "info", "--kind", "master").returncode == 0
    old = dray.kill("delivery", 0)
    dray.wait_replaced("delivery", 0, old)
    wait_for(lambda: heard("delivery"), 5, "its successor has learned it")
    assert heard("master") and not heard("delivery", 1) and not heard("console")
    wait_for(lambda: ("delivery", 0) not in levels(), 10, "its time is over")
    assert dray.log.records("level", of="delivery", to="warn")
    assert dray.cli("level", "file").returncode == 0 and levels() == {}
    assert dray.cli("level", "debug").returncode == 0
    assert dray.cli("reload").returncode == 0
    wait_for(lambda: levels() == {}, 5, "a reload goes back to the file's")
    assert dray.log.records("level", why="reload")
    for words in (["loud"], ["info", "--kind", "nobody"], ["info", "--slot", "1"], ["--for", "5m"], ["info", "--for", "soon"]):
        wrong = dray.cli("level", *words)
        assert wrong.returncode == 64 and wrong.stderr.startswith("dray"), words
    dray.wait_all_up()


def test_the_last_errors_are_kept(make_dray, sink):
    dray = make_dray()
    for _ in range(3):
        before = open(dray.config_path).read()
        with open(dray.config_path, "a") as f:
            f.write("nonsense: 1\n")
        assert dray.control({"verb": "reload"})["ok"] is False
        with open(dray.config_path, "w") as f:
            f.write(before)
        dray.wait_all_up()
    errors = dray.status()["errors"]
    assert errors and errors[0]["event"] == "reload_refused" and errors[0]["kind"] == "master"
    assert [e["ms_ago"] for e in errors] == sorted(e["ms_ago"] for e in errors)
    page = dray.cli("status").stdout
    assert re.search(r"ago +master +reload_refused .*nonsense", page), page
    old = dray.kill("console", 0)
    dray.wait_replaced("console", 0, old)
    assert [w["count"] for w in dray.status()["warnings"] if w["event"] == "child_died"] == [1]
