"""Memory of each process: resident and anonymous, idle and under load (8 clients, 10-event requests)."""
import measure
from lib.client import Load
from lib.dray import Dray
from lib.ledger import Ledger
from lib.sink import Sink
from lib.wait import wait_for


def sample(dray):
    found = {}
    for p in dray.status()["processes"]:
        if p["pid"]:
            found["%s.%d" % (p["kind"], p["slot"])] = measure.memory_kib(p["pid"])
    found["redis-server"] = measure.memory_kib(dray.redis_pid())
    return found


def main(args):
    sink = Sink()
    dray = Dray(args.build, sink, variant="release", conf={"redis": {"managed": {"maxmemory": "2GiB"}}})
    try:
        dray.start()
        idle = sample(dray)
        ledger = Ledger(sink)
        load = Load(dray, ledger, clients=8, batch=10)
        load.start()
        busy = {}
        for _ in range(max(3, int(args.seconds))):
            seen = len(sink.requests)
            wait_for(lambda: len(sink.requests) >= seen + 50, 20, "deliveries go on")
            for name, (rss, anonymous) in sample(dray).items():
                old = busy.get(name, (0, 0))
                busy[name] = (max(old[0], rss), max(old[1], anonymous))
        load.stop()
        dray.stop()
    finally:
        dray.remove()
        sink.close()
    rows = [[name, idle[name][0], idle[name][1], *busy.get(name, ("-", "-"))] for name in idle]
    print("memory: KiB; anonymous is what the process alone costs")
    measure.table(rows, ["process", "idle resident", "anonymous", "busy resident", "anonymous"])
