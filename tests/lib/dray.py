"""A real dray in a folder of its own: start, ask, signal, stop, and the checks that hold after every test."""
import itertools
import json
import os
import random
import shutil
import signal
import socket
import stat
import subprocess
import tempfile

from lib import config, jobs, logs, procs, redis_server
from lib.client import Client
from lib.wait import wait_for

# Addresses are never shared: every instance has its own in 127/8, so that ports cannot clash between tests.
_host = ("127.%d.%d.%d" % (random.SystemRandom().randrange(1, 250), random.SystemRandom().randrange(256), n)
         for n in itertools.cycle(range(1, 255)))

DEFAULTS = {
    "version": 1,
    "master": {"processes": {"delivery": 2}, "drain": "10s"},
    "redis": {"managed": {"maxmemory": "256MiB"}},
    "delivery": {"timeout": "5s", "circuit": {"open_min": "100ms", "open_max": "1s", "ramp": "1s"}},
    "queue": {"backoff": {"delay": "100ms", "max": "1s"}},
    "log": {"level": "info", "format": "logfmt"},
}

SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:verify_asan_link_order=0:log_path=%s/sanitizer",
    "UBSAN_OPTIONS": "print_stacktrace=1:log_path=%s/sanitizer",
    "LSAN_OPTIONS": "log_path=%s/sanitizer",
}

# What may stay in run_dir when nothing runs.
REMAINS = ("lock",)


class Dray:
    """conf: laid over DEFAULTS (dicts merge, None removes). sink: the destination named "sink"; or destinations
    in conf. Everything below self.dir is removed when the test passed."""

    key = "test-key"

    def __init__(self, build, sink=None, conf=None, variant="asan", directory=None, env=None, args=(), name="dray"):
        self.binary = os.path.join(build, variant, "dray")
        self.name = name
        self.own_dir = directory is None
        self.dir = directory or tempfile.mkdtemp(prefix="dray-")
        self.host = next(_host)
        self.ingest = self.host + ":8080"
        self.console = self.host + ":8090"
        self.run_dir, self.state_dir = os.path.join(self.dir, "run"), os.path.join(self.dir, "state")
        self.config_path = os.path.join(self.dir, "dray.yaml")
        self.env, self.args = dict(env or {}), list(args)
        self.log = logs.Log(os.path.join(self.dir, "log"))
        self.process = None
        self.stderr = None
        self.exit_code = None
        self.expected_events = set()
        self.may_leave = set()
        self.wanted_exit = 0
        base = config.merge(DEFAULTS, {
            "node": {"name": name, "state_dir": self.state_dir, "run_dir": self.run_dir},
            "ingest": {"listeners": [{"id": "public", "address": self.ingest}]},
            "sources": [{"id": "web", "write_key": self.key}],
            "console": {"address": self.console},
        })
        if sink is not None:
            base["destinations"] = [{"id": "sink", "url": sink.url}]
        self.conf = config.merge(base, conf)
        self.write_config()

    # ---- paths

    @property
    def quarantine_dir(self):
        return os.path.join(self.state_dir, "quarantine")

    @property
    def control_path(self):
        return os.path.join(self.run_dir, "control.sock")

    @property
    def redis_path(self):
        return os.path.join(self.run_dir, "redis.sock")

    def write_config(self, conf=None):
        """Writes the file; conf is laid over what there is."""
        self.conf = config.merge(self.conf, conf)
        with open(self.config_path, "w") as f:
            f.write("# of a test\n" + config.dump(self.conf) + "\n")

    # ---- running

    def environment(self):
        env = {k: v for k, v in os.environ.items() if not k.startswith("DRAY_")}
        for name, value in SANITIZER_OPTIONS.items():
            env[name] = value % self.dir
        env.update(self.env)
        return env

    def start(self, wait=True, seconds=30, stderr=None):
        """stderr, or self.stderr: a descriptor that takes the log instead of the file self.log reads."""
        stderr = self.stderr if stderr is None else stderr
        assert self.process is None or self.process.poll() is not None, "it runs already"
        self.exit_code = None
        with open(self.log.path, "ab") as log, open(os.path.join(self.dir, "out"), "ab") as out:
            self.process = subprocess.Popen([self.binary, "run", "-c", self.config_path, *self.args],
                                            stdin=subprocess.DEVNULL, stdout=out, cwd=self.dir,
                                            stderr=log if stderr is None else stderr,
                                            env=self.environment(), start_new_session=True)
        if wait:
            self.wait_ready(seconds)
        return self

    def run_verb(self, *words, seconds=30, user=None, input=None, env=None):
        """Runs `dray WORDS` to its end; CompletedProcess with text in stdout and stderr."""
        command = [self.binary, *words]
        if user is not None:
            command = ["setpriv", "--reuid", user, "--regid", "nogroup", "--clear-groups", *command]
        return subprocess.run(command, cwd=self.dir, env={**self.environment(), **(env or {})}, timeout=seconds,
                              input=input, capture_output=True, text=True)

    def cli(self, *words, **options):
        """The same for a verb that speaks to this instance: -c FILE is added."""
        return self.run_verb(words[0], "-c", self.config_path, *words[1:], **options)

    @property
    def pid(self):
        return self.process.pid

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def wait_ready(self, seconds=30):
        def ready():
            assert self.is_running() or self._tell_exit()
            return self.get("/readyz").status == 200
        wait_for(ready, seconds, "%s is ready" % self.name)
        self.wait_all_up()

    def _tell_exit(self):
        raise RuntimeError("dray ended with exit code %s:\n%s" % (self.process.returncode, self.log.tail(20)))

    def wait_exit(self, seconds=30):
        """Waits for the master's end; its exit code (-N: died of signal N)."""
        if self.exit_code is None:
            try:
                self.exit_code = self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                raise AssertionError("%s did not end within %.0f s" % (self.name, seconds)) from None
        return self.exit_code

    def stop(self, seconds=None):
        """SIGTERM and its end; the exit code. The default deadline is twice master.drain and a bit."""
        if self.is_running():
            self.process.send_signal(signal.SIGTERM)
        return self.wait_exit(seconds or 2 * duration(self.conf["master"]["drain"]) + 10)

    def kill_master(self):
        """kill -9; what it leaves behind becomes our child."""
        self.expect_exit(-signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        self.exit_code = self.process.returncode

    def expect_exit(self, code):
        """The exit code that the check at the end of the test accepts (0 otherwise)."""
        self.wanted_exit = code

    def expect(self, *events):
        """These log events of level crit belong to the test."""
        self.expected_events.update(events)

    # ---- asking

    def control(self, request, seconds=10):
        """One JSON line to the control socket, its answer."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(seconds)
            s.connect(self.control_path)
            s.sendall(json.dumps(request).encode() + b"\n")
            text = b""
            while not text.endswith(b"\n"):
                piece = s.recv(65536)
                if not piece:
                    break
                text += piece
        return json.loads(text)

    def status(self):
        return self.control({"verb": "status"})

    def processes(self, kind=None, state=None):
        return [p for p in self.status()["processes"]
                if (kind is None or p["kind"] == kind) and (state is None or p["state"] == state)]

    def slot(self, kind, number=0):
        """The process entry of one slot."""
        for p in self.processes(kind):
            if p["slot"] == number:
                return p
        raise LookupError("no slot %s %d" % (kind, number))

    def pid_of(self, kind, number=0):
        p = self.slot(kind, number)
        if not p["pid"]:
            raise LookupError("%s %d has no process: %s" % (kind, number, p["state"]))
        return p["pid"]

    def redis_pid(self):
        """The managed redis-server itself."""
        for p in procs.descendants(self.process.pid):
            if p.name.startswith("redis-server") and p.state != "Z":
                return p.pid
        raise LookupError("no redis-server below %d" % self.process.pid)

    def signal(self, kind, number, signo):
        """Sends a signal to a slot's process; its pid."""
        pid = self.pid_of(kind, number)
        os.kill(pid, signo)
        return pid

    def kill(self, kind, number=0):
        return self.signal(kind, number, signal.SIGKILL)

    def wait_replaced(self, kind, number, old_pid, seconds=10):
        """Waits until another process than old_pid is up in the slot; its entry."""
        def replaced():
            p = self.slot(kind, number)
            return p if p["state"] == "up" and p["pid"] not in (0, None, old_pid) else None
        return wait_for(replaced, seconds, "%s %d is replaced" % (kind, number))

    def wait_all_up(self, seconds=15):
        wait_for(lambda: all(p["state"] == "up" for p in self.status()["processes"]), seconds, "all slots up")

    def get(self, path):
        with Client(self.console, key=None, timeout=5) as c:
            return c.get(path)

    def metrics(self):
        """{"name{label=\"value\"}": number}"""
        found = {}
        for line in self.get("/metrics").body.decode().splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                found[name] = float(value)
        return found

    def metric(self, name, **labels):
        """Sum over the series of a metric that have these labels."""
        total = 0
        for key, value in self.metrics().items():
            if key.split("{")[0] == name and all('%s="%s"' % pair in key for pair in labels.items()):
                total += value
        return total

    def client(self, **options):
        return Client(self.ingest, self.key, **options)

    def redis(self):
        """A plain client of the Redis in use."""
        import redis
        url = self.conf["redis"].get("url")
        if self.conf["redis"].get("mode", "managed") == "managed":
            return redis.Redis(unix_socket_path=self.redis_path, socket_timeout=5)
        more = {k: self.conf["redis"][k] for k in ("username", "password") if self.conf["redis"].get(k)}
        if url.startswith("unix://"):
            path, _, query = url[7:].partition("?")
            return redis.Redis(unix_socket_path=path, db=int(query[3:] or 0), socket_timeout=5, **more)
        return redis.Redis.from_url(url, socket_timeout=5, **more)

    def queue_counts(self, queue="sink"):
        return jobs.counts(self.redis(), queue, self.prefix)

    @property
    def prefix(self):
        return self.conf["queue"].get("prefix", "{dray}")

    def held_message_ids(self):
        """Ids of the events in Redis; of a stopped instance they are read from a copy of its data."""
        import redis
        try:
            return jobs.held_message_ids(self.redis(), self.prefix)
        except redis.exceptions.ConnectionError:
            if self.conf["redis"].get("mode", "managed") != "managed":
                raise
        server = redis_server.from_copy(os.path.join(self.state_dir, "redis"))
        try:
            return jobs.held_message_ids(server.client(), self.prefix)
        finally:
            server.close()

    def fd_baseline(self):
        """Remembers the master's descriptor count; check_fds later waits for it to come back."""
        self._fds = procs.fds(self.pid)
        return len(self._fds)

    def check_fds(self, seconds=10):
        def back():
            return len(procs.fds(self.pid)) <= len(self._fds)
        try:
            wait_for(back, seconds, "descriptors back at the baseline")
        except AssertionError:
            now = procs.fds(self.pid)
            raise AssertionError("the master has %d descriptors, before %d; new: %s" % (
                len(now), len(self._fds), sorted(set(now.values()) - set(self._fds.values())))) from None

    # ---- the end

    def zombies(self):
        return [p for p in procs.descendants(self.process.pid) if p.state == "Z"] if self.is_running() else []

    def sanitizer_reports(self):
        found = []
        for name in sorted(os.listdir(self.dir)):
            if name.startswith("sanitizer"):
                with open(os.path.join(self.dir, name), errors="replace") as f:
                    found.append("%s:\n%s" % (name, f.read()[:6000]))
        found += ["in the log: " + line for line in self.log.lines() if logs.SANITIZER.search(line)]
        return found

    def faults(self):
        """Everything that is wrong after a test, as texts. Stops the instance."""
        found = []
        if self.is_running():
            try:
                wait_for(lambda: not self.zombies(), 3, "no zombie below the master")
            except AssertionError:
                found.append("zombies: %s" % self.zombies())
            for pid in [p.pid for p in procs.descendants(self.pid) if p.state == "T"]:
                os.kill(pid, signal.SIGCONT)  # a test may leave something stopped
            try:
                self.stop()
            except AssertionError as error:
                found.append(str(error))
                self.process.kill()
                self.process.wait()
        elif self.process is not None:
            self.exit_code = self.process.wait()
        if self.process is not None and self.exit_code not in (None, self.wanted_exit):
            found.append("exit code %s, expected %s" % (self.exit_code, self.wanted_exit))
        found += self.sanitizer_reports()
        found += ["log grammar: " + text for text in self.log.bad_lines()[:5]]
        for r in self.log.records(level="crit"):
            if r["event"] not in self.expected_events:
                found.append("critical line that the test did not expect: %s" % r)
        if "syscall_denied" not in self.expected_events:
            found += ["a system call was denied: %s" % r for r in self.log.records("syscall_denied")]
        if self.exit_code == 0:
            found += ["left in run_dir: " + name for name in self.run_dir_remains()]
        return found

    def run_dir_remains(self):
        found = []
        for name in os.listdir(self.run_dir) if os.path.isdir(self.run_dir) else []:
            mode = os.lstat(os.path.join(self.run_dir, name)).st_mode
            if stat.S_ISSOCK(mode) or name not in REMAINS and name not in self.may_leave:
                found.append(name)
        return found

    def remove(self):
        if self.own_dir:
            shutil.rmtree(self.dir, ignore_errors=True)


def duration(text):
    """"25s", "100ms", "1m" in seconds."""
    for unit, factor in (("ms", 0.001), ("s", 1), ("m", 60), ("h", 3600)):
        if text.endswith(unit):
            return float(text[:-len(unit)]) * factor
    raise ValueError(text)
