"""What order costs: end to end as in e2e.py, each event of a user of its own, two delivery processes; the queue without
order, in 16 partitions by key, and in strict order. The rate is that of the whole way: until the sink has every event.
"""
import tempfile

import e2e
import measure

CONNECTIONS = (64, 256)  # what is under way is divided by the partitions
MODES = {"no order": {}, "by key, 16 partitions": {"ordering": "key", "partitions": 16},
         "strict": {"is_multi_processor": False}}


def main(args):
    for connections in CONNECTIONS:
        compare(args, connections)


def compare(args, connections):
    got = {name: [] for name in MODES}
    with tempfile.TemporaryDirectory(prefix="dray-bench-") as folder:
        for _ in range(args.rounds):
            for name, queue in MODES.items():
                got[name].append(e2e.run(args, folder, queue, delivery=2, own_users=True, connections=connections))
    rows = []
    for name, runs in got.items():
        cpu = {k: measure.median([g["cpu"][k] for g in runs]) for k in runs[0]["cpu"]}
        rows.append([name, "%.0f" % measure.median([g["rate"] for g in runs]),
                     "%.2f" % measure.median([g["rate"] / n["rate"] for g, n in zip(runs, got["no order"])]),
                     "%.2f" % (sum(cpu.values()) - cpu["sink"]), " ".join("%s %.2f" % kv for kv in cpu.items()),
                     "%.2f" % measure.median([g["p50"] for g in runs]), "%.2f" % measure.median([g["p99"] for g in runs]),
                     "%.2f" % measure.median([g["drained"] for g in runs]), sum(g["bad"] for g in runs)])
    print("order: 10-event bodies, %d connections, each event of another user, median of %d rounds of %.0f s; CPU is ms per "
          "1,000 events" % (connections, args.rounds, args.seconds))
    measure.table(rows, ["", "events/s", "of no order", "CPU of dray", "by process", "p50 ms", "p99 ms", "drained s", "bad"])
