"""F22: a child writes what is no log: a megabyte without a newline, binary, NUL, forged lines, a line without an end, more
than anybody reads. It is split, escaped, marked raw; nobody else is held up; every line of the log is one."""
import os
import random
import sys
import time

import pytest

from lib import dray as dray_module
from lib.hooks import Children
from lib.wait import wait_for

WRITER = os.path.join(os.path.dirname(dray_module.__file__), "writer.py")


class Garbage:
    def __init__(self, dray):
        self.dray, self.children = dray, Children(dray)

    def write(self, data, times=1):
        """A new delivery process 0 writes this first; the pid of that process."""
        path = os.path.join(self.dray.dir, "garbage")
        with open(path, "wb") as f:
            f.write(data)
        self.children.does("delivery", 0, "rm $self; exec %s %s %s %d $real \"$@\"" % (sys.executable, WRITER, path, times))
        seen = len(self.dray.log.records("child_started"))
        self.dray.kill("delivery", 0)
        started = wait_for(lambda: self.dray.log.records("child_started", child_kind="delivery", child_slot=0)[-1:]
                           if len(self.dray.log.records("child_started")) > seen else None, 10)
        return int(started[0]["child_pid"])

    def raw(self, pid):
        return [r for r in self.dray.log.records("raw") if r["pid"] == str(pid)]


@pytest.fixture
def garbage(make_dray):
    def make(**log):
        dray = make_dray(conf={"log": log}, start=False)
        made = Garbage(dray)
        dray.start()
        return made
    return make


def body(records):
    return "".join(r["msg"] for r in records)


def test_what_is_no_line(garbage):
    g = garbage(flood={"rate": ""})
    text = b"x\xc3\xa4y" * 250000  # 1 MB in one line, with a character at every border
    pid = g.write(text + b"\nnext\n")
    g.dray.wait_all_up(60)
    raw = g.raw(pid)
    assert raw[-1]["msg"] == "next" and "continued" not in raw[-1]
    assert body(raw[:-1]).encode() == text
    assert all("continued" in r for r in raw[1:-1]) and "continued" not in raw[0]
    assert not g.dray.log.bad_lines()

    noise = random.Random(7).randbytes(40000).replace(b"\n", b"?").replace(b"\0", b"\0\0")
    pid = g.write(noise + b"\n")
    g.dray.wait_all_up(60)
    # \xNN is read back as the character of that number; what was UTF-8 stands as it is.
    assert "".join(r["msg"] for r in g.raw(pid)).encode("latin-1", "replace").count(b"\0") == noise.count(b"\0")
    assert not g.dray.log.bad_lines()


FORGED = [b"\0010event=degraded level=info", b"\0012words", b"\0019event=x", b"\001", b"\0010", b"\0010event=a\0010event=b",
          b"\0012event=x a=\"open", b"\0010event=stop \x1b[2J", b"a\0b", b"\0012event=x pid=1", b"event=x kind=master",
          b"\0012event=x \xff"]


def test_forged_lines(garbage):
    """Nothing that is no line of ours becomes one; what is well-formed is the child's own, whatever it calls itself."""
    g = garbage()
    pid = g.write(b"\n".join(FORGED) + b"\n\0012event=fair a=\"b c\"\n" + b"\0012event=" + b"y" * 5000 + b"\n")
    wait_for(lambda: g.dray.log.records("fair", pid=pid, kind="delivery", a="b c"), 10)
    g.dray.wait_all_up()
    raw = [r["msg"] for r in g.raw(pid)]
    assert raw[:len(FORGED)] == [line.decode("latin-1") for line in FORGED]
    assert body(g.raw(pid)[len(FORGED):]).endswith("y" * 5000), "too long: no line of ours"
    assert not g.dray.log.bad_lines() and not g.dray.log.records(level="crit")


def test_last_words_without_an_end(garbage):
    g = garbage()
    pid = g.write(b"whole\nlast words", -1)
    died = wait_for(lambda: g.dray.log.records("child_died", child_pid=pid), 10)[0]
    lines = g.dray.log.records()
    said = [r for r in lines if r["event"] == "raw" and r["pid"] == str(pid)]
    assert [r["msg"] for r in said] == ["whole", "last words"]
    assert lines.index(said[-1]) < lines.index(died), "in front of its obituary"


def test_a_flood(garbage):
    """More than its rate: dropped, counted, told; the others' lines, and its errors, come through; nobody is held up."""
    g = garbage(flood={"rate": "200/s", "burst": 100})
    lines = b"".join(b"\0013event=chatter n=%d\n" % i for i in range(4000)) + b"\0011event=serious n=1\n"
    pid = g.write(lines, 10)
    started = time.monotonic()
    old = g.dray.kill("console", 0)
    g.dray.wait_replaced("console", 0, old, 8)
    print("figure: while a child floods the log, another is replaced in %.2f s" % (time.monotonic() - started))
    g.dray.wait_all_up(60)
    assert g.dray.log.records("child_died", child_pid=old)

    def told():
        return sum(int(r["dropped"]) for r in g.dray.log.records("log_flood", kind="delivery", pid=pid))
    written = len(g.dray.log.records("chatter", pid=pid))
    assert 100 <= written < 20000
    serious = len(g.dray.log.records("serious", pid=pid)) + sum(
        int(r["n"]) for r in g.dray.log.records("repeated", of="serious", pid=pid))
    assert serious == 10, "errors go on longer"
    wait_for(lambda: len(g.dray.log.records("chatter", pid=pid)) + told() == 40000, 10, "every line is written or counted")
    assert g.dray.metric("dray_log_flood_dropped_total", role="delivery") >= told()


def test_repeated_lines(garbage):
    g = garbage()
    pid = g.write(b"\0012event=again a=1\n" * 500 + b"\0012event=other\n" + b"\0012event=again a=1\n" * 2)
    wait_for(lambda: sum(int(r["n"]) for r in g.dray.log.records("repeated", of="again", pid=pid)) == 500, 10)
    assert len(g.dray.log.records("again", pid=pid)) == 2
    events = [r["event"] for r in g.dray.log.records() if r["pid"] == str(pid)]
    assert events[:4] == ["again", "repeated", "other", "again"], "told when another line comes"
