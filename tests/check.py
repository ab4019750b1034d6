#!/usr/bin/python3
"""Runs the tests and closes with one line: N passed, N failed.

usage: check.py [--build DIR] [--only unit|model|proc|fault|e2e|interop] [--soak] [--jobs N] [-v] [FILE or -k EXPR ...]

Unit tests are the executables DIR/asan/tests/unit/*_test, models are what model/run.py says; everything else is pytest,
one process a file. Words that
are not options of this program go to pytest (-k EXPR, ...); a FILE runs that file alone. Exit status 0 only if
something ran and nothing failed.
"""
import argparse
import concurrent.futures
import glob
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

TESTS = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(TESTS)
KINDS = ("unit", "model", "proc", "fault", "e2e", "interop")
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable  # where apt puts pytest
UNIT_LIMIT = 60
FILE_LIMIT, SOAK_LIMIT = 600, 4 * 3600
TAIL = 60


class Tally:
    def __init__(self, verbose):
        self.passed = self.failed = self.skipped = 0
        self.failures = []
        self.verbose = verbose
        self.lock = threading.Lock()

    def say(self, text):
        print(text, flush=True)

    def add(self, name, outcome, seconds=0.0, text=""):
        with self.lock:
            if outcome == "passed":
                self.passed += 1
            elif outcome == "skipped":
                self.skipped += 1
            else:
                self.failed += 1
                self.failures.append((name, text))
            word = {"passed": "ok  ", "skipped": "skip"}.get(outcome, "FAIL")
            if outcome != "passed" or self.verbose or not name.startswith("unit/"):
                self.say("%s %s (%.1f s)%s" % (word, name, seconds, " " + text if outcome == "skipped" else ""))
            if outcome == "passed" and text:
                self.say("     " + text.replace("\n", "\n     "))


def tail(text, lines=TAIL):
    parts = text.rstrip().splitlines()
    return "\n".join((["..."] if len(parts) > lines else []) + parts[-lines:])


# ---- C

def run_unit(path, tally):
    name = "unit/" + os.path.basename(path)
    env = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="STDOUT", ASAN_OPTIONS="handle_segv=2:detect_leaks=1",
               UBSAN_OPTIONS="print_stacktrace=1")
    started = time.monotonic()
    process = subprocess.Popen([path], cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, start_new_session=True)
    try:
        text = process.communicate(timeout=UNIT_LIMIT)[0].decode("utf-8", "replace")
        code = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        text = process.communicate()[0].decode("utf-8", "replace") + "\nover the limit of %d s\n" % UNIT_LIMIT
        code = None
    seconds = time.monotonic() - started
    good = re.findall(r"^\[       OK \] (\S+)", text, re.M)
    bad = re.findall(r"^\[  FAILED  \] (\S+)$", text, re.M)
    skipped = re.findall(r"^\[  SKIPPED \] (\S+)$", text, re.M)
    bad = sorted({b for b in bad if not b.isdigit()})
    for test in good:
        tally.add("%s::%s" % (name, test), "passed")
    for test in sorted(set(skipped)):
        tally.add("%s::%s" % (name, test), "skipped", 0, "(in the test)")
    for test in bad:
        tally.add("%s::%s" % (name, test), "failed", 0, tail(text))
    if not bad and (code != 0 or not good):
        what = "no tests" if code == 0 else "exit code %s" % code
        tally.add(name, "failed", seconds, what + "\n" + tail(text))
    elif not bad:
        with tally.lock:
            tally.say("ok   %s: %d tests (%.1f s)" % (name, len(good), seconds))


# ---- models

def run_models(tally):
    process = subprocess.Popen([PYTHON, os.path.join(TESTS, "model/run.py"), "--json"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    timer = threading.Timer(FILE_LIMIT, os.killpg, (process.pid, signal.SIGKILL))
    timer.start()
    other, seen, bad = [], 0, 0
    for line in process.stdout:
        text = line.decode("utf-8", "replace")
        if not text.startswith("{"):
            other.append(text)
            continue
        record = json.loads(text)
        seen += 1
        bad += record["outcome"] != "passed"
        tally.add(record["test"], record["outcome"], record["seconds"], record["text"])
    code = process.wait()
    timer.cancel()
    if seen == 0 or code != (1 if bad else 0):
        tally.add("model", "failed", 0, "run.py ended with %s\n%s" % (code, tail("".join(other))))


# ---- Python

def run_file(path, options, tally):
    name = os.path.relpath(path, TESTS)
    limit = SOAK_LIMIT if options.soak else FILE_LIMIT
    with tempfile.NamedTemporaryFile(prefix="dray-report-") as report, tempfile.TemporaryFile() as out:
        command = [PYTHON, "-m", "pytest", "-c", os.path.join(TESTS, "pytest.ini"), "--rootdir", TESTS,
                   "--tb=short", "--build=" + options.build, "--report=" + report.name, path, *options.rest]
        if options.soak:
            command.append("--soak")
        process = subprocess.Popen(command, cwd=TESTS, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                   env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1"), start_new_session=True)
        code, seen = follow(process, report.name, limit, name, tally)
        out.seek(0)
        text = out.read().decode("utf-8", "replace")
    if code is None:
        tally.add(name, "failed", limit, "over the limit of %d s\n%s" % (limit, tail(text)))
    elif code == 5 and options.rest:
        pass  # -k deselected everything in this file
    elif code not in (0, 1) or not seen:
        tally.add(name, "failed", 0, "pytest ended with %s\n%s" % (code, tail(text)))


def follow(process, report_path, limit, name, tally):
    """Reads the report while it grows. Returns the exit code (None: over the limit) and how many tests were seen."""
    deadline = time.monotonic() + limit
    state = {}  # test -> record of its call, until the next test shows that its teardown passed
    seen = 0
    with open(report_path) as f:
        while True:
            code = process.poll()
            for record in read_records(f):
                seen += 1
                settle(state, record, tally)
            if code is not None:
                flush(state, None, tally)
                return code, seen
            if time.monotonic() > deadline:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                flush(state, None, tally)
                return None, seen
            time.sleep(0.05)


def read_records(f):
    found = []
    while True:
        at = f.tell()
        line = f.readline()
        if not line.endswith("\n"):
            f.seek(at)
            return found
        found.append(json.loads(line))


def settle(state, record, tally):
    """A test counts once: it passed only if its teardown, with the checks after every test, passed too."""
    name = record["test"]
    flush(state, name, tally)
    before = state.get(name)
    if before is None:
        state[name] = record
    elif record["outcome"] == "failed":
        before["outcome"] = "failed"
        before["text"] += "\n" + record["text"]


def flush(state, but, tally):
    for name in [n for n in state if n != but]:
        r = state.pop(name)
        tally.add(name, r["outcome"], r["seconds"], r["reason"] if r["outcome"] == "skipped" else r["text"])


def run_again(options, tally):
    """What failed beside others gets one run alone: a fault shows again, the load of a busy machine does not. What then
    passes is counted so, and told as flaky with what it said."""
    for file in sorted({name.split("::")[0] for name, _ in tally.failures if "_test.py" in name}):
        second = Tally(False)
        run_file(os.path.join(TESTS, file), options, second)
        if second.failed > 0 or second.passed == 0:
            continue
        mine = [f for f in tally.failures if f[0].split("::")[0] == file]
        tally.failures = [f for f in tally.failures if f not in mine]
        tally.failed -= len(mine)
        tally.passed += len(mine)
        for name, text in mine:
            tally.say("\n======== FLAKY %s: failed beside others, passed alone\n%s" % (name, text))


def is_alone(path):
    with open(path) as f:
        return "mark.alone" in f.read()


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1].split("\n")[0], description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--only", choices=KINDS, action="append")
    parser.add_argument("--soak", action="store_true")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("-v", "--verbose", action="store_true")
    options, rest = parser.parse_known_args()
    options.build = os.path.abspath(options.build)
    files = [os.path.abspath(w) for w in rest if w.endswith("_test.py") or w.endswith("_test.c")]
    options.rest = [w for w in rest if os.path.abspath(w) not in files]
    kinds = options.only or KINDS
    if options.soak:
        options.rest += ["-m", "soak"]
    tally = Tally(options.verbose)
    started = time.monotonic()

    units, paths = [], []
    for kind in kinds:
        if kind == "unit":
            if not options.soak and not options.rest:
                units = sorted(glob.glob(os.path.join(options.build, "asan/tests/unit/*_test")))
        else:
            paths += sorted(glob.glob(os.path.join(TESTS, kind, "*_test.py")))
    if files:
        names = {os.path.basename(f)[:-2] for f in files if f.endswith(".c")}
        units = [u for u in units if os.path.basename(u) in names]
        paths = [p for p in paths if p in files]
    with concurrent.futures.ThreadPoolExecutor(max(1, options.jobs)) as pool:
        models = pool.submit(run_models, tally) if "model" in kinds and not (options.soak or options.rest or files) else None
        list(pool.map(lambda u: run_unit(u, tally), units))
        list(pool.map(lambda p: run_file(p, options, tally), [p for p in paths if not is_alone(p)]))
        if models is not None:
            models.result()
    for p in paths:
        if is_alone(p):
            run_file(p, options, tally)

    run_again(options, tally)
    for name, text in tally.failures:
        tally.say("\n======== FAILED %s\n%s" % (name, text))
    tally.say("\n%.0f s" % (time.monotonic() - started))
    if tally.passed + tally.failed == 0:
        tally.say("nothing ran: no test found in %s" % options.build)
        tally.failed += 1
    skipped = ", %d skipped" % tally.skipped if tally.skipped else ""
    tally.say("%d passed, %d failed%s" % (tally.passed, tally.failed, skipped))
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
