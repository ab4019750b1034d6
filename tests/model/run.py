#!/usr/bin/python3
"""Checks the models of the queue with spin: each whole, and each with one rule removed.

usage: run.py [--deep] [--json] [-v] [-k WORD]

A whole model must show no violation; without a rule the named property must be violated (the models' heads say what
each means). The trail is printed when a verdict is not the expected one, with -v always. --deep: all faults at once and
a third worker (minutes, up to 6 GB). Exit status 0 only if every verdict was the expected one.
"""
import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
MEMORY_MB, LIMIT_S = 900, 300
DEEP_MEMORY_MB, DEEP_LIMIT_S = 6000, 3600

# model, what it shows or the rule that is removed, sizes, property that must be violated (None: none may be)
CHECKS = [
    ("queue", "2 jobs", "", None),
    ("queue", "repeated death", "JOBS=1 NDRAY=3 DEATHS=2 MAX_STALLED=1", None),
    ("queue", "progress", "JOBS=1 DEATHS=2 STOPS=2 MAX_STALLED=1", None),
    ("queue", "TWO_STEPS", "JOBS=1 NBULL=0 STOPS=0", "handed"),
    ("queue", "NO_TOKEN", "JOBS=1 NBULL=0 DEATHS=0 MAX_STALLED=1", "fence"),
    ("queue", "ONE_TICK", "JOBS=1 NDRAY=1 DEATHS=0 STOPS=0", "stalls"),
    ("queue", "NO_KILL", "NBULL=0 STOPS=0 MAX_STALLED=1", "handed"),
    ("queue", "NO_KILL NOT_HANDED", "NBULL=0 STOPS=0 MAX_STALLED=1", "stalls"),
    ("lease", "death, lapse", "CUTS=0", None),
    ("lease", "lapse, cut", "DEATHS=0 RETRIES=0 FINALS=0", None),
    ("lease", "death, cut", "LAPSES=0 RETRIES=0", None),
    ("lease", "3 jobs", "JOBS=3 CUTS=0 DEATHS=0", None),
    ("lease", "progress", "CUTS=0 FINALS=0", None),
    ("lease", "NO_EPOCH", "DEATHS=0 LAPSES=0", "one"),
    ("lease", "LOOSE_HAND_BACK", "DEATHS=0 RETRIES=0 FINALS=0", "one"),
    ("lease", "BLIND_RETRY", "CUTS=0 DEATHS=0 LAPSES=0 FINALS=0", "order"),
    ("lease", "PIPELINED_FAILURE", "CUTS=0 LAPSES=0 RETRIES=0", "order"),
    ("lease", "RELEASE_ALONE", "CUTS=0 DEATHS=0 RETRIES=0 FINALS=0", "order"),
    ("lease", "STRAYS_LEFT", "DEATHS=0 LAPSES=0 RETRIES=0 FINALS=0", "order"),
    ("lease", "ONE_LOST_CODE", "DEATHS=0 RETRIES=0", "order"),
]
DEEP = [
    ("queue", "2 jobs, deep", "DEATHS=2 MAX_STALLED=1", None),
    ("queue", "3 workers, deep", "JOBS=1 NDRAY=3 DEATHS=2 STOPS=2 MAX_STALLED=1", None),
    ("lease", "all faults, deep", "RETRIES=0", None),
    ("lease", "3 jobs, deep", "JOBS=3 CUTS=0 RETRIES=0", None),
    ("lease", "3 workers, deep", "NW=3 CUTS=0 RETRIES=0 FINALS=0", None),
]


class Check:
    def __init__(self, model, rule, sizes, expected):
        self.model, self.rule, self.expected = model, rule, expected
        self.is_deep = rule.endswith("deep")
        self.is_progress = rule == "progress"
        switches = rule.split() if rule.isupper() and not rule[0].isdigit() else []
        self.defines = ["-D" + d for d in switches + sizes.split()]
        self.states = self.depth = 0
        self.seconds = 0.0
        self.verdict, self.trail = "?", ""

    def good(self):
        return self.verdict == (self.expected or "none")

    def name(self):
        return "model/%s %s" % (self.model, self.rule)


def call(command, folder, limit=60):
    p = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       timeout=limit)
    return p.returncode, p.stdout.decode("utf-8", "replace")


def build(check, folder):
    """The verifier of one check. A small search is done before the compiler would be."""
    memory = DEEP_MEMORY_MB if check.is_deep else MEMORY_MB
    flags = ["-DCOLLAPSE", "-DMEMLIM=%d" % memory, "-w", "-O0" if check.expected else "-O2" if check.is_deep else "-O1"]
    if not check.is_progress:
        flags += ["-DSAFETY", "-DNOCLAIM"]
    if check.expected:
        flags.append("-DREACH")
    shutil.copy(os.path.join(HERE, check.model + ".pml"), os.path.join(folder, "m.pml"))
    for command in (["spin", *check.defines, "-a", "m.pml"], ["gcc", *flags, "-o", "pan", "pan.c"]):
        code, text = call(command, folder)
        if code != 0 or not os.path.exists(os.path.join(folder, "pan.c")):
            raise RuntimeError("%s\n%s" % (" ".join(command), text))


def search(check, folder):
    command = ["./pan", "-m400" if check.expected else "-m20000", "-w22"]
    if check.is_progress:
        command += ["-a", "-N", "ends"]
    if check.expected:
        command.append("-I")  # a short way there
    code, text = call(command, folder, DEEP_LIMIT_S if check.is_deep else LIMIT_S)
    states, depth = re.search(r"^\s*(\d+) states, stored", text, re.M), re.search(r"depth reached (\d+)", text)
    if states is None or depth is None:
        raise RuntimeError(text)
    check.states, check.depth = int(states.group(1)), int(depth.group(1))
    if os.path.exists(os.path.join(folder, "m.pml.trail")):
        read_trail(check, folder)
    elif code != 0 or "earch not completed" in text or "depth too small" in text and not check.expected:
        raise RuntimeError(text)
    else:
        check.verdict = "none"


def read_trail(check, folder):
    """What was violated: the comment behind the assertion names the property."""
    _, text = call(["spin", "-T", *check.defines, "-t", "m.pml"], folder)
    check.trail = "\n".join(re.findall(r"^\s*(?:MSC: )(.*)", text, re.M))
    line = re.search(r"m\.pml:(\d+), Error: assertion violated", text)
    check.verdict = "progress"
    if line is not None:
        with open(os.path.join(folder, "m.pml")) as f:
            source = f.read().splitlines()[int(line.group(1)) - 1]
        named = re.search(r"/\* (\w+) \*/", source)
        check.verdict = named.group(1) if named else source.strip()
        check.trail += "\nviolated: " + source.strip()
    elif not check.trail:
        check.trail = text[-4000:]


def run(check):
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="dray-model-") as folder:
        try:
            build(check, folder)
            search(check, folder)
        except (RuntimeError, OSError, subprocess.TimeoutExpired) as e:
            check.verdict, check.trail = "not run", str(e)[-4000:]
    check.seconds = time.monotonic() - started


def row(check):
    return "%-6s %-20s %10d %6d %6.1f s  %-9s %-9s %s" % (
        check.model, check.rule, check.states, check.depth, check.seconds, check.verdict, check.expected or "none",
        "ok" if check.good() else "FAIL")


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1].split("\n")[0], description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deep", action="store_true")
    parser.add_argument("--json", action="store_true", help="one record a line, for check.py")
    parser.add_argument("-v", "--verbose", action="store_true")
    parser.add_argument("-k", metavar="WORD", default="")
    options = parser.parse_args()
    checks = [Check(*c) for c in CHECKS + (DEEP if options.deep else []) if options.k in " ".join(c[:2])]
    if not options.json:
        print("%-6s %-20s %10s %6s %8s  %-9s %s" % ("model", "what, or a rule less", "states", "depth", "time", "violated",
                                                    "expected"))
    for check in checks:
        run(check)
        if options.json:
            print(json.dumps({"test": check.name(), "outcome": "passed" if check.good() else "failed",
                              "seconds": check.seconds, "text": "" if check.good() else row(check) + "\n" + check.trail}),
                  flush=True)
            continue
        print(row(check), flush=True)
        if options.verbose and check.trail or not check.good():
            print("    " + check.trail.replace("\n", "\n    "), flush=True)
    bad = sum(not c.good() for c in checks)
    if not options.json:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        print("%d as expected, %d not; %.0f s of CPU, at most %d MB" %
              (len(checks) - bad, bad, used.ru_utime + used.ru_stime, used.ru_maxrss // 1024))
    return 1 if bad or not checks else 0


if __name__ == "__main__":
    sys.exit(main())
