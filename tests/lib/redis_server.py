"""A redis-server of the test's own (for mode standalone, and to read what a stopped instance left on disk)."""
import os
import shutil
import signal
import subprocess
import tempfile

import redis

from lib.wait import wait_for


class RedisServer:
    """Listens on a unix socket, and on TCP at 127.0.0.1 with port=True. options: redis.conf names, _ for -."""

    def __init__(self, directory=None, port=False, host="127.0.0.1", **options):
        self.own_dir = directory is None
        self.dir = directory or tempfile.mkdtemp(prefix="dray-redis-")
        self.socket = os.path.join(self.dir, "s.sock")
        self.host, self.port = host, _free_port(host) if port else 0
        self.options = {"appendonly": "yes", "appendfsync": "always", "save": "", "maxmemory_policy": "noeviction"}
        self.options.update(options)
        self.process = None
        self.start()

    def start(self):
        args = ["redis-server", "--dir", self.dir, "--unixsocket", self.socket, "--port", str(self.port),
                "--bind", self.host, "--daemonize", "no", "--logfile", os.path.join(self.dir, "log")]
        for name, value in self.options.items():
            args += ["--" + name.replace("_", "-"), str(value)]
        self.process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)

        def answers():
            assert self.process.poll() is None, "redis-server ended: " + self.log()[-500:]
            try:
                return self.client().ping()
            except redis.exceptions.RedisError:
                return False  # not there yet, or loading
        wait_for(answers, 20, "redis-server answers")

    def log(self):
        try:
            with open(os.path.join(self.dir, "log")) as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def client(self, db=0):
        return redis.Redis(unix_socket_path=self.socket, db=db, decode_responses=False,
                           password=self.options.get("requirepass"))

    @property
    def url(self):
        return "unix://%s?db=0" % self.socket

    @property
    def tcp_url(self):
        return "redis://%s:%d/0" % (self.host, self.port)

    def freeze(self):
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.kill()
        if self.own_dir:
            shutil.rmtree(self.dir, ignore_errors=True)


def _free_port(host):
    import socket
    with socket.socket() as s:
        s.bind((host, 0))
        return s.getsockname()[1]


def from_copy(data_dir):
    """A server over a copy of a data folder: reading does not change the evidence."""
    copy = tempfile.mkdtemp(prefix="dray-redis-")
    shutil.copytree(data_dir, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.sock", "*.lock", "log"))
    os.chmod(copy, 0o700)
    server = RedisServer(copy)
    server.own_dir = True
    return server


def slow_fsync_binary(directory, milliseconds):
    """Path of a redis-server whose every fsync takes so much longer, for redis.managed.binary."""
    here = os.path.dirname(os.path.abspath(__file__))
    library = os.path.join(directory, "slow_fsync.so")
    subprocess.run(["cc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", library, os.path.join(here, "slow_fsync.c")],
                   check=True)
    path = os.path.join(directory, "slow-redis-server")
    with open(path, "w") as f:
        f.write("#!/bin/sh\nSLOW_FSYNC_MS=%d LD_PRELOAD=%s exec redis-server \"$@\"\n" % (milliseconds, library))
    os.chmod(path, 0o755)
    return path
