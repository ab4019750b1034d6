"""Storms: kill -9, again and again, on any process but the master; and everything that can befall any process.

    storm = Storm(dray, per_second=5, seconds=60)
    storm.run()               returns when it is over; prints how many kills landed
    storm.check()             fails when under 80 % did: a storm in which all stand in back-off proves nothing

    storm = RandomStorm(dray, deaths, seed=7)      each 50 ms a signal or a verb, the master and Redis not excepted
    storm.run(600); storm.calm(); print(storm.told())
"""
import os
import random
import signal
import threading
import time
from collections import Counter

from lib import procs
from lib.wait import wait_for


class Storm:
    def __init__(self, dray, per_second=5, seconds=10, targets=("delivery", "ingest", "console", "program", "redis"),
                 seed=1, signals=(signal.SIGKILL,)):
        self.dray, self.per_second, self.seconds, self.targets = dray, per_second, seconds, targets
        self.random = random.Random(seed)
        self.signals = signals
        self.tried = 0
        self.landed = Counter()

    def living(self):
        """{kind: pids} of what can be hit now."""
        found = {}
        for p in self.dray.processes():
            if p["kind"] in self.targets and p["pid"]:
                found.setdefault(p["kind"], []).append(p["pid"])
        if "redis" in self.targets:
            try:
                found["redis"] = [self.dray.redis_pid()]
            except LookupError:
                pass
        return found

    def strike(self):
        """One signal to one living process; the kind is drawn first, so that the few are hit as often as the many."""
        self.tried += 1
        living = self.living()
        if not living:
            return
        kind = self.random.choice(sorted(living))
        try:
            os.kill(self.random.choice(living[kind]), self.random.choice(self.signals))
            self.landed[kind] += 1
        except ProcessLookupError:
            pass

    def run(self):
        start = time.monotonic()
        for i in range(int(self.per_second * self.seconds)):
            time.sleep(max(0.0, start + i / self.per_second - time.monotonic()))
            self.strike()
        print("figure: %d kills tried, %d landed: %s" % (self.tried, sum(self.landed.values()), dict(self.landed)))
        return self

    def check(self, share=0.8):
        landed = sum(self.landed.values())
        assert landed >= share * self.tried, "only %d of %d kills landed: %s" % (landed, self.tried, dict(self.landed))
        missing = set(self.targets) - self.landed.keys()
        assert not missing, "never hit: %s" % missing


class RandomStorm:
    """What is done, and to whom, is drawn from the seed before it is looked who lives: a seed is the same storm again, as far as
    the processes let it. deaths (explain.Deaths) is told who was hit."""

    EVERY = 0.05
    MASTER_EVERY = 6  # s between two kills of the master, at least: its start is a part of the storm, not all of it
    # What, and how often among a thousand.
    SIGNALS = (("KILL", 200), ("STOP", 180), ("TERM", 80), ("HUP", 60), ("TTIN", 60), ("TTOU", 60), ("USR1", 60), ("USR2", 60))
    VERBS = (("restart", 60), ("scale", 60), ("reload", 40), ("status", 60), ("redis cut", 20), ("master KILL", 30))
    KINDS = ("delivery", "ingest", "console", "program", "redis", "master")
    OFTEN = (5, 2, 1, 1, 1, 2)

    def __init__(self, dray, deaths, seed):
        self.dray, self.deaths, self.seed = dray, deaths, seed
        self.random = random.Random(seed)
        self.did, self.missed = Counter(), 0
        self.stopped = []  # (when to continue, pid)
        self.lock, self.over = threading.Lock(), threading.Event()
        self.master_killed = time.monotonic()
        self.stops, self.stops_before = 0, 0
        self.worst_turn, self.worst_cpu, self.worst_part, self.starts, self.seen = 0.0, 0.0, "", 0, set()

    # ---- who

    def living(self):
        """{kind: pids}, from the kernel: it needs no answer of the master."""
        found = {}
        try:
            for p in procs.descendants(self.dray.pid):
                if p.state in "ZX":
                    continue
                words = p.command.split()
                if p.name.startswith("redis-server"):
                    found.setdefault("redis", []).append(p.pid)
                elif p.name.startswith("dray") or "dray" in p.command:
                    for kind in ("delivery", "ingest", "console", "program"):
                        if any(w.strip(":,").startswith(kind) for w in words):
                            found.setdefault(kind, []).append(p.pid)
        except (OSError, ValueError):
            pass
        for kind, pids in found.items():
            self.seen.update((kind, pid) for pid in pids)
        if self.dray.is_running():
            found["master"] = [self.dray.pid]
        return found

    # ---- what

    def draw(self):
        """One act: (what, to which kind, a number in 0..1 for everything else)."""
        table = self.SIGNALS + self.VERBS
        what = self.random.choices([w for w, _ in table], [n for _, n in table])[0]
        return what, self.random.choices(self.KINDS, self.OFTEN)[0], self.random.random()

    def act(self, what, kind, x):
        if what in ("restart", "scale", "reload", "status"):
            return self.ask(what, kind, x)
        if what == "master KILL":
            return self.kill_master()
        if what == "redis cut":
            return self.cut_redis()
        if kind == "master" and what in ("KILL", "TERM"):
            return None  # a stop is no fault; its kill is an act of its own
        if kind == "redis" and what not in ("KILL", "STOP", "TERM"):
            return None  # redis-server has its own ideas of the others
        pids = self.living().get(kind)
        if not pids:
            return False
        pids.sort()
        pid = pids[int(x * len(pids))]
        if what == "STOP":
            with self.lock:
                self.stopped.append((time.monotonic() + 0.05 + (x * 7919 % 1) * (0.3 if kind == "master" else 1.0), pid))
        try:
            os.kill(pid, getattr(signal, "SIG" + what))
        except ProcessLookupError:
            return False
        if what in ("KILL", "STOP", "TERM", "HUP", "TTIN", "TTOU", "USR1", "USR2"):
            self.deaths.note(kind)
        return True

    def ask(self, verb, kind, x):
        if any(pid == self.dray.pid for _, pid in self.stopped):
            return None  # it would not answer, and we would stand still with it
        request = {"verb": verb}
        if verb == "restart":
            request["kind"] = kind if kind not in ("redis", "master") else "program"
            self.deaths.note("redis" if request["kind"] == "program" else request["kind"])
        elif verb == "scale":
            request.update(kind="delivery", n=1 + int(x * 6))
        try:
            answer = self.dray.control(request, 2)
        except (OSError, ValueError):
            return False
        if verb == "status":
            self.look(answer)
        return True

    def look(self, status):
        master = [p for p in status["processes"] if p["kind"] == "master"]
        for p in master:
            if p.get("loop_turn_worst_ms", 0) > self.worst_turn:
                self.worst_turn, self.worst_part = p["loop_turn_worst_ms"], p.get("loop_turn_worst_part", "")
            if p.get("loop_turns_stopped", 0) < self.stops:
                self.stops_before += self.stops  # of masters that are gone
            self.stops = p.get("loop_turns_stopped", 0)
            self.worst_cpu = max(self.worst_cpu, p.get("loop_turn_worst_cpu_ms", 0))

    def cut_redis(self):
        """All connections to Redis are cut."""
        try:
            redis = self.dray.redis()
            redis.connection_pool.connection_kwargs["socket_timeout"] = 1
            redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        except Exception:  # noqa: BLE001: it is a storm
            return False
        self.deaths.note("redis")
        return True

    def kill_master(self):
        if time.monotonic() - self.master_killed < self.MASTER_EVERY:
            return None
        self.go_on(everybody=True)
        self.deaths.note("master")
        self.dray.kill_master()
        self.dray.expect_exit(0)
        self.dray.start(wait=False)
        wait_for(lambda: procs.catches(self.dray.pid, signal.SIGUSR2) or not self.dray.is_running(), 10,
                 "the new master has its signals")
        self.starts += 1
        self.master_killed = time.monotonic()
        return True

    def go_on(self, everybody=False):
        """Continues who has been stopped for long enough."""
        now = time.monotonic()
        with self.lock:
            due = [e for e in self.stopped if everybody or e[0] <= now]
            self.stopped = [e for e in self.stopped if e not in due]
            for entry in due:
                try:
                    os.kill(entry[1], signal.SIGCONT)
                except ProcessLookupError:
                    pass
                self.deaths.note("redis")  # whoever it was: what it did meanwhile was late

    def _keep_going(self):
        """In a thread of its own: an act may be waiting for just the one that is stopped."""
        while not self.over.wait(0.02):
            self.go_on()

    # ---- all of it

    def run(self, seconds):
        threading.Thread(target=self._keep_going, daemon=True).start()
        start, n = time.monotonic(), 0
        while n * self.EVERY < seconds:
            time.sleep(max(0.0, start + n * self.EVERY - time.monotonic()))
            n += 1
            assert self.dray.is_running(), "the master has ended by itself: %s" % self.dray.process.poll()
            what, kind, x = self.draw()
            result = self.act(what, kind, x)
            if result:
                self.did[kind if what in dict(self.SIGNALS) else "", what] += 1
            elif result is False:
                self.missed += 1
        return self

    def calm(self, seconds=60):
        """The storm is over: everybody goes on, everything comes up again."""
        self.over.set()
        self.go_on(everybody=True)
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.dray.wait_ready(10)
                break
            except (AssertionError, OSError, ValueError):
                assert time.monotonic() < deadline, "not ready %.0f s after the storm" % seconds
        self.look(self.dray.status())
        return self

    def hits(self, what):
        return sum(n for (_, w), n in self.did.items() if w == what)

    def told(self):
        """Lines of figures."""
        lines = ["storm: %d acts, %d found nobody; %d processes lived, the master was started %d times more" % (
            sum(self.did.values()), self.missed, len(self.seen), self.starts)]
        for kind in self.KINDS:
            mine = sorted((w, n) for (k, w), n in self.did.items() if k == kind)
            if mine:
                lines.append("storm: %-8s %s" % (kind, ", ".join("%s %d" % pair for pair in mine)))
        lines.append("storm: %s" % ", ".join("%s %d" % (w, n) for (k, w), n in sorted(self.did.items()) if k == ""))
        lines.append("storm: longest turn of the master's loop %.1f ms, %.1f ms of them its own%s" % (
            self.worst_turn, self.worst_cpu, " (%s)" % self.worst_part if self.worst_part else ""))
        lines.append("storm: %d turns more in which the master was stopped" % (self.stops_before + self.stops))
        return lines
