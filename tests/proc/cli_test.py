"""The command line: help, checks, what the verbs say and return, and the demo."""
import json
import os
import re
import signal
import subprocess
import sys

import pytest

from lib.hooks import Children
from lib.wait import wait_for

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def verbs():
    with open(os.path.join(ROOT, "master/cli/cli.c")) as f:
        return re.findall(r'^    \{"(\w+)", \w+_main,', f.read(), re.M)


@pytest.mark.parametrize("verb", verbs())
def test_every_verb_has_help(make_dray, verb):
    dray = make_dray(start=False)
    for words in ((verb, "--help"), ("help", verb), (verb, "-h")):
        result = dray.run_verb(*words)
        assert result.returncode == 0 and result.stderr == ""
        assert result.stdout.startswith("usage: dray")
    if verb != "help":
        assert "--help" in result.stdout and "dray " + verb in result.stdout


def test_the_list_of_verbs(make_dray):
    dray = make_dray(start=False)
    assert all("\n  %s" % v in dray.run_verb("help").stdout for v in verbs())
    assert dray.run_verb("--help").stdout == dray.run_verb("help").stdout
    result = dray.run_verb()
    assert result.returncode == 64 and result.stdout == "" and "usage:" in result.stderr


def test_version(make_dray):
    dray = make_dray(start=False)
    text = dray.run_verb("version").stdout
    assert re.fullmatch(r"dray \d+\.\d+\.\d+\n", text)
    assert dray.run_verb("--version").stdout == dray.run_verb("-V").stdout == text
    assert json.loads(dray.run_verb("version", "-o", "json").stdout) == {"version": text.split()[1]}


@pytest.mark.parametrize("words, hint", [
    (["stauts"], "did you mean status?"), (["scale"], "a kind and a number"), (["scale", "delivery"], "a kind"),
    (["scale", "delivery", "two"], "two"), (["scale", "delivery", "1", "2"], "one word too many"),
    (["stop", "--timeout", "soon"], "30s"), (["help", "nothing"], "no such verb"), (["status", "-o", "xml"], "json"),
    (["run", "--set"], "dray run: --set needs a value"), (["run", "-c"], "dray run: -c needs a value"),
    (["status", "--bogus"], "dray status: --bogus is no option here"), (["send", "-x"], "dray send: -x is no option here"),
    (["--bogus"], "dray: --bogus is no option here"), (["stop", "--now=1"], "--now=1 is no option here"),
    (["scale", "delivery", "-1x"], "-1x is not a number"), (["scale", "-1"], "a kind and a number"), (["version", "2"], "one word too many"),
    (["queue", "ls", "x"], "one word too many: x"), (["queue", "show"], "a queue's name or a job's id"),
    (["queue", "list"], "not list"), (["help", "--bogus"], "no such verb"),
])
def test_wrong_words(make_dray, words, hint):
    result = make_dray(start=False).run_verb(*words)
    assert result.returncode == 64 and result.stdout == "" and hint in result.stderr
    assert result.stderr.count("\n") == 1 and result.stderr.startswith("dray")


@pytest.mark.parametrize("verb", [["status"], ["scale", "delivery", "1"], ["restart"], ["reload"], ["stop"]])
def test_nothing_runs(make_dray, verb):
    dray = make_dray(start=False)
    for result in (dray.cli(*verb), dray.run_verb(*verb, "-s", os.path.join(dray.dir, "none.sock"))):
        assert result.returncode == 3 and result.stdout == ""
        assert result.stderr.count("\n") == 1 and "not running" in result.stderr


def test_check_prints_what_would_run(make_dray):
    dray = make_dray(conf={"sources": [{"id": "web", "write_key": "very-secret"}]}, start=False)
    result = dray.cli("check")
    assert result.returncode == 0 and result.stdout.count("\n") == 1
    assert dray.ingest in result.stdout and "2 delivery" in result.stdout and "1 destination;" in result.stdout
    answer = json.loads(dray.cli("check", "-o", "json").stdout)
    assert answer["ok"] and answer["code"] == 0 and answer["errors"] == []
    assert answer["config"]["ingest"]["listeners"][0]["address"] == dray.ingest
    assert "very-secret" not in dray.cli("check", "-o", "json").stdout
    answer = dray.cli("check", "-o", "json", "--set", "delivery.concurency=3")
    assert answer.returncode == 78
    answer = json.loads(answer.stdout)
    assert not answer["ok"] and answer["code"] == 78 and "concurrency" in answer["errors"][0]


def test_status_scale_restart_reload_stop(dray):
    page = dray.cli("status").stdout
    assert page.startswith("dray ") and dray.ingest in page and "\nmaster " in page and "\nsink " in page
    answer = json.loads(dray.run_verb("status", "-s", dray.control_path, "-o", "json").stdout)
    assert {"version", "state", "uptime_ms", "processes", "ingest", "queues"} <= set(answer)
    for p in answer["processes"]:
        assert {"kind", "slot", "generation", "pid", "state", "uptime_ms", "restarts", "rss_bytes",
                "loop_lag_ms"} <= set(p)
        assert p["state"] in ("idle", "boot", "up", "drain", "kill", "wait", "fail")

    for word, want, by in (("3", 3, "hand"), ("+1", 4, "hand"), ("-3", 1, "hand"), ("auto", 2, "configuration")):
        result = dray.cli("scale", "delivery", word)
        assert (result.returncode, result.stdout) == (0, "delivery: %d up\n" % want), result
        entry = next(e for e in dray.status()["scale"] if e["kind"] == "delivery")
        assert (entry["wanted"], entry["configured"], entry["up"], entry["present"], entry["by"]) == (want, 2, want, want, by)
        assert len(dray.processes("delivery", "up")) == len(dray.processes("delivery")) == want
    assert dray.cli("scale", "delivery", "1", "--no-wait").stdout == "delivery: 1 wanted\n"
    wait_for(lambda: len(dray.processes("delivery")) == 1, 15)
    for words in (("delivery", "65"), ("delivery", "0"), ("delivery", "-1"), ("nothing", "1"), ("program", "2"), ("console", "+1")):
        assert dray.cli("scale", *words).returncode == 64, words

    old = dray.pid_of("ingest")
    assert dray.cli("restart", "ingest").returncode == 0
    dray.wait_replaced("ingest", 0, old)
    with open(dray.config_path, "a") as f:
        f.write("nonsense: 1\n")
    result = dray.cli("reload", "-s", dray.control_path)
    assert result.returncode == 78 and "nonsense" in result.stderr and result.stdout == ""
    dray.write_config({"delivery": {"concurrency": 7}})
    assert dray.cli("reload").returncode == 0
    result = dray.cli("stop")
    assert result.returncode == 0 and result.stdout.startswith("stopped in ")
    assert dray.wait_exit(1) == 0, "stop returns when it is gone"


def test_status_says_what_a_process_is_doing(make_dray):
    dray = make_dray(start=False)
    children = Children(dray)
    children.does("delivery", 1, "rm $self; exec %s %s 20000 5 $real \"$@\"" % (
        sys.executable, os.path.join(ROOT, "tests/lib/late_child.py")))
    dray.start(wait=False)
    text = "late, for \N{HOURGLASS} a test"

    def doing():
        return {(p["kind"], p["slot"]): p.get("doing") for p in dray.status()["processes"]}
    wait_for(lambda: dray.cli("status").returncode == 0 and doing().get(("delivery", 1)) == text, 20)
    assert "\nDOING\ndelivery.1: %s\n" % text in dray.cli("status").stdout
    assert doing()["delivery", 0] == ""
    dray.kill("delivery", 1)
    dray.wait_all_up(20)
    assert doing()["delivery", 1] == "" and "DOING" not in dray.cli("status").stdout


def test_stop_says_when_it_takes_too_long(dray, sink):
    sink.behave(hang=True)
    with dray.client() as c:
        assert c.post("/v1/track", {"userId": "u", "event": "E"}).status == 200
    wait_for(lambda: dray.queue_counts()["active"] == 1, 10)
    result = dray.cli("stop", "--timeout", "200ms")
    assert result.returncode == 1 and str(dray.pid) in result.stderr
    result = dray.cli("stop", "--now", "-o", "json")
    assert result.returncode == 0 and json.loads(result.stdout)["ok"]
    assert dray.wait_exit(1) == 0


def test_run_without_a_file(make_dray, sink):
    """Relative folders, as they are by default, and a destination from --to."""
    dray = make_dray(start=False)
    dray.run_dir, dray.state_dir = os.path.join(dray.dir, "var/run"), os.path.join(dray.dir, "var/lib")
    with open(dray.log.path, "ab") as log:
        dray.process = subprocess.Popen(
            [dray.binary, "run", "--to", sink.url, "--set", "console.address=" + dray.console,
             "--set", "ingest.listeners=[{id: a, address: \"%s\"}]" % dray.ingest],
            cwd=dray.dir, env=dray.environment(), stdin=subprocess.DEVNULL, stderr=log, start_new_session=True)
    dray.wait_ready()
    dray.key = "dev"
    with dray.client() as c:
        assert c.post("/v1/track", {"userId": "u", "event": "E", "messageId": "m1"}).status == 200
    wait_for(lambda: "m1" in sink.ids(), 10)
    assert dray.run_verb("status").returncode == 0


def demo(build, variant, tmp_path, *words):
    return subprocess.Popen([os.path.join(build, variant, "dray"), "demo", *words], env={**os.environ, "TMPDIR": str(tmp_path)},
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("variant", ["asan", "release"])
def test_demo(build, tmp_path, variant):
    p = demo(build, variant, tmp_path, "-o", "json")
    out, err = p.communicate(timeout=60)
    assert (p.returncode, err) == (0, "")
    answer = json.loads(out)
    assert (answer["sent"], answer["acknowledged"], answer["delivered"], answer["lost"]) == (1000, 1000, 1000, 0)
    assert os.listdir(tmp_path) == []


def test_demo_shows_a_table(build, tmp_path):
    p = demo(build, "release", tmp_path)
    out, err = p.communicate(timeout=60)
    assert (p.returncode, err) == (0, "")
    assert re.search(r"acknowledged +1000\n +delivered +1000\n +duplicates +\d+\n +lost +0\n", out)
    assert "was killed with -9" in out and re.search(r"http://127\.0\.0\.1:\d+/v1/track", out)
    assert os.listdir(tmp_path) == []


def test_demo_without_redis_server(build, tmp_path):
    p = subprocess.Popen([os.path.join(build, "release", "dray"), "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         text=True, env={"PATH": "/nonexistent", "TMPDIR": str(tmp_path)})
    _, err = p.communicate(timeout=60)
    assert p.returncode == 127 and "apt-get install redis-server" in err
    assert os.listdir(tmp_path) == []


def test_demo_interrupted(build, tmp_path):
    p = demo(build, "release", tmp_path)
    wait_for(lambda: os.listdir(tmp_path), 10)
    p.send_signal(signal.SIGINT)
    p.communicate(timeout=60)
    assert os.listdir(tmp_path) == []
