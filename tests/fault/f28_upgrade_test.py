"""F28: another program in the same pid. Under load no request fails, nothing is lost, nothing comes twice, the managed Redis goes on;
whatever is wrong with the new program, before or while it takes over, the old one goes on with the same children."""
import os
import shutil
import signal
import socket
import subprocess

import pytest

from lib import procs
from lib.events import make_events
from lib.hooks import Hooks, put
from lib.steady import Steady
from lib.wait import stays, wait_for


def install(source, path):
    """As a package does: beside it, then renamed over it."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    shutil.copy(source, path + ".new")
    os.rename(path + ".new", path)


class Instance:
    """An instance with a program file of its own, which tests may replace."""

    def __init__(self, make_dray, **options):
        self.dray = dray = make_dray(start=False, **options)
        self.built, self.next = dray.binary, dray.binary + "-next"
        self.path = os.path.join(dray.dir, "bin", "dray")
        install(self.built, self.path)
        dray.binary = self.path

    def pids(self):
        return {(p["kind"], p["slot"]): p["pid"] for p in self.dray.processes() if p["state"] != "drain"}

    def told(self):
        return self.dray.status()["upgrade"]

    def settled(self):
        s = self.dray.status()
        return not s["rolling"] and not s["upgrade"]["pending"] and s["upgrade"]["phase"] == "idle" and all(
            p["state"] == "up" for p in s["processes"])

    def wait_settled(self, seconds=40):
        wait_for(self.settled, seconds, "no upgrade and no replacement is under way")

    def upgrade(self, *words, code=0):
        done = self.dray.cli("upgrade", *words, seconds=60)
        assert done.returncode == code, done
        return done


def runs(pid, path):
    """Is the file at this path what that process executes?"""
    a, b = os.stat("/proc/%d/exe" % pid), os.stat(path)
    return (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)


def test_under_load(make_dray, sink, ledger):
    i = Instance(make_dray)
    dray = i.dray.start()
    steady = Steady(dray, ledger, per_second=100).start()
    wait_for(lambda: len(ledger.acked) > 100, 20)
    before, redis = i.pids(), dray.redis_pid()
    install(i.next, i.path)
    said = i.upgrade()
    told = i.told()
    assert "upgraded from %s to %s+next in " % (told["from"], told["from"]) in said.stdout, said
    i.wait_settled()
    steady.stop()
    after = i.pids()
    assert after[("master", 0)] == dray.pid == before[("master", 0)] and dray.redis_pid() == redis
    for slot, pid in after.items():
        assert slot == ("master", 0) or pid != before[slot], slot
        assert runs(pid, i.path), slot
    s = dray.status()
    assert s["version"].endswith("+next") and s["upgrade"]["last_result"] == "ok" and s["upgrade"]["count"] == 1
    assert all(p["restarts"] == 0 and not p.get("deaths") for p in s["processes"]), s["processes"]
    assert not dray.log.records("child_died")
    assert steady.failed == [], "%d of %d failed: %s" % (len(steady.failed), steady.requests, steady.failed[:3])
    ledger.settle(30)
    assert ledger.duplicates() == {}
    wait_for(lambda: dray.metric("dray_upgrades_total", result="done") == 1, 5)
    wait_for(lambda: dray.metric("dray_ingest_events_total", outcome="accepted") == len(ledger.acked), 5,
             "counts go on where they were")
    print("figure: upgrade under %d requests, none failed; %d ms; the longest request took %.0f ms" % (
        steady.requests, s["upgrade"]["took_ms"], 1000 * steady.worst))


def test_what_is_no_dray(make_dray):
    i = Instance(make_dray)
    hooks = Hooks(i.dray)
    dray = i.dray.start()
    before = i.pids()
    text = os.path.join(dray.dir, "text")
    put(text, "this is no program\n", 0o755)
    for n, (binary, code, word) in enumerate((
            ("/bin/true", 78, "is this dray"), ("/bin/false", 78, "code 1"), (text, 78, "Exec format error"),
            (dray.config_path, 78, "Permission denied"), (dray.dir + "/missing", 77, "No such file"))):
        said = i.upgrade("--binary", binary, code=code)
        assert word in said.stderr, said
        assert i.told()["failed"] == n + 1 and word in i.told()["last_result"]
    for action, word in (("abort", "SIGABRT"), ("segv", "SIGSEGV"), ("exit", "code 1")):
        hooks.arm("preflight", action)
        assert word in i.upgrade(code=78).stderr
    assert i.pids() == before and len(dray.log.records("upgrade_refused")) == 8
    assert i.told()["count"] == 0
    put(dray.config_path, "nonsense: 1\n" + open(dray.config_path).read())
    said = dray.run_verb("upgrade", "-s", dray.control_path)
    assert said.returncode == 78 and "nonsense: unknown key" in said.stderr, said
    dray.write_config()
    os.unlink(i.path)
    dray.binary = i.built
    assert "No such file" in i.upgrade(code=77).stderr
    assert i.pids() == before
    wait_for(lambda: dray.metric("dray_upgrades_total", result="refused") == 10, 5)
    install(i.next, i.path)
    i.upgrade()
    assert dray.status()["version"].endswith("+next")


def test_a_preflight_that_hangs(make_dray):
    """The master does everything else meanwhile."""
    i = Instance(make_dray)
    hooks = Hooks(i.dray)
    dray = i.dray.start()
    before = i.pids()
    hooks.arm("preflight", "stop")
    os.kill(dray.pid, signal.SIGUSR2)
    wait_for(lambda: i.told()["phase"] == "preflight", 5)
    os.kill(dray.pid, signal.SIGUSR2)  # the same one
    old = dray.kill("delivery", 1)
    dray.wait_replaced("delivery", 1, old)
    wait_for(lambda: i.told()["failed"] == 1, 20)
    assert "no answer within 10 s" in i.told()["last_result"] and not i.told()["pending"]
    before[("delivery", 1)] = dray.pid_of("delivery", 1)
    assert i.pids() == before
    assert not [p for p in procs.descendants(dray.pid) if p.state in "TZ"]


def test_it_dies_while_it_takes_over(make_dray, sink, ledger):
    """Wherever it dies: the old program is back, with the same children, and nobody has felt it."""
    i = Instance(make_dray)
    hooks = Hooks(i.dray)
    dray = i.dray.start()
    steady = Steady(dray, ledger, per_second=60).start()
    before = i.pids()
    dray.fd_baseline()
    ways = (("adopt_begin", "segv", "SIGSEGV"), ("adopt_decoded", "abort", "SIGABRT"), ("adopt_taken", "segv", "SIGSEGV"),
            ("adopt_taken", "exit", "ended while"), ("adopt_decoded", "spin", "in time"))
    for n, (place, action, word) in enumerate(ways):
        hooks.arm(place, action)
        said = i.upgrade("--binary", i.next, code=1)
        assert word in said.stderr, said
        assert hooks.fired(place)
        told = i.told()
        assert told["failed"] == n + 1 and told["count"] == 0 and word in told["last_result"], told
        assert i.pids() == before and not dray.status()["version"].endswith("+next")
    assert len(dray.log.records("upgrade_failed")) == len(ways)
    dray.check_fds()
    i.upgrade("--binary", i.next)
    i.wait_settled()
    steady.stop()
    assert dray.status()["version"].endswith("+next")
    assert steady.failed == []
    ledger.settle(30)
    assert ledger.duplicates() == {} and not dray.log.records("child_died")


def test_the_way_back_leaves_no_descriptor(make_dray, sink):
    """Ten times in a row: the same descriptors as before, by what they are."""
    i = Instance(make_dray)
    hooks = Hooks(i.dray)
    dray = i.dray.start()

    def opened():
        return sorted(procs.fds(dray.pid).values())

    def others(targets):
        return [t for t in targets if not t.startswith("socket:")]  # a client of the control socket comes and goes
    before = opened()
    for n in range(10):
        hooks.arm("adopt_taken" if n % 2 else "adopt_begin", "segv")
        i.upgrade("--binary", i.next, code=1)
        assert others(opened()) == others(before)
        wait_for(lambda: set(opened()) <= set(before), 5, "no new socket")
    assert i.told()["failed"] == 10


def test_a_child_dies_meanwhile(make_dray, sink, ledger):
    """While nobody can hear of it: it is found dead, replaced, and what it had in hand is handed back."""
    i = Instance(make_dray)
    hooks = Hooks(i.dray)
    dray = i.dray.start()
    sink.behave(hang=True)
    with dray.client() as c:
        events = list(make_events(5))
        ledger.tried.update(e["messageId"] for e in events)
        assert c.batch(events).status == 200
        ledger.ack(e["messageId"] for e in events)
    wait_for(lambda: sum(p["in_hand"] for p in dray.processes("delivery")) > 0, 10)
    busy = next(p for p in dray.processes("delivery") if p["in_hand"] > 0)
    hooks.arm("adopt_taken", "stop")
    os.kill(dray.pid, signal.SIGUSR2)
    wait_for(lambda: procs.Proc(dray.pid).state == "T", 15, "it stands still in the middle")
    os.kill(busy["pid"], signal.SIGKILL)
    os.kill(dray.pid, signal.SIGUSR1)  # waits for the new program
    os.kill(dray.pid, signal.SIGCONT)
    sink.behave()
    i.wait_settled()
    died = dray.log.records("child_died")
    assert [int(r["child_pid"]) for r in died] == [busy["pid"]] and died[0]["reason"] == "kill"
    assert dray.log.records("dump_master"), "USR1 was not lost"
    assert i.told()["last_result"] == "ok"
    ledger.settle(30)


def test_signals_again_and_again(make_dray):
    """Twice fast is one or two, never more; beside a reload, and in the middle of a stop."""
    i = Instance(make_dray)
    dray = i.dray.start()
    for _ in range(20):
        os.kill(dray.pid, signal.SIGUSR2)
    wait_for(lambda: i.told()["count"] >= 1, 20)
    i.wait_settled()
    assert i.told()["count"] <= 2 and i.told()["failed"] == 0
    count = i.told()["count"]
    dray.write_config({"delivery": {"concurrency": 9}})
    os.kill(dray.pid, signal.SIGHUP)
    os.kill(dray.pid, signal.SIGUSR2)
    wait_for(lambda: i.told()["count"] == count + 1, 40, "as soon as it may be")
    i.wait_settled()
    assert dray.status()["epoch"] == 2, "nor was the reload lost"
    os.kill(dray.pid, signal.SIGUSR2)
    os.kill(dray.pid, signal.SIGTERM)
    assert dray.wait_exit(30) == 0
    assert len(dray.log.records("upgraded")) == count + 1


def test_what_people_have_set_stays(make_dray, sink, ledger):
    i = Instance(make_dray)
    dray = i.dray.start()
    assert dray.cli("scale", "delivery", "3").returncode == 0
    assert dray.control({"verb": "pause", "queue": "sink", "paused": True})["ok"]
    assert dray.cli("level", "--for", "1h", "debug").returncode == 0
    old = dray.kill("console")
    dray.wait_replaced("console", 0, old)
    i.upgrade("--binary", i.next)
    i.wait_settled()
    s = dray.status()
    assert len(dray.processes("delivery", "up")) == 3
    assert [q["paused_here"] for q in s["queues"] if q["name"] == "sink"] == [True]
    console = dray.slot("console")
    assert console["restarts"] == 1 and console["deaths"][0]["reason"] == "kill"
    with dray.client() as c:
        assert c.post("/v1/track", {"userId": "u", "event": "E", "messageId": "m1"}).status == 200
    stays(lambda: "m1" not in sink.ids(), 0.5)
    assert dray.control({"verb": "pause", "queue": "sink", "paused": False})["ok"]
    wait_for(lambda: "m1" in sink.ids(), 10)


def test_ten_in_a_row(make_dray, sink, ledger):
    i = Instance(make_dray, conf={"master": {"processes": {"delivery": 1}}})
    dray = i.dray.start()
    binaries = (i.next, i.built)

    def resident():
        with open("/proc/%d/statm" % dray.pid) as f:
            return int(f.read().split()[1]) * 4096
    i.upgrade("--binary", binaries[0])
    i.wait_settled()
    dray.fd_baseline()
    first, redis = resident(), dray.redis_pid()
    for n in range(1, 10):
        i.upgrade("--binary", binaries[n % 2])
    i.wait_settled()
    dray.check_fds()
    assert i.told()["count"] == 10 and dray.redis_pid() == redis
    assert resident() < first * 1.15 + (1 << 20), (first, resident())
    s = dray.status()
    assert s["run"] == 1 and all(p["restarts"] == 0 for p in s["processes"])
    assert not dray.log.records("child_died") and not dray.log.records("degraded")
    print("figure: ten upgrades, the last took %d ms; resident %d KiB, then %d KiB" % (
        s["upgrade"]["took_ms"], first >> 10, resident() >> 10))


def test_under_a_service_manager(make_dray, tmp_path):
    """The pid stays; RELOADING comes before READY; a relative path, started by a link."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        path = str(tmp_path / "notify")
        s.bind(path)
        s.setblocking(False)
        i = Instance(make_dray, env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "1000000"})
        dray = i.dray
        install(i.next, os.path.join(dray.dir, "bin", "later"))
        os.symlink("dray", os.path.join(dray.dir, "bin", "link"))
        dray.binary = "./bin/link"
        dray.start()

        def told():
            found = []
            while True:
                try:
                    found += s.recv(4096).decode().split("\n")
                except BlockingIOError:
                    return found
        told()
        os.symlink("later", os.path.join(dray.dir, "bin", "link.new"))
        os.rename(os.path.join(dray.dir, "bin", "link.new"), os.path.join(dray.dir, "bin", "link"))
        i.upgrade()
        words = [w for w in told() if w.split("=")[0] in ("RELOADING", "READY", "STOPPING", "MAINPID")]
        assert words[0] == "RELOADING=1" and set(words[1:]) == {"READY=1"}, words
        assert dray.status()["version"].endswith("+next") and procs.Proc(dray.pid).name == "link"
        wait_for(lambda: "WATCHDOG=1" in told(), 5)
        assert "./bin/link run" in procs.Proc(dray.pid).command


def test_as_pid_1(make_dray):
    """As in a container."""
    i = Instance(make_dray)
    dray = i.dray
    own = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run(own + ["true"], capture_output=True).returncode != 0:
        pytest.skip("no namespace of processes can be made here")
    with open(dray.log.path, "ab") as log:
        dray.process = subprocess.Popen(own + [dray.binary, "run", "-c", dray.config_path], stdin=subprocess.DEVNULL,
                                        stderr=log, cwd=dray.dir, env=dray.environment(), start_new_session=True)
    dray.wait_ready()
    i.upgrade("--binary", i.next)
    i.wait_settled()
    master = dray.processes("master")[0]
    assert master["pid"] == 1 and dray.status()["version"].endswith("+next")
    assert dray.cli("stop").returncode == 0
    assert dray.wait_exit(30) == 0
