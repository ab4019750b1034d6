#!/usr/bin/python3
"""Checks the floors of the house: who may include whom, and what only one place may call.

Usage: layers.py [OBJECT_FOLDER]. With a folder of objects (build/release) it also looks at what the supervisor's
objects need: nothing of curl, hiredis or llhttp. Prints each violation as file:line and exits 1."""
import os
import re
import subprocess
import sys

# Folders, lowest floor first; the longest match counts. A file includes its own folder or a lower floor.
FLOORS = [
    ("common/base", 0),
    ("common/event", 1), ("common/metrics", 1), ("common/segment", 1),
    ("common/conf", 1.5),
    ("common/redis", 2), ("common/http", 2), ("common/route", 2),
    ("common/queue", 3), ("common/fleet", 3), ("common/quarantine", 3),
    ("ipc", 4),
    ("workers", 5),
    ("master", 6),
    ("master/cli", 7),
]
# Folders that include even less than their floor allows.
NARROW = {
    "ipc": ["common/base"],
    "master": ["common/base", "common/conf", "common/metrics", "ipc"],
}
# (file, what it includes): decided exceptions.
EXCEPTIONS = [
    ("master/kinds.c", "workers/kinds.h"),   # the only file there that knows workers
    ("master/main.c", "master/cli/"),        # the entry of the program
]
# Header of a library: who may include it.
LIBRARIES = {
    r"hiredis/": ["common/redis/", "common/queue/", "common/fleet/", "master/cli/queue"],
    r"curl/": ["common/http/"],
    r"llhttp\.h": ["common/http/"],
    r"msgpack(\.h|/)": ["ipc/", "common/event/"],
    r"libfyaml\.h": ["common/conf/"],
    r"n?curses(w/.*)?\.h": ["master/cli/top"],
    r"syslog\.h": ["master/logsink.c"],
}
# Call: who may make it.
CALLS = {
    r"clock_gettime|gettimeofday|time": ["common/base/clock.c"],
    r"fork|vfork": ["master/spawn.c"],
    r"posix_spawnp?": ["workers/program/", "master/cli/demo"],
    r"wait|waitpid|waitid|wait3|wait4": ["master/reap.c", "workers/program/", "master/cli/demo"],
    r"system|popen|gets|strcat|strtok|alloca": [],
}
FOREIGN = re.compile(r"^(curl_|redis|llhttp_)")  # symbols no object of the supervisor may need

problems = []


def tell(path, line, text):
    problems.append(f"{path}:{line}: {text}")


def sources():
    for top in ("common", "ipc", "workers", "master"):
        for folder, _, names in os.walk(top):
            for name in sorted(names):
                if name.endswith((".c", ".h")):
                    yield os.path.join(folder, name)


def room(path):
    """(folder of the table, floor) of a file."""
    best = ("", None)
    for folder, floor in FLOORS:
        if path.startswith(folder + "/") and len(folder) > len(best[0]):
            best = (folder, floor)
    return best


def same_family(a, b):
    """One folder is the other, or holds it (workers/ and workers/ingest/), but master/ does not know master/cli/."""
    a, b = os.path.dirname(a) + "/", os.path.dirname(b) + "/"
    return a.startswith(b) or b.startswith(a)


def check_include(path, number, target):
    if any(path == who and target.startswith(what) for who, what in EXCEPTIONS):
        return
    mine, floor = room(path)
    theirs, other = room(target)
    if other is None:
        tell(path, number, f'"{target}" is in no room: write the path from the root')
    elif mine == theirs:
        if not same_family(path, target):
            tell(path, number, f'"{target}" is another worker\'s own')
    elif other >= floor:
        tell(path, number, f'"{target}" stands on floor {other}, {mine} on floor {floor}')
    elif mine in NARROW and theirs not in NARROW[mine]:
        tell(path, number, f'"{target}": {mine} includes only {", ".join(NARROW[mine])}')


def check_library(path, number, target):
    for pattern, allowed in LIBRARIES.items():
        if re.match(pattern, target) and not path.startswith(tuple(allowed)):
            tell(path, number, f"<{target}> belongs to {', '.join(allowed)} alone")


def without_comments(text):
    """The text with comments and string contents blanked, line by line."""
    def blank(m):
        s = m.group(0)
        return re.sub(r"[^\n]", " ", s) if s.startswith(("/*", "//")) else s[0] + " " * (len(s) - 2) + s[-1]
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def check_calls(path, text):
    for number, line in enumerate(without_comments(text).split("\n"), 1):
        for pattern, allowed in CALLS.items():
            m = re.search(r"(?<![\w.>])(" + pattern + r")\s*\(", line)
            if m and not path.startswith(tuple(allowed) or ("-",)):
                whose = f"only {', '.join(allowed)} may" if allowed else "nobody may"
                tell(path, number, f"{m.group(1)}(): {whose} call it")


def check_file(path):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    for number, line in enumerate(text.split("\n"), 1):
        m = re.match(r'\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)', line)
        if not m:
            continue
        if m.group(2):
            check_library(path, number, m.group(2))
        elif not m.group(1).endswith(".lua.h"):  # made from a script at build time
            check_include(path, number, m.group(1))
    check_calls(path, text)


def check_objects(folder):
    """What the supervisor's own objects (without its command line and the table of kinds) leave undefined."""
    where = os.path.join(folder, "master")
    objects = sorted(n for n in os.listdir(where) if n.endswith(".o")) if os.path.isdir(where) else []
    wanted = sorted(n[:-2] + ".o" for n in os.listdir("master") if n.endswith(".c")) if os.path.isdir("master") else []
    for name in wanted:
        if name not in objects:
            tell(os.path.join(where, name), 0, "is not built; build first")
        elif name != "kinds.o":
            out = subprocess.run(["nm", "-u", os.path.join(where, name)], capture_output=True, text=True, check=True).stdout
            for symbol in (line.split()[-1] for line in out.splitlines() if line.strip()):
                if FOREIGN.match(symbol):
                    tell(os.path.join("master", name[:-2] + ".c"), 0, f"needs {symbol}: the supervisor knows no Redis and no HTTP")
    return len(wanted)


def main():
    files = list(sources())
    for path in files:
        check_file(path)
    objects = check_objects(sys.argv[1]) if len(sys.argv) > 1 else 0
    for line in problems:
        print(line)
    print(f"layers: {len(files)} files, {objects} objects of the supervisor, {len(problems)} violations")
    return 1 if problems or not files else 0


if __name__ == "__main__":
    sys.exit(main())
