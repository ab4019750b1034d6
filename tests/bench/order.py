"""What order costs: end to end as in e2e.py, each event of a user of its own, two delivery processes; the queue without
order, in 16 partitions by key, and in strict order. The rate is that of the whole way: until the sink has every event.
Once with one host and two delivery processes, and once as a fleet: three hosts of four on one Redis, each under load.
"""
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import e2e
import intake
import measure
from lib.dray import Dray
from lib.redis_server import RedisServer
from lib.wait import wait_for

CONNECTIONS = (64, 256)  # what is under way is divided by the partitions
MODES = {"no order": {}, "by key, 16 partitions": {"ordering": "key", "partitions": 16},
         "strict": {"is_multi_processor": False}}


HOSTS, WORKERS, EACH = 3, 4, 64  # each: connections to each host


def main(args):
    for connections in CONNECTIONS:
        compare(args, "one host, %d connections" % connections, lambda folder, queue, n=connections: e2e.run(
            args, folder, queue, delivery=2, own_users=True, connections=n))
    compare(args, "%d hosts of %d delivery processes, %d connections to each" % (HOSTS, WORKERS, EACH),
            lambda folder, queue: fleet(args, folder, queue))


def leases(r, queue):
    return len([k for k in r.scan_iter("*:dray:lease", 1000)]) if queue else 0


def fleet(args, folder, queue):
    sink = e2e.PlainSink(os.path.join(args.build, "release", "dray"))
    server = RedisServer(maxmemory="12gb", appendfsync="everysec", auto_aof_rewrite_min_size="256mb",
                         rdbcompression="no")  # as the managed one
    hosts = [Dray(args.build, name="host%d" % n, variant="release", conf={
        "redis": {"mode": "standalone", "url": server.url, "managed": None}, "log": {"level": "error"},
        "destinations": [{"id": "sink", "url": sink.url + "/"}], "master": {"processes": {"delivery": WORKERS}},
        "queue": queue}) for n in range(HOSTS)]
    try:
        for h in hosts:
            h.start()
        wanted = queue.get("partitions", 1 if queue else 0)
        wait_for(lambda: leases(server.client(), queue) == wanted, 30, "every partition has its processor")
        pids = {"ingest": [p["pid"] for h in hosts for p in h.processes("ingest")],
                "delivery": [p["pid"] for h in hosts for p in h.processes("delivery")], "redis": [server.process.pid],
                "sink": [sink.process.pid]}
        before = {k: measure.cpu_seconds(v, children=True) for k, v in pids.items()}
        folders = [tempfile.mkdtemp(dir=folder) for _ in hosts]
        began = time.monotonic()
        with ThreadPoolExecutor(HOSTS) as pool:
            loads = list(pool.map(lambda h, d: intake.load(args, h.ingest, d, args.seconds, own_users=True, connections=EACH),
                                  hosts, folders))
        events, loaded = 10 * sum(x[4] for x in loads), time.monotonic()
        wait_for(lambda: sink.events() >= events, 120, "everything is delivered")
        done = time.monotonic()
        cpu = {k: (measure.cpu_seconds(v, children=True) - before[k]) / events * 1e6 for k, v in pids.items()}
        for h in hosts:
            h.stop()
        return {"rate": events / (done - began), "bad": sum(x[1] for x in loads), "p50": max(x[2] for x in loads),
                "p99": max(x[3] for x in loads), "drained": done - loaded, "cpu": cpu}
    finally:
        for h in hosts:
            h.remove()
        server.close()
        sink.stop()


def compare(args, what, run):
    got = {name: [] for name in MODES}
    with tempfile.TemporaryDirectory(prefix="dray-bench-") as folder:
        for _ in range(args.rounds):
            for name, queue in MODES.items():
                got[name].append(run(folder, queue))
    rows = []
    for name, runs in got.items():
        cpu = {k: measure.median([g["cpu"][k] for g in runs]) for k in runs[0]["cpu"]}
        rows.append([name, "%.0f" % measure.median([g["rate"] for g in runs]),
                     "%.2f" % measure.median([g["rate"] / n["rate"] for g, n in zip(runs, got["no order"])]),
                     "%.2f" % (sum(cpu.values()) - cpu["sink"]), " ".join("%s %.2f" % kv for kv in cpu.items()),
                     "%.2f" % measure.median([g["p50"] for g in runs]), "%.2f" % measure.median([g["p99"] for g in runs]),
                     "%.2f" % measure.median([g["drained"] for g in runs]), sum(g["bad"] for g in runs)])
    print("order: 10-event bodies, each event of another user, %s, median of %d rounds of %.0f s; CPU is ms per "
          "1,000 events" % (what, args.rounds, args.seconds))
    measure.table(rows, ["", "events/s", "of no order", "CPU of dray", "by process", "p50 ms", "p99 ms", "drained s", "bad"])
