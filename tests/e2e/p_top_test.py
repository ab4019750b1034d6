"""dray top, as one who sits before it sees it."""
import json
import os
import re
import signal
import subprocess

import pytest

from lib.client import Load
from lib.outcome import wait_settled
from lib.screen import Screen
from lib.wait import wait_for

KEYS = "q quit"


@pytest.fixture
def top(house):
    def start(dray, *words, **options):
        screen = Screen([dray.binary, "top", "-c", dray.config_path, *words], cwd=dray.dir, **options)
        house.closers.append(screen.close)
        return screen
    return start


def names(lines):
    """Of the processes, from above."""
    return [m.group(1) for m in (re.match(r"(master|[a-z]+\.\d+)\b", line) for line in lines) if m]


def test_the_screen(dray, ledger, top):
    load = Load(dray, ledger, clients=2, batch=10, pause=0.02).start()
    t = top(dray, "-d", "0.3")
    t.wait(lambda lines: re.match(r"in [\d.k]+ ev/s  out [\d.k]+ ev/s", lines[1]) and not lines[1].startswith("in 0 "))
    lines = t.lines()
    assert lines[0].startswith("dray dray: ok, up ") and KEYS in lines[-1]
    assert names(lines) == ["master", "program.0", "delivery.0", "delivery.1", "spool.0", "console.0", "ingest.0"]
    assert all(len(line) <= 80 for line in lines)

    t.type("m")
    t.wait("RSSv")
    t.type("R")
    t.wait("RSS^")
    sizes = [float(re.search(r" ([\d.]+)M ", line).group(1)) for line in t.lines() if re.search(r" [\d.]+M ", line)]
    assert len(sizes) == 7 and sizes == sorted(sizes)
    t.type(">")
    t.wait("LAGv")
    t.type("<<")
    t.wait("CPU%v")
    t.type("k")
    t.wait("PROCESSv")

    t.type("/kind:del")
    t.wait("filter: kind:del_")
    t.type("\r")
    t.wait(lambda lines: names(lines) == ["delivery.0", "delivery.1"] and "filter=kind:del" in lines[-1])
    t.type("\x1b[B\x1b[B\r")  # down, down, Enter
    t.wait("generation")
    assert t.text().count("delivery.1") == 1 and "pid %d" % dray.pid_of("delivery", 1) in t.text()
    t.type("\r")
    t.wait("PROCESSv")
    t.type("\x1b")
    t.wait(lambda lines: len(names(lines)) == 7)

    t.type("u")
    t.wait(lambda lines: any(line.startswith("QUEUE") for line in lines) and any(line.startswith("sink ") for line in lines))
    old = dray.kill("console", 0)
    dray.wait_replaced("console", 0, old)
    t.type("e")
    t.wait("1 x child_died")
    t.type("?")
    t.wait("arrows, PgUp, PgDn")
    t.type("p")

    t.resize(40, 10)
    t.wait(lambda lines: len(lines) == 10 and KEYS in lines[9] and "PID" not in "".join(lines) and "STATE" in "".join(lines))
    t.type("\x1b[B" * 9)  # to the last one, which was below the screen
    t.wait(lambda lines: names(lines)[-1:] == ["ingest.0"])
    t.resize(100, 30)
    t.wait(lambda lines: len(lines) == 30 and KEYS in lines[29] and "DOING" in "".join(lines))
    load.stop()
    t.type("q")
    assert t.end() == 0 and t.is_restored()
    ledger.settle()
    wait_settled(dray)


def test_the_master_goes_and_comes_again(dray, top):
    t = top(dray, "-d", "0.3")
    t.wait(KEYS)
    assert dray.stop() == 0
    t.wait("no answer for ")
    assert "not running" in t.lines()[0] and len(names(t.lines())) == 7, "what was known last stays"
    dray.start()
    t.wait(lambda lines: lines[0].startswith("dray dray: ok, up "))
    os.kill(dray.pid, signal.SIGSTOP)
    t.wait("no answer for ")
    os.kill(dray.pid, signal.SIGCONT)
    t.wait(lambda lines: lines[0].startswith("dray dray: ok, up "))
    t.type("q")
    assert t.end() == 0


@pytest.mark.parametrize("signo", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_terminal_is_given_back(dray, top, signo):
    t = top(dray, env={"TERM": "xterm-256color"})
    t.wait(KEYS)
    assert b"\x1b[?1049h" in t.raw and not t.is_restored()
    t.process.send_signal(signo)
    assert t.end() == -signo and t.is_restored()


def test_without_colours(dray, top):
    t = top(dray, env={"TERM": "vt100", "LC_ALL": "C"})
    t.wait(KEYS)
    assert b"\x1b[32m" not in t.raw
    t.type("q")
    assert t.end() == 0
    t = top(dray, env={"NO_COLOR": "1"})
    t.wait(KEYS)
    assert b"\x1b[32m" not in t.raw
    t.type("q")
    assert t.end() == 0


def test_once(dray, ledger):
    load = Load(dray, ledger, clients=2, batch=10, pause=0.01).start()
    wait_for(lambda: len(ledger.acked) > 100, 20)
    page = dray.cli("top", "--once", "-d", "0.5").stdout
    assert names(page.splitlines()) == ["master", "program.0", "delivery.0", "delivery.1", "spool.0", "console.0", "ingest.0"]
    assert "\nsink " in page and "\x1b" not in page
    answer = json.loads(dray.cli("top", "--once", "-o", "json", "-d", "2").stdout)
    assert 1.8 < answer["rates"]["seconds"] < 8 and answer["rates"]["accepted_events"] > 0 and answer["rates"]["requests"] > 0
    assert all(p["cpu_percent"] is not None and p["cpu_ms"] >= 0 for p in answer["processes"])
    load.stop()
    ledger.settle()
    wait_settled(dray)
    wait_for(lambda: dray.status()["delivery"]["delivered_events"] >= len(ledger.acked), 5)
    assert dray.status()["ingest"]["bytes"] > 0


def test_what_it_refuses(dray, make_dray):
    for words, code, text in ((["top"], 64, "no terminal"), (["top", "-d", "x"], 64, "number of seconds"), (["top", "-o", "json"], 64, "--once"),
                              (["top", "more"], 64, "too many")):
        wrong = dray.cli(*words)
        assert wrong.returncode == code and text in wrong.stderr and wrong.stdout == "", words
    other = make_dray(start=False)
    wrong = other.cli("top", "--once")
    assert wrong.returncode == 3 and "not running" in wrong.stderr


def test_status_fits_a_terminal(dray):
    page = dray.cli("status").stdout.splitlines()
    assert len(page) <= 24 and max(len(line) for line in page) <= 80
    assert "\x1b" not in "".join(page) and "pid %d" % dray.pid in page[0]
    wide = dray.cli("status", "-o", "wide").stdout
    assert "GENERATION" in wide and "redis" in wide
    done = subprocess.run(["script", "-qec", "%s status -c %s" % (dray.binary, dray.config_path), "/dev/null"], capture_output=True,
                          text=True, cwd=dray.dir, env={**dray.environment(), "TERM": "xterm"}, stdin=subprocess.DEVNULL)
    assert "\x1b[32mok\x1b[0m" in done.stdout
