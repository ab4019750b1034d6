"""End to end: 10-event bodies from load_bench through ingest, the managed Redis (AOF everysec) and delivery to
`dray sink`.

The load runs for its seconds at full speed, then what is queued drains; CPU is counted until the sink has every event,
and told in ms per 1,000 events for each process (Redis with its children that rewrite the AOF). `drained` is how long the sink was behind the last answer.
"""
import json
import os
import subprocess
import tempfile
import time
import urllib.request

import intake
import measure
from lib.dray import Dray
from lib.wait import wait_for


class PlainSink:
    """`dray sink` without memory of ids, as a process of its own."""

    def __init__(self, binary):
        self.process = subprocess.Popen([binary, "sink", "--no-distinct", "--listen", "127.0.0.1:0"],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.url = self.process.stdout.readline().split()[-1]

    def events(self):
        with urllib.request.urlopen(self.url + "/stats", timeout=10) as answer:
            return json.load(answer)["events"]

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        self.process.stdout.close()


def run(args, folder, queue=None, delivery=1, **how):
    sink = PlainSink(os.path.join(args.build, "release", "dray"))
    dray = Dray(args.build, variant="release", conf={
        "redis": {"managed": {"maxmemory": "4GiB", "appendfsync": "everysec"}}, "log": {"level": "error"},
        "destinations": [{"id": "sink", "url": sink.url + "/"}], "master": {"processes": {"delivery": delivery}},
        "queue": queue or {}})
    try:
        dray.start()
        pids = {"ingest": [p["pid"] for p in dray.processes("ingest")],
                "delivery": [p["pid"] for p in dray.processes("delivery")], "redis": [dray.redis_pid()],
                "sink": [sink.process.pid]}
        before = {k: measure.cpu_seconds(v, children=True) for k, v in pids.items()}
        began = time.monotonic()
        _, bad, p50, p99, requests = intake.load(args, dray.ingest, folder, args.seconds, **how)
        events = 10 * requests
        loaded = time.monotonic()
        wait_for(lambda: sink.events() >= events, 120, "everything is delivered")
        done = time.monotonic()
        cpu = {k: (measure.cpu_seconds(v, children=True) - before[k]) / events * 1e6 for k, v in pids.items()}
        dray.stop()
        return {"rate": events / (done - began), "bad": bad, "p50": p50, "p99": p99, "drained": done - loaded,
                "cpu": cpu}
    finally:
        dray.remove()
        sink.stop()


def main(args):
    with tempfile.TemporaryDirectory(prefix="dray-bench-") as folder:
        got = [run(args, folder) for _ in range(args.rounds)]

    def middle(value):
        return measure.median([value(g) for g in got])
    cpu = {k: middle(lambda g, k=k: g["cpu"][k]) for k in got[0]["cpu"]}
    print("end to end: 10-event bodies, %d connections, AOF everysec, median of %d rounds of %.0f s; CPU is ms per "
          "1,000 events" % (intake.CONNECTIONS, args.rounds, args.seconds))
    measure.table(
        [["delivered", "%.0f" % middle(lambda g: g["rate"]), "%.2f" % (sum(cpu.values()) - cpu["sink"]),
          " ".join("%s %.2f" % kv for kv in cpu.items()), "%.2f" % middle(lambda g: g["p50"]),
          "%.2f" % middle(lambda g: g["p99"]), "%.2f" % middle(lambda g: g["drained"]), sum(g["bad"] for g in got)]],
        ["", "events/s", "CPU of dray", "by process", "p50 ms", "p99 ms", "drained s", "bad"])
