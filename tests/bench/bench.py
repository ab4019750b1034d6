#!/usr/bin/env python3
"""make bench: what dray costs, as ratios against something run in the same minutes.

usage: bench.py --build DIR [--only intake,e2e,order,takeover,redis,worker,restart,supervisors,
    memory,storm] [--seconds N] [--rounds N] [--aof] [--storm SECONDS] [--storm-log stopped|full] [--seed N]

Machines are shared and noisy: figures are medians over interleaved rounds, and every rate stands beside that of a
peer in the same round. CPU is utime + stime of the processes in question from /proc, divided by requests.
Nothing here passes or fails.
"""
import argparse
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
sys.path.insert(0, HERE)

import e2e      # noqa: E402
import intake   # noqa: E402
import memory   # noqa: E402
import order    # noqa: E402
import restart  # noqa: E402
import scripts  # noqa: E402
import storm    # noqa: E402
import supervisors  # noqa: E402
import takeover  # noqa: E402
import worker   # noqa: E402

SECTIONS = {"intake": intake.main, "e2e": e2e.main, "order": order.main, "takeover": takeover.main,
            "redis": scripts.main, "worker": worker.main, "restart": restart.main, "supervisors": supervisors.main,
            "memory": memory.main, "storm": storm.main}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build")
    parser.add_argument("--only", default=",".join(SECTIONS))
    parser.add_argument("--seconds", type=float, default=5, help="of load in one measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--restarts", type=int, default=300, help="supervisors: of dray's own processes")
    parser.add_argument("--aof", action="store_true", help="worker: Redis with its append-only file, everysec")
    parser.add_argument("--storm", type=float, default=600, help="seconds of the storm")
    parser.add_argument("--storm-log", choices=("working", "stopped", "full"), default="working", help="what becomes of the log")
    parser.add_argument("--seed", type=int, default=None, help="of the storm, to see the same one again")
    args = parser.parse_args()
    args.build = os.path.abspath(args.build)
    for name in args.only.split(","):
        if name not in SECTIONS:
            sys.exit("bench: there is no section %s; sections: %s" % (name, ", ".join(SECTIONS)))
        SECTIONS[name](args)
        print(flush=True)


if __name__ == "__main__":
    main()
