"""F26: reloads at every wrong moment and of every wrong file. Nothing is lost, nobody is refused, and what is in force is told
truthfully for each process; a configuration that only a child can refuse is taken back whole."""
import json
import os
import signal
import socket
import subprocess
import threading

import pytest

from lib.client import Client, Load
from lib.hooks import Children
from lib.wait import stays, wait_for


def reload(dray, *words):
    return dray.cli("reload", *words, seconds=60)


def answer(dray, *words):
    """(exit code, the JSON)"""
    result = reload(dray, "-o", "json", *words)
    return result.returncode, json.loads(result.stdout)


def epochs(dray, kind=None):
    return {p["epoch"] for p in dray.processes(kind) if p["kind"] != "master" and p["state"] == "up"}


def pids(dray):
    return {(p["kind"], p["slot"]): p["pid"] for p in dray.processes() if p["state"] != "drain"}


def last(dray):
    return dray.status()["reload"].get("last", {})


def at_rest(dray):
    return not dray.status()["reload"]["under_way"] and not dray.status()["reload"]["pending"]


# ---- the three classes

def test_each_key_by_its_class(dray, sink):
    before = pids(dray)
    code, a = answer(dray)
    assert (code, a["result"], a["epoch"]) == (0, "unchanged", 1)
    assert pids(dray) == before and "nothing has changed" in reload(dray).stdout

    dray.write_config({"delivery": {"concurrency": 9}, "log": {"level": "debug"}, "master": {"drain": "9s"},
                       "sources": [{"id": "web", "write_key": dray.key}, {"id": "app", "write_key": "APP"}]})
    code, a = answer(dray)
    assert (code, a["result"], a["epoch"], a["kinds"], a["roll"]) == (0, "done", 2, [], [])
    assert sorted(a["live"]) == ["delivery.concurrency", "log.level", "master.drain", "sources"]
    assert pids(dray) == before and epochs(dray) == {2}
    with Client(dray.ingest, "APP", timeout=5) as c:
        assert c.post("/v1/batch", b'{"batch":[]}').status == 400, "the new source is known"

    dray.write_config({"delivery": {"response_store": 100}, "log": {"level": "info"}})
    code, a = answer(dray)
    assert (code, a["kinds"], a["roll"], a["live"]) == (0, ["delivery"], ["delivery.response_store"], ["log.level"])
    now = pids(dray)
    assert {k for k in before if now.get(k) != before[k]} == {("delivery", 0), ("delivery", 1)}
    assert epochs(dray) == {3}

    dray.write_config({"node": {"name": "other"}, "queue": {"partitions": 8, "max_attempts": 3}})
    code, a = answer(dray)
    assert (code, sorted(a["restart"]), a["live"], a["epoch"]) == (
        0, ["node.name", "queue.partitions"], ["queue.max_attempts"], 4)
    assert "node.name" in reload(dray).stderr and dray.status()["name"] == "dray"
    assert dray.control({"verb": "config"})["config"]["queue"]["partitions"] == 16

    wait_for(lambda: dray.metric("dray_config_epoch") == 4, 5)
    wait_for(lambda: dray.metric("dray_config_reloads_total", result="done") == 3, 5)
    assert dray.metric("dray_config_last_reload_success_timestamp_seconds") > 1e9
    assert [r["epoch"] for r in dray.log.records("reload_done")] == ["2", "3", "4"]


def test_a_dry_run_does_nothing(dray):
    before = pids(dray)
    assert "nothing would change" in reload(dray, "--dry-run").stdout
    dray.write_config({"delivery": {"response_store": 100, "concurrency": 3}, "node": {"name": "x"},
                       "sources": [{"id": "web", "write_key": "never-shown"}]})
    result = reload(dray, "--dry-run")
    assert result.returncode == 0
    assert "live     delivery.concurrency: 64 -> 3\n" in result.stdout
    assert "roll     delivery.response_store: " in result.stdout and "(replaces delivery)" in result.stdout
    assert "restart  node.name: dray -> x\n" in result.stdout and "never-shown" not in result.stdout
    code, a = answer(dray, "--dry-run")
    assert code == 0 and {c["key"]: c["apply"] for c in a["changes"]} == {
        "delivery.concurrency": "live", "delivery.response_store": "roll", "node.name": "restart",
        "sources.web.write_key": "live"}
    assert pids(dray) == before and epochs(dray) == {1} and not dray.log.records("reload")
    dray.write_config({"delivery": {"concurrency": 0}})
    assert reload(dray, "--dry-run", "-s", dray.control_path).returncode == 78


# ---- files that are wrong

def test_a_bad_file_changes_nothing(dray):
    before = pids(dray)
    good = open(dray.config_path).read()

    def refused(what, code=78):
        result = reload(dray, "-s", dray.control_path)
        assert result.returncode == code and what in result.stderr, result
        assert (last(dray)["result"], dray.status()["epoch"]) == ("refused", 1)
    with open(dray.config_path, "a") as f:
        f.write("nonsense: 1\n")
    line = good.count("\n") + 1
    refused("%s:%d:1: nonsense" % (dray.config_path, line))
    os.kill(dray.pid, signal.SIGHUP)
    wait_for(lambda: dray.status()["reload"]["count"]["refused"] == 2, 10)
    os.unlink(dray.config_path)
    refused("cannot read the configuration: No such file")
    os.mkdir(dray.config_path)
    refused("cannot read the configuration")
    os.rmdir(dray.config_path)
    with open(dray.config_path, "wb") as f:
        f.write(b"\0\xff" * 1000)
    refused(dray.config_path)
    with open(dray.config_path, "w") as f:
        f.write(good)
    os.truncate(dray.config_path, len(good) // 2)
    reload(dray, "-s", dray.control_path)  # half a file may be whole, by its form
    with open(dray.config_path, "w") as f:
        f.write(good)
    assert reload(dray).returncode == 0
    wait_for(lambda: dray.metric("dray_config_reloads_total", result="refused") >= 5, 5)
    assert all(p["state"] == "up" for p in dray.processes()) and len(pids(dray)) == len(before)


def test_what_only_the_child_can_refuse_is_taken_back(make_dray, sink, ledger):
    """A redis-server that is not there: the running one must stop first, so going back starts the old one again."""
    dray = make_dray()
    dray.expect("slot_failed", "redis_binary_missing")
    Load(dray, ledger, events=100, clients=2).start().join()
    dray.write_config({"redis": {"managed": {"binary": "/no/such/redis-server"}}, "queue": {"max_attempts": 7}})
    code, a = answer(dray)
    assert a["result"] == "failed" and code == a["code"] and code in (78, 127)
    assert "program.0" in a["error"] and a["epoch"] == 1
    assert epochs(dray) == {1} and all(p["state"] == "up" for p in dray.processes())
    assert dray.control({"verb": "config"})["config"]["queue"]["max_attempts"] == 10
    Load(dray, ledger, events=100, clients=2, seed="after").start().join()
    ledger.settle(20)
    dray.kill("delivery", 0)  # who dies later starts with what works
    dray.wait_all_up()
    assert epochs(dray) == {1}
    dray.write_config({"redis": {"managed": {"binary": "redis-server"}}})
    code, a = answer(dray)
    assert (code, a["epoch"]) == (0, 3), "a number is never given twice"


def test_those_already_replaced_go_back(make_dray, sink, ledger):
    """The second delivery process cannot start with the new one: the first, which has it already, is replaced again."""
    dray = make_dray(start=False)
    children = Children(dray)
    dray.start()
    dray.expect("slot_failed")
    load = Load(dray, ledger, clients=3).start()
    wait_for(lambda: len(ledger.acked) > 50, 20)
    old = pids(dray)
    children.does("delivery", 1, "rm $self; exit 78")
    dray.write_config({"delivery": {"response_store": 100}, "ingest": {"flush_at": 50}, "log": {"level": "debug"}})
    code, a = answer(dray)
    assert (code, a["result"], a["epoch"]) == (78, "failed", 1) and "delivery.1" in a["error"]
    assert epochs(dray) == {1}
    now = pids(dray)
    assert now["delivery", 1] == old["delivery", 1], "it never made room"
    assert now["delivery", 0] != old["delivery", 0] and now["ingest", 0] == old["ingest", 0]
    assert dray.status()["reload"]["last"]["result"] == "failed"
    code, a = answer(dray)
    assert (code, a["result"], a["epoch"]) == (0, "done", 3) and epochs(dray) == {3}
    load.stop()
    ledger.settle(20)
    assert load.counts == {} and ledger.duplicates() == {}


def test_who_cannot_go_back_is_told(make_dray, sink):
    """The old configuration does not come up again either: nothing is tried for ever, and status tells who has which."""
    dray = make_dray(start=False)
    children = Children(dray)
    dray.start()
    dray.expect("slot_failed", "reload_not_undone")
    children.does("delivery", 1, "exit 78")
    dray.write_config({"delivery": {"response_store": 100}})
    children.does("delivery", 0, "echo x >> $self.n; [ $(wc -l < $self.n) -gt 1 ] && exit 78")
    code, a = answer(dray)
    assert (code, a["result"], a["epoch"]) == (78, "failed", 1)
    assert {p["slot"]: p["epoch"] for p in dray.processes("delivery", "up")} == {0: 2, 1: 1}
    children.does("delivery", 0)
    children.does("delivery", 1)
    code, a = answer(dray)
    assert (code, a["epoch"]) == (0, 3) and epochs(dray) == {3}


# ---- at the wrong moment

def test_a_hundred_at_once(dray, sink, ledger):
    load = Load(dray, ledger, clients=2).start()
    before = pids(dray)
    for n in range(100):
        dray.write_config({"delivery": {"concurrency": 10 + n}})
        os.kill(dray.pid, signal.SIGHUP)
    wait_for(lambda: dray.control({"verb": "config"})["config"]["delivery"]["concurrency"] == 109 and at_rest(dray), 20)
    assert reload(dray).returncode == 0 and last(dray)["result"] == "unchanged"
    assert pids(dray) == before and epochs(dray) == {dray.status()["epoch"]}
    for n in range(100):
        os.kill(dray.pid, signal.SIGHUP)
    wait_for(lambda: at_rest(dray), 20)
    load.stop()
    ledger.settle(20)
    assert load.counts == {} and ledger.duplicates() == {}


def test_asked_during_a_reload_the_latest_file_wins(make_dray, sink):
    dray = make_dray(start=False)
    children = Children(dray)
    dray.start()
    children.does("delivery", 0, "rm $self; sleep 1.5")
    dray.write_config({"delivery": {"response_store": 1}})
    assert reload(dray, "--no-wait").returncode == 0
    wait_for(lambda: dray.status()["reload"]["under_way"], 5)
    assert reload(dray, "--timeout", "100ms").returncode == 75
    answers = []
    threads = []
    for n in range(2, 5):
        dray.write_config({"delivery": {"response_store": n}})
        threads.append(threading.Thread(target=lambda: answers.append(answer(dray))))
        threads[-1].start()
        os.kill(dray.pid, signal.SIGHUP)
    with socket.socket(socket.AF_UNIX) as s:  # one that does not wait for its answer
        s.connect(dray.control_path)
        s.sendall(b'{"verb":"reload"}\n')
    for t in threads:
        t.join(30)
    assert [code for code, _ in answers] == [0, 0, 0]
    assert dray.control({"verb": "config"})["config"]["delivery"]["response_store"] == "4B"
    assert dray.status()["epoch"] == 3 and epochs(dray) == {3}, "all who asked meanwhile were served by one"
    assert dray.log.records("reload_deferred")


def test_while_it_starts(make_dray, sink):
    dray = make_dray(start=False)
    children = Children(dray)
    children.does("delivery", 0, "rm $self; sleep 1.5")
    dray.start(wait=False)
    wait_for(lambda: os.path.exists(dray.control_path) and dray.status()["processes"], 10)
    dray.write_config({"delivery": {"response_store": 7}})
    code, a = answer(dray)
    assert (code, a["result"], a["epoch"]) == (0, "done", 2)
    assert dray.status()["state"] == "ok" and epochs(dray) == {2}


def test_a_start_that_does_not_get_on_is_mended(make_dray, sink):
    """The child dies whenever it starts: waiting for it to be up first would be waiting for ever."""
    dray = make_dray(conf={"delivery": {"concurrency": 5}}, start=False)
    children = Children(dray)
    children.does("delivery", 0, "exit 71")
    dray.start(wait=False)
    wait_for(lambda: os.path.exists(dray.control_path) and any(
        p["state"] == "wait" for p in dray.processes("delivery")), 20)
    dray.write_config({"delivery": {"concurrency": 6}})
    children.does("delivery", 0)
    code, a = answer(dray)
    assert (code, a["result"]) == (0, "done")
    wait_for(lambda: dray.status()["state"] == "ok", 20)
    assert epochs(dray) == {2} and dray.control({"verb": "config"})["config"]["delivery"]["concurrency"] == 6


def test_while_it_stops(make_dray, sink, ledger):
    dray = make_dray()
    sink.behave(hang=True)
    Load(dray, ledger, events=10, clients=1).start().join()
    wait_for(lambda: len(sink.requests) > 0, 10)
    children = subprocess.Popen([dray.binary, "stop", "-s", dray.control_path], stdout=subprocess.DEVNULL)
    wait_for(lambda: dray.status()["state"] == "stopping", 10)
    result = reload(dray)
    assert result.returncode == 75 and "stopping" in result.stderr
    os.kill(dray.pid, signal.SIGHUP)
    sink.release()
    sink.behave()
    assert children.wait(30) == 0
    assert dray.wait_exit(5) == 0


def test_stopped_while_somebody_waits(make_dray, sink):
    dray = make_dray(start=False)
    children = Children(dray)
    dray.start()
    children.does("delivery", 0, "rm $self; exec sleep 5")
    dray.write_config({"delivery": {"response_store": 9}})
    found = []
    waiting = threading.Thread(target=lambda: found.append(reload(dray)))
    waiting.start()
    wait_for(lambda: dray.status()["reload"]["under_way"], 5)
    os.kill(dray.pid, signal.SIGTERM)
    waiting.join(20)
    assert found[0].returncode == 75 and "is stopping" in found[0].stderr
    assert dray.wait_exit(20) == 0


def test_a_child_that_dies_meanwhile_starts_with_the_new_one(dray, sink):
    dray.write_config({"delivery": {"response_store": 3}})
    assert reload(dray, "--no-wait").returncode == 0
    wait_for(lambda: dray.status()["reload"]["under_way"], 5)
    for kind in ("ingest", "console"):
        dray.kill(kind)
    wait_for(lambda: at_rest(dray), 20)
    assert last(dray)["result"] == "done" and epochs(dray) == {2}


# ---- listeners

def test_listeners_come_and_go(make_dray, sink, ledger):
    dray = make_dray()
    port = dray.host + ":8081"
    path = os.path.join(dray.dir, "run", "in.sock")
    load = Load(dray, ledger, clients=3).start()
    public = {"id": "public", "address": dray.ingest}

    def post(address):
        try:
            with Client(address, dray.key, timeout=5) as c:
                return c.post("/v1/batch", b'{"batch":[]}').status
        except OSError:
            return None
    assert post(port) is None
    fds = dray.fd_baseline()
    dray.write_config({"ingest": {"listeners": [{"id": "more", "address": port}, public,
                                                {"id": "local", "address": "unix:" + path, "mode": "0600"}]}})
    code, a = answer(dray)
    assert (code, a["kinds"], a["roll"]) == (0, ["ingest"], ["ingest.listeners"])
    assert post(port) == 400 and os.stat(path).st_mode & 0o777 == 0o600

    dray.write_config({"ingest": {"listeners": [public, {"id": "local", "address": "unix:" + path, "mode": "0666"}]}})
    assert answer(dray)[0] == 0
    wait_for(lambda: post(port) is None, 20, "closed with the last that had it")
    assert os.stat(path).st_mode & 0o777 == 0o666

    with socket.create_server((dray.host, 8082)):
        dray.write_config({"ingest": {"listeners": [public, {"id": "taken", "address": dray.host + ":8082"}]}})
        code, a = answer(dray)
    assert code == 77 and a["result"] == "refused" and dray.host + ":8082" in a["error"]
    assert os.path.exists(path) and epochs(dray) == {3}

    dray.write_config({"ingest": {"listeners": [public]}, "console": {"address": dray.host + ":8091"}})
    code, a = answer(dray)
    assert (code, a["kinds"]) == (0, ["console", "ingest"]) and not os.path.exists(path)
    dray.console = dray.host + ":8091"
    assert dray.get("/livez").status == 200
    load.stop()
    ledger.settle(20)
    assert load.counts == {} and ledger.duplicates() == {}
    wait_for(lambda: len(dray.processes("ingest")) == 1, 20)
    dray.check_fds()
    assert fds


def test_a_new_listener_of_a_reload_that_fails_is_closed(make_dray, sink):
    dray = make_dray(start=False)
    children = Children(dray)
    dray.start()
    dray.expect("slot_failed")
    dray.fd_baseline()
    children.does("ingest", 0, "rm $self; exit 78")
    port = dray.host + ":8081"
    dray.write_config({"ingest": {"listeners": [{"id": "public", "address": dray.ingest}, {"id": "b", "address": port}]}})
    assert answer(dray)[1]["result"] == "failed"
    with pytest.raises(OSError):
        Client(port, dray.key, timeout=2).post("/v1/batch", b"{}")
    dray.check_fds()
    with Client(dray.ingest, dray.key, timeout=5) as c:
        assert c.post("/v1/batch", b'{"batch":[]}').status == 400


# ---- under load

@pytest.mark.limit(150)
def test_ten_reloads_under_load(make_dray, sink, ledger):
    """Live and rolled keys by turns; the clients do not forgive a failed request."""
    dray = make_dray()
    load = Load(dray, ledger, clients=4, batch=5, pause=0.01).start()
    wait_for(lambda: len(ledger.acked) > 50, 20)
    for n in range(1, 11):
        dray.write_config({"delivery": {"concurrency": 20 + n, "response_store": 1000 + n // 3},
                           "queue": {"max_attempts": 5 + n}, "ingest": {"flush_at": 50 + n},
                           "log": {"level": "debug" if n % 4 == 0 else "info"}})
        if n % 5 == 0:
            dray.write_config({"ingest": {"listeners": [{"id": "public-%d" % n, "address": dray.ingest}]}})
        code, a = answer(dray)
        assert (code, a["result"], a["epoch"]) == (0, "done", n + 1) and epochs(dray) == {n + 1}
    load.stop()
    ledger.settle(20)
    print("figure: 10 reloads, %d events acknowledged" % len(ledger.acked))
    assert load.counts == {}, "no request failed"
    assert ledger.duplicates() == {}
    assert not dray.log.records("child_died")
    stays(lambda: epochs(dray) == {11}, 0.3)
