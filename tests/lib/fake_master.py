"""One real child of dray under a master made of Python: the child's whole world is in the test's hands.

    master = fake_master("console", conf, listen=["127.0.0.1:0"])     fixture; a child of that kind, not started
    master.start()                            spawns it, takes HELLO, sends CONFIG
    master.expect("READY")                    the next message of that type (others are kept in master.seen)
    master.send("HEALTH", True, "{}")         fields in msg.def's order
    link = master.link("ingest")              a pipe pair to a receiver (delivery); link.send_batch(...), link.expect("STORED")
    master.raw(b"...")                        bytes as they are, on the control socket
    master.log()                              what it wrote to its log pipe
    master.wait_exit()                        exit code, or -signal
"""
import array
import fcntl
import hashlib
import itertools
import json
import os
import re
import select
import shutil
import signal
import socket
import struct
import tempfile
import time
import uuid

import msgpack

from lib import config

HEAD = 0xCE
FIRST_PARKED = 200


def _table():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "ipc", "msg.def")
    with open(path) as f:
        return {m.group(2): int(m.group(1)) for m in re.finditer(r"^X\((\d+), (\w+),", f.read(), re.M)}


NUMBERS = _table()
NAMES = {number: name for name, number in NUMBERS.items()}


def frame(body):
    return struct.pack(">BI", HEAD, len(body)) + body


def message(name, generation, *fields):
    """One whole frame."""
    return frame(msgpack.packb([NUMBERS[name], generation, *fields]))


class Message:
    def __init__(self, name, generation, fields):
        self.name, self.generation, self.fields = name, generation, fields

    def __repr__(self):
        return "%s(gen %d)%s" % (self.name, self.generation, self.fields)


class Reader:
    """Takes bytes, gives messages."""

    def __init__(self):
        self.buffer = b""

    def feed(self, data):
        self.buffer += data
        found = []
        while len(self.buffer) >= 5:
            head, length = struct.unpack(">BI", self.buffer[:5])
            assert head == HEAD, "not a frame: %r" % self.buffer[:20]
            if len(self.buffer) < 5 + length:
                break
            kind, generation, *fields = msgpack.unpackb(self.buffer[5:5 + length], raw=False, strict_map_key=False,
                                                          unicode_errors="surrogateescape")  # ids are bytes
            self.buffer = self.buffer[5 + length:]
            found.append(Message(NAMES.get(kind, str(kind)), generation, fields))
        return found


class Link:
    """Our half of a pipe pair to a receiver: batches out, acks in. From the moment of the child's death acks end."""

    def __init__(self, batch_fd, ack_fd, generation):
        self.batch_fd, self.ack_fd, self.generation = batch_fd, ack_fd, generation
        self.reader, self.seen = Reader(), []
        self.is_ended = False

    def send(self, name, *fields):
        self.raw(message(name, self.generation, *fields))

    def raw(self, data):
        while data:
            data = data[os.write(self.batch_fd, data):]

    def send_batch(self, batch_id, events, source="web", queue="sink", tries=0, key=""):
        """events: JSON texts."""
        self.send("EVENTS", batch_id, tries, source, queue, key, [e.encode() for e in events])

    def expect(self, *names, seconds=10):
        """The next message of one of these types; those before it stay in seen."""
        deadline = time.monotonic() + seconds
        while True:
            for i, m in enumerate(self.seen):
                if m.name in names:
                    return self.seen.pop(i)
            left = deadline - time.monotonic()
            assert left > 0 and not self.is_ended, "no %s; seen: %s, ended: %s" % (names, self.seen, self.is_ended)
            if select.select([self.ack_fd], [], [], left)[0]:
                data = os.read(self.ack_fd, 65536)
                self.is_ended = not data
                self.seen += self.reader.feed(data)

    def close(self):
        for fd in (self.batch_fd, self.ack_fd):
            try:
                os.close(fd)
            except OSError:
                pass


class FakeMaster:
    links = itertools.count(1)

    def __init__(self, build, kind, conf=None, listen=(), slot=0, variant="asan", generation=7, beat_ms=200,
                 hang_ms=5000, drain_ms=5000):
        self.binary = os.path.join(build, variant, "dray")
        self.kind, self.slot, self.conf, self.generation = kind, slot, conf or {}, generation
        self.times = (beat_ms, hang_ms, drain_ms)
        self.dir = tempfile.mkdtemp(prefix="dray-")
        self.node = str(uuid.uuid4())
        self.run = 1
        self.listeners = []
        for address in listen:
            host, port = address.rsplit(":", 1)
            self.listeners.append(socket.create_server((host, int(port))))
        self.pid, self.exit_code = None, None
        self.control = self.log_fd = None
        self.reader, self.seen, self.is_ended = Reader(), [], False
        self.log_bytes = b""

    def address(self, i=0):
        return "%s:%d" % self.listeners[i].getsockname()[:2]

    # ---- birth

    def spawn(self):
        """fork and exec, descriptors at their numbers; nothing is sent."""
        self.control, theirs = socket.socketpair()
        self.log_fd, log = os.pipe()
        null = os.open("/dev/null", os.O_RDWR)
        wanted = [null, log, log, theirs.fileno()] + [s.fileno() for s in self.listeners]
        actions = [(os.POSIX_SPAWN_DUP2, fd, FIRST_PARKED + i) for i, fd in enumerate(wanted)]
        for i in range(len(wanted)):
            actions += [(os.POSIX_SPAWN_DUP2, FIRST_PARKED + i, i), (os.POSIX_SPAWN_CLOSE, FIRST_PARKED + i)]
        env = dict(os.environ, ASAN_OPTIONS="detect_leaks=1:log_path=%s/sanitizer" % self.dir,
                   UBSAN_OPTIONS="print_stacktrace=1:log_path=%s/sanitizer" % self.dir)
        self.pid = os.posix_spawn(self.binary, [self.binary, "-x", self.kind, "-n", str(self.slot)], env,
                                  file_actions=actions, setpgroup=0)
        theirs.close()
        os.close(log)
        os.close(null)
        fcntl.fcntl(self.log_fd, fcntl.F_SETFL, os.O_NONBLOCK)
        return self

    def start(self):
        self.spawn()
        hello = self.expect("HELLO")
        assert hello.fields[2:5] == [self.kind, self.slot, self.pid]
        self.send_config()
        return self

    def config_fd(self, text, seals=True):
        fd = os.memfd_create("config", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.write(fd, text)
        if seals:
            fcntl.fcntl(fd, 1033, 0x2 | 0x4 | 0x8)  # F_ADD_SEALS: SHRINK, GROW, WRITE
        return fd

    def send_config(self):
        # No spool is introduced to a child unless its test does so and says so.
        text = json.dumps(config.merge({"master": {"processes": {"spool": 0}}}, self.conf)).encode()
        fd = self.config_fd(text)
        self.send("CONFIG", 1, len(text), hashlib.sha256(text).digest(), len(self.listeners), self.node, self.run,
                  *self.times, fds=[fd])
        os.close(fd)

    # ---- talk

    def send(self, name, *fields, fds=()):
        self.raw(message(name, self.generation, *fields), fds)

    def raw(self, data, fds=()):
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        sent = self.control.sendmsg([data], ancillary)
        self.control.sendall(data[sent:])

    def expect(self, *names, seconds=20):
        """The next message of one of these types; those before it stay in seen."""
        deadline = time.monotonic() + seconds
        while True:
            for i, m in enumerate(self.seen):
                if m.name in names:
                    return self.seen.pop(i)
            left = deadline - time.monotonic()
            assert left > 0 and not self.is_ended, "no %s; seen: %s, ended: %s\n%s" % (
                names, self.seen, self.is_ended, self.log())
            self.pump(left)

    def pump(self, seconds=0.0):
        """Reads what there is, waiting at most so long for something."""
        self.log()
        if select.select([self.control], [], [], seconds)[0]:
            try:
                data = self.control.recv(1 << 20)
            except ConnectionResetError:
                data = b""
            self.is_ended = not data
            self.seen += self.reader.feed(data)

    def link(self, peer_kind="ingest", role=1, peer_slot=0, peer_generation=3):
        """Gives the child one half of a new pipe pair; the other is returned. role: 1 it receives batches."""
        batch_r, batch_w = os.pipe()
        ack_r, ack_w = os.pipe()
        theirs, ours = ((batch_r, ack_w), (batch_w, ack_r)) if role == 1 else ((batch_w, ack_r), (batch_r, ack_w))
        self.send("LINK", next(self.links), role, peer_kind, peer_slot, peer_generation, fds=list(theirs))
        for fd in theirs:
            os.close(fd)
        return Link(*ours, self.generation)

    def log(self):
        """Everything it wrote so far, \\001 and level digit in front of its lines."""
        while self.log_fd is not None:
            try:
                data = os.read(self.log_fd, 65536)
            except BlockingIOError:
                break
            if not data:
                break
            self.log_bytes += data
        return self.log_bytes.decode("utf-8", "replace")

    # ---- end

    def signal(self, signo):
        os.kill(self.pid, signo)

    def wait_exit(self, seconds=15):
        deadline = time.monotonic() + seconds
        while self.exit_code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.exit_code = os.waitstatus_to_exitcode(status)
                break
            assert time.monotonic() < deadline, "the child did not end\n" + self.log()
            if self.is_ended:
                time.sleep(0.01)
            else:
                self.pump(0.01)
        self.log()
        return self.exit_code

    def close(self):
        """Ends what is left of it; sanitizer reports as texts."""
        if self.pid is not None and self.exit_code is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait_exit()
        if self.control is not None:
            self.log()
            self.control.close()
            os.close(self.log_fd)
            self.log_fd = None
        for s in self.listeners:
            s.close()
        reports = []
        for name in os.listdir(self.dir):
            if name.startswith("sanitizer"):
                with open(os.path.join(self.dir, name), errors="replace") as f:
                    reports.append(f.read()[:6000])
        if not reports:
            shutil.rmtree(self.dir, ignore_errors=True)
        return reports
