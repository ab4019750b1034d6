#!/usr/bin/env python3
"""CPU time of Redis per job: dray's queue against the scripts of Bull 4.16.5, in one run on one server.

usage: redis_cpu_bench.py [--build DIR] [--jobs N] [--rounds N] [--waiting N]

Bull's scripts come from npm (into DIR/npm, once). The work is done by DIR/release/tests/bench/redis_cpu_bench.
"""
import argparse
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))

from lib import npm  # noqa: E402

SCRIPTS = ("addJob-6", "moveToActive-8", "moveToFinished-9")


def install_bull(build):
    """A folder with Bull's scripts, as the package carries them."""
    package = os.path.join(npm.install(build), "node_modules", "bull")
    folder = os.path.join(build, "npm", "bull-scripts")
    os.makedirs(folder, exist_ok=True)
    for name in SCRIPTS:
        text = subprocess.run(["node", "-p", "require(%r).content" % os.path.join(package, "lib", "scripts", name + ".js")],
                              check=True, capture_output=True).stdout
        with open(os.path.join(folder, name + ".lua"), "wb") as f:
            f.write(text)
    return folder


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--jobs", type=int, default=10000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--waiting", type=int, default=1000000, help="jobs that wait all the time, for the last line")
    args = parser.parse_args()
    program = os.path.join(args.build, "release", "tests", "bench", "redis_cpu_bench")
    if not os.path.exists(program):
        subprocess.run(["make", "-s", "-C", ROOT, "VARIANT=release", "B=" + args.build, program], check=True)
    scripts = install_bull(os.path.abspath(args.build))
    return subprocess.run([program, scripts, str(args.jobs), str(args.rounds), str(args.waiting)]).returncode


if __name__ == "__main__":
    sys.exit(main())
