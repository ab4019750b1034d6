"""The npm packages of the interop tests, at the versions of interop/package-lock.json, installed once into BUILD/npm; those of
the benchmarks with peers in the same way.

The lock file names no registry: npm takes the one it is configured for, and checks every package by its digest."""
import fcntl
import hashlib
import os
import shutil
import subprocess

SOURCE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "interop")
FILES = ("package.json", "package-lock.json")
SECONDS = 180


class NotInstalled(Exception):
    """npm could not install the packages; the text says what to look at."""


def install(build, source=SOURCE, name="npm"):
    """The folder that has node_modules in it. Several processes may ask at once."""
    folder = os.path.join(os.path.abspath(build), name)
    os.makedirs(folder, exist_ok=True)
    digest = hashlib.sha256(b"".join(_read(os.path.join(source, f)) for f in FILES)).hexdigest().encode()
    mark = os.path.join(folder, "installed")
    with open(os.path.join(folder, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(mark) or _read(mark) != digest:
            for f in FILES:
                shutil.copy(os.path.join(source, f), folder)
            _npm_ci(folder, source)
            with open(mark, "wb") as f:
                f.write(digest)
    return folder


def _npm_ci(folder, source):
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-progress", "--no-update-notifier",
               "--fetch-retries=2", "--fetch-retry-mintimeout=1000", "--fetch-timeout=20000"]
    try:
        done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=SECONDS)
        said = done.stderr.strip()[-1500:]
    except FileNotFoundError:
        raise NotInstalled("there is no npm: run etc/setup.sh") from None
    except subprocess.TimeoutExpired:
        done, said = None, "no end within %d s" % SECONDS
    if done is None or done.returncode != 0:
        registry = subprocess.run(["npm", "config", "get", "registry"], cwd=folder, stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True).stdout.strip()
        raise NotInstalled("npm ci could not install the packages of %s/package-lock.json from %s (is the registry reachable "
                           "from here?):\n%s" % (os.path.relpath(source), registry, said))


def _read(path):
    with open(path, "rb") as f:
        return f.read()
