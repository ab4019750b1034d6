"""Restart: kill -9 of one process to READY of its successor, median of 20 kills of each kind, one at a time."""
import time

import measure
from lib.dray import Dray
from lib.sink import Sink
from lib.wait import wait_for

KILLS = 20


def restart_ms(dray, kind):
    """From the kill to the READY line of the log: the master's own clock stamps both ends."""
    old = dray.slot(kind, 0)
    wait_for(lambda: dray.slot(kind, 0)["uptime_ms"] - dray.slot(kind, 0)["boot_ms"] > 1100, 10, "it is proven")
    killed = time.time()
    dray.kill(kind, 0)

    def successor():
        lines = dray.log.records("child_ready", child_kind=kind, child_slot="0")
        return [x for x in lines if int(x["child_gen"]) > old["generation"]]
    line = wait_for(successor, 30, "%s is back" % kind)[-1]
    stamp = line["ts"]
    seconds = time.mktime(time.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone + float("0" + stamp[19:-1])
    return (seconds - killed) * 1e3


def main(args):
    sink = Sink()
    dray = Dray(args.build, sink, variant="release", conf={"master": {"restart": {"degraded_at": "1000/60s"}}})
    rows = []
    try:
        dray.start()
        for kind in ("delivery", "ingest", "console", "program"):
            times = sorted(restart_ms(dray, kind) for _ in range(KILLS))
            rows.append([kind, "%.1f" % measure.median(times), "%.1f" % times[0], "%.1f" % times[-1]])
        dray.stop()
    finally:
        dray.remove()
        sink.close()
    print("restart: kill -9 to READY, %d kills each, ms" % KILLS)
    measure.table(rows, ["kind", "median", "min", "max"])
