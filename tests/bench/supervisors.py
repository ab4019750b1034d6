"""Supervisors side by side: kill -9 of a trivial program to the first instruction of its successor, in one run.

Every supervisor keeps the same program (stamp_bench), which says by itself when it runs; one kill of each in turn, so that
all see the same machine. What is not installed is named. Behind it dray's own figures: a stopped child to its
replacement, and the memory of the master over many restarts."""
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import measure
from lib.dray import Dray
from lib.sink import Sink
from lib.wait import wait_for

KILLS = 20
GAP_S = 1.2   # between two kills of one program: a supervisor that pauses after a short life shall not
PROGRAM_RESTARTS = 10000


class Absent(Exception):
    pass


class Stamp:
    """Where a program tells that it runs."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "stamp.sock")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.pid = None

    def wait(self, seconds=30):
        """When the next one began, in us of the monotonic clock."""
        self.socket.settimeout(seconds)
        pid, at_us = self.socket.recv(100).split()
        self.pid = int(pid)
        return int(at_us)

    def kill_ms(self):
        began_us = time.monotonic_ns() // 1000
        os.kill(self.pid, signal.SIGKILL)
        return (self.wait() - began_us) / 1e3


class Supervisor:
    name = package = program = None
    where = ()  # further folders of its program

    def __init__(self, build, stamp_program):
        self.path = shutil.which(self.program, path=os.pathsep.join([*self.where, os.environ["PATH"], "/usr/sbin", "/sbin"]))
        if self.path is None:
            raise Absent("%s: not installed (etc/setup.sh --bench)" % self.name)
        self.dir = tempfile.mkdtemp(prefix="dray-bench-")
        self.stamp = Stamp(self.dir)
        self.command = [stamp_program, self.stamp.path]
        self.process = None

    def put(self, name, text, mode=0o644):
        path = os.path.join(self.dir, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def run(self, *command, **env):
        self.process = subprocess.Popen(command, cwd=self.dir, env=dict(os.environ, **env), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
        if self.stamp.pid is not None:
            try:
                os.kill(self.stamp.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        shutil.rmtree(self.dir, ignore_errors=True)


class Runit(Supervisor):
    name, program = "runit", "runsv"

    def start(self):
        self.put("service/run", "#!/bin/sh\nexec %s %s\n" % tuple(self.command), 0o755)
        self.run(self.path, "service")


class RunitDirect(Supervisor):
    """The same without the shell of its run script."""
    name, program = "runit, no shell", "runsv"

    def start(self):
        os.makedirs(os.path.join(self.dir, "service"))
        shutil.copy(self.command[0], os.path.join(self.dir, "service", "run"))
        self.run(self.path, "service", STAMP_SOCKET=self.stamp.path)


class S6(Supervisor):
    name, program = "s6", "s6-supervise"

    def start(self):
        self.put("service/run", "#!/bin/sh\nexec %s %s\n" % tuple(self.command), 0o755)
        self.run(self.path, "service")


class Supervisord(Supervisor):
    name, program = "supervisord", "supervisord"

    def start(self):
        conf = self.put("supervisord.conf", "[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\n"
                        "pidfile=%s/pid\n[program:stamp]\ncommand=%s %s\nautorestart=true\nstartsecs=0\n"
                        "stdout_logfile=NONE\nstderr_logfile=NONE\n" % (self.dir, *self.command))
        self.run(self.path, "-c", conf)


class Pm2(Supervisor):
    name, program = "pm2", "pm2"

    def start(self):
        # In the foreground, so that it ends with this run.
        self.run(self.path, "start", "--no-daemon", self.command[0], "--interpreter", "none", "--name", "stamp", "--",
                 self.command[1], PM2_HOME=os.path.join(self.dir, "home"), PM2_DISCRETE_MODE="true")


class DrayProgram(Supervisor):
    name, program = "dray", "true"
    build = None

    def start(self):
        self.dray = Dray(self.build, variant="release", conf={
            "master": {"restart": {"degraded_at": "", "burst": ""}, "processes": {"delivery": 1}},
            "programs": [{"id": "stamp", "command": self.command}]})
        self.dray.start(wait=False)

    def stop(self):
        self.dray.stop()
        self.dray.remove()
        super().stop()


KINDS = [DrayProgram, Runit, RunitDirect, S6, Supervisord, Pm2]


def side_by_side(args, stamp_program):
    present, absent, times = [], [], {}
    Pm2.where = (os.path.join(args.build, "bench-npm", "node_modules", ".bin"),)
    DrayProgram.build = args.build
    try:
        for kind in KINDS:
            try:
                s = kind(args.build, stamp_program)
            except Absent as e:
                absent.append(str(e))
                continue
            present.append(s)
            s.start()
            s.stamp.wait()
            times[s.name] = []
        time.sleep(2)
        for _ in range(KILLS):
            began = time.monotonic()
            for s in present:
                times[s.name].append(s.stamp.kill_ms())
            time.sleep(max(0.0, began + GAP_S - time.monotonic()))
    finally:
        for s in present:
            s.stop()
    print("supervisors: kill -9 to the first instruction of the successor, %d kills each in turn, ms" % KILLS)
    peer = measure.median(times["runit"]) if "runit" in times else None
    measure.table([[name, "%.2f" % measure.median(t), "%.2f" % min(t), "%.2f" % max(t),
                    "%.2f" % (measure.median(t) / peer) if peer else "-"] for name, t in times.items()],
                  ["supervisor", "median", "min", "max", "to runit"])
    for line in absent:
        print("  " + line)


def hung_seconds(dray, kind, expect_s):
    old = dray.processes(kind)[0]
    began = time.monotonic()
    dray.signal(kind, 0, signal.SIGSTOP)
    wait_for(lambda: dray.slot(kind, 0)["generation"] > old["generation"] and dray.slot(kind, 0)["state"] == "up",
             3 * expect_s, "%s is replaced" % kind)
    return time.monotonic() - began


def memory(pid):
    return "%d KiB, %d descriptors" % (measure.memory_kib(pid)[0], len(os.listdir("/proc/%d/fd" % pid)))


def own_figures(args, stamp_program):
    folder = tempfile.mkdtemp(prefix="dray-bench-")
    stamp, sink = Stamp(folder), Sink()
    dray = Dray(args.build, sink, variant="release", conf={
        "master": {"restart": {"degraded_at": "", "burst": ""}, "processes": {"delivery": 1}}, "log": {"level": "error"},
        "programs": [{"id": "stamp", "command": [stamp_program, stamp.path]}]})
    try:
        dray.start()
        stamp.wait()
        print("supervisors: a stopped delivery process to its replacement: %.1f s (health.hang 10s, then 5s to SIGKILL)"
              % hung_seconds(dray, "delivery", 16))
        pid = dray.process.pid
        keeper = [p for p in dray.processes("program") if p.get("name") == "stamp"][0]["pid"]
        for _ in range(500):
            stamp.kill_ms()
        before, keeper_before, began = memory(pid), memory(keeper), time.monotonic()
        for _ in range(PROGRAM_RESTARTS):
            stamp.kill_ms()
        seconds = time.monotonic() - began
        print("supervisors: %d restarts of a program in %.1f s: master %s -> %s; keeper %s -> %s"
              % (PROGRAM_RESTARTS, seconds, before, memory(pid), keeper_before, memory(keeper)))
        before, began = memory(pid), time.monotonic()
        for _ in range(args.restarts):
            old = dray.kill("console", 0)
            dray.wait_replaced("console", 0, old)
        print("supervisors: %d restarts of a process of dray in %.1f s: master %s -> %s"
              % (args.restarts, time.monotonic() - began, before, memory(pid)))
        dray.stop()
    finally:
        dray.remove()
        sink.close()
        shutil.rmtree(folder, ignore_errors=True)


def main(args):
    stamp_program = os.path.join(args.build, "release", "tests", "bench", "stamp_bench")
    side_by_side(args, stamp_program)
    own_figures(args, stamp_program)
