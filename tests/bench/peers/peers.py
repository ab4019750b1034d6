#!/usr/bin/env python3
"""make bench-peers: the whole way of an event, through dray and through what it would replace, in one run.

usage: peers.py --build DIR [--seconds N] [--rounds N] [--only NAME,...] [--svg FILE]

The same 10-event bodies (load_bench) go by HTTP into a front, through one Redis (a server of each peer's own, AOF everysec,
unix socket), and by HTTP from a worker to the same sink (sink_bench), which knows when each event was due:
    dray       one ingest and one delivery process; batches of up to 100 events
    Bull       4.16.5: a Node HTTP front adds each body as a job; a Node worker posts it, 50 at a time
    BullMQ     6.7.0: the same
    Sidekiq    Debian's, behind puma; Net::HTTP with kept connections, 10 threads
    Rudder     @rudderstack/rudder-sdk-node 3.0.13 with its Redis persistence behind a Node HTTP front: its queue, its worker
    limits     nginx that answers 200, and redis-benchmark SET of 4 KB: no delivery at all
Three runs each, in turn: as much as it takes for SECONDS on 64 connections, until the sink has all of it (events/s; CPU of
every process but load and sink, their own and Redis' children included; the most resident memory of each), and at 50 and at 1000
requests a second (p50 and p99 from due to delivered). The SDK is given 200 events: it posts 20 a second. Medians of the
rounds. Nothing here passes or fails.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(HERE), os.path.dirname(os.path.dirname(HERE))]

import draw                                # noqa: E402
import intake                              # noqa: E402
import measure                             # noqa: E402
from lib import npm, procs                 # noqa: E402
from lib.dray import Dray                  # noqa: E402
from lib.redis_server import RedisServer   # noqa: E402
from lib.wait import wait_for              # noqa: E402

RATES = (50, 1000)  # requests a second
DRAIN = 90          # seconds that the sink may be behind


class Sink:
    def __init__(self, build):
        self.process = subprocess.Popen([os.path.join(build, "release", "tests", "bench", "sink_bench")],
                                        stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().split()[-1]

    def ask(self, path):
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return json.load(answer)

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Peer:
    """Processes in front of and behind a Redis; self.pids: {role: [pid]}."""

    few = False
    quiet = None  # stderr

    def __init__(self, args, sink):
        self.args, self.sink, self.started = args, sink, []
        self.redis = RedisServer(appendfsync="everysec", maxmemory="12gb")
        self.pids = {"redis": [self.redis.process.pid]}
        try:
            self.start()
        except BaseException:
            self.stop()
            raise

    def run(self, role, *command, ready, **env):
        """Starts a process; the first line that begins with the word `ready`."""
        p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                             env=dict(os.environ, **env), stderr=self.quiet)
        self.started.append(p)
        self.pids[role] = [p.pid]
        for line in p.stdout:
            if ready in line:
                return line
        raise RuntimeError("%s: %s ended" % (self.name, command[0]))

    def stop(self):
        for p in self.started:
            p.kill()
            p.wait()
            p.stdout.close()
        self.redis.close()


class DrayPeer(Peer):
    name = "dray"

    def start(self):
        self.dray = Dray(self.args.build, variant="release", conf={
            "redis": {"mode": "standalone", "url": self.redis.url, "managed": None}, "log": {"level": "error"},
            "destinations": [{"id": "sink", "url": self.sink.url + "/"}], "master": {"processes": {"delivery": 1}}})
        self.dray.start()
        self.address = self.dray.ingest
        for role in ("ingest", "delivery"):
            self.pids[role] = [p["pid"] for p in self.dray.processes(role)]
        known = sum((self.pids[r] for r in ("ingest", "delivery")), [])
        self.pids["others"] = [self.dray.pid] + [p.pid for p in procs.descendants(self.dray.pid) if p.pid not in known]

    def stop(self):
        self.dray.stop()
        self.dray.remove()
        super().stop()


class NodePeer(Peer):
    worker = True

    def node(self, role, *words, ready):
        return self.run(role, "node", os.path.join(HERE, "node_peer.js"), self.args.npm, role, self.kind, self.redis.socket,
                        *words, ready=ready)

    def start(self):
        self.address = "127.0.0.1:" + self.node("front", self.sink.url + "/", ready="listening").split()[-1]
        if self.worker:
            self.node("worker", self.sink.url + "/", ready="working")


class Bull(NodePeer):
    name, kind = "Bull 4", "bull"


class BullMq(NodePeer):
    name, kind = "BullMQ", "bullmq"


class Rudder(NodePeer):
    name, kind, worker, few = "Rudder SDK", "rudder", False, True


class Sidekiq(Peer):
    name = "Sidekiq"
    quiet = subprocess.DEVNULL  # its Redis client warns of its own next version at each job

    def start(self):
        env = {"REDIS_SOCKET": self.redis.socket, "SINK_URL": self.sink.url + "/", "RACK_ENV": "production"}
        port = intake_port()
        self.run("front", "puma", "-b", "tcp://127.0.0.1:%d" % port, "-C", os.path.join(HERE, "puma.rb"), os.path.join(HERE, "sidekiq_front.ru"),
                 ready="Listening", **env)
        self.address = "127.0.0.1:%d" % port
        p = subprocess.Popen(["sidekiq", "-r", os.path.join(HERE, "sidekiq_worker.rb"), "-c", "10"], env=dict(os.environ, **env),
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.started.append(p)
        self.pids["worker"] = [p.pid]
        wait_for(lambda: self.redis.client().scard("processes") == 1, 30, "Sidekiq works")


PEERS = [DrayPeer, Bull, BullMq, Sidekiq, Rudder]


def intake_port():
    import socket
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# ---- one run

def load(peer, folder, seconds, rate=0):
    """Requests that were answered 200."""
    path = os.path.join(folder, "request")
    intake.write_request(path, peer.address)
    program = os.path.join(peer.args.build, "release", "tests", "bench", "load_bench")
    out = subprocess.run([program, *peer.address.rsplit(":", 1), str(intake.CONNECTIONS), str(seconds), path]
                         + ([str(rate)] if rate else []), capture_output=True, text=True)
    line = [x for x in out.stdout.splitlines() if x.startswith("RESULT ")]
    if not line:
        raise RuntimeError("%s: %s" % (peer.name, out.stdout + out.stderr))
    requests, _, bad, errors = line[0].split()[1:5]
    if int(bad) + int(errors) > 0:
        print("  %s: %s answers were not 200, %s connections broke" % (peer.name, bad, errors))
    return int(requests) - int(bad)


def drain(sink, events):
    """What has come once it is all, or once nothing more comes."""
    last, since = sink.ask("/stats"), time.monotonic()
    while last["distinct"] < events and time.monotonic() - since < DRAIN:
        time.sleep(0.01)
        last = sink.ask("/stats")
    return last


def most(peer, folder):
    before = {role: measure.cpu_seconds(pids, children=True) for role, pids in peer.pids.items()}
    peer.sink.ask("/reset")
    began = time.monotonic()
    sent = 10 * (load(peer, folder, 4, 5) if peer.few else load(peer, folder, peer.args.seconds))
    got = drain(peer.sink, sent)
    took = time.monotonic() - began
    cpu = {role: (measure.cpu_seconds(pids, children=True) - before[role]) / max(1, got["distinct"]) * 1e6
           for role, pids in peer.pids.items()}
    rss = {role: sum(peak_mib(p) for p in pids) for role, pids in peer.pids.items()}
    return {"rate": got["distinct"] / took, "cpu": cpu, "rss": rss, "missing": max(0, sent - got["distinct"]),
            "twice": got["events"] - got["distinct"]}


def at_rate(peer, folder, rate):
    peer.sink.ask("/reset")
    sent = 10 * load(peer, folder, peer.args.seconds, rate)
    got = drain(peer.sink, sent)
    return {"p50": got["p50_us"] / 1e3, "p99": got["p99_us"] / 1e3, "missing": max(0, sent - got["distinct"])}


def peak_mib(pid):
    with open("/proc/%d/status" % pid) as f:
        return sum(int(line.split()[1]) for line in f if line.startswith("VmHWM:")) / 1024


def whole(args, kind, folder):
    sink = Sink(args.build)
    try:
        peer = kind(args, sink)
        try:
            got = {rate: at_rate(peer, folder, rate) for rate in RATES if not peer.few}
            got["most"] = most(peer, folder)
            return got
        finally:
            peer.stop()
    finally:
        sink.stop()


# ---- all of them

def limits(args, folder):
    nginx = intake.run_nginx(args, folder)
    server = RedisServer(appendfsync="everysec", maxmemory="12gb")
    try:
        out = subprocess.run(["redis-benchmark", "-s", server.socket, "-t", "set", "-d", "4096", "-n", "100000", "-c", "64",
                              "--csv"], capture_output=True, text=True).stdout
    finally:
        server.close()
    sets = float(out.splitlines()[-1].split(",")[1].strip('"'))
    print("limits: nginx answers %.0f requests/s (%.2f ms CPU per 1,000 events); redis-benchmark SET of 4 KB: %.0f/s" % (
        nginx["rate"], nginx["cpu"]["nginx"] / 10, sets))


def middle(runs, value):
    return measure.median([value(r) for r in runs])


def summary(runs):
    """Medians of one peer."""
    roles = runs[0]["most"]["cpu"]
    s = {"rate": middle(runs, lambda r: r["most"]["rate"]),
         "by": {role: middle(runs, lambda r, x=role: r["most"]["cpu"][x]) for role in roles},
         "rss": {role: middle(runs, lambda r, x=role: r["most"]["rss"][x]) for role in roles},
         "missing": sum(part["missing"] for r in runs for part in r.values())}
    s["cpu"] = sum(s["by"].values())
    for rate in RATES:
        s[rate] = tuple(middle(runs, lambda r, n=n: r[rate][n]) for n in ("p50", "p99")) if rate in runs[0] else None
    return s


def report(all_runs):
    got = {name: summary(runs) for name, runs in all_runs.items() if runs}
    first = next(iter(got.values()))
    rows = [[name, "%.0f" % s["rate"], "%.4g" % (first["rate"] / max(s["rate"], 1e-9)), "%.2f" % s["cpu"], "%.3g" % (s["cpu"] / first["cpu"]),
             " ".join("%s %.2f" % kv for kv in s["by"].items()), "%.0f" % sum(s["rss"].values()),
             *["%.1f / %.1f" % s[rate] if s[rate] else "-" for rate in RATES], s["missing"]] for name, s in got.items()]
    measure.table(rows, ["", "events/s", "dray's is so many times", "CPU ms/1000", "of dray's", "by process", "RSS MiB",
                         *["p50 / p99 ms at %d/s" % r for r in RATES], "missing"])
    return got


def main():
    parser = argparse.ArgumentParser(description="compares dray with its peers; see the head of this file")
    parser.add_argument("--build", default="build")
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--svg", default="", help="draws the table there")
    args = parser.parse_args()
    args.build = os.path.abspath(args.build)
    args.npm = npm.install(args.build, HERE, "bench-peers")
    kinds = [k for k in PEERS if not args.only or k.name.split()[0].lower() in args.only.lower().split(",")]
    runs = {k.name: [] for k in kinds}
    procs.become_subreaper()
    print("peers: 10-event bodies, %d connections, AOF everysec, median of %d rounds of %g s" % (
        intake.CONNECTIONS, args.rounds, args.seconds))
    with tempfile.TemporaryDirectory(prefix="dray-bench-") as folder:
        for n in range(args.rounds):
            for kind in kinds:
                if not (kind.few and n > 0):  # it is slow enough to be exact
                    runs[kind.name].append(whole(args, kind, folder))
        limits(args, folder)
    got = report(runs)
    if args.svg:
        draw.picture(args.svg, got, RATES)


if __name__ == "__main__":
    main()
