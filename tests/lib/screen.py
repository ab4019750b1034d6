"""A terminal in the test's hands: a program runs on a pseudo-terminal, what it draws is kept as a screen (pyte).

    screen = Screen([dray.binary, "top", "-c", dray.config_path], columns=80, lines=24)
    screen.wait("PROCESS"); screen.type("c"); screen.text(); screen.resize(40, 10); screen.end()"""
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

import pyte

from lib.wait import wait_for


class Screen:
    def __init__(self, command, columns=80, lines=24, env=None, cwd=None):
        self.master, self.slave = pty.openpty()  # the slave stays open here: its settings are looked at afterwards
        self.screen = pyte.Screen(columns, lines)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self._size(columns, lines)
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(command, stdin=self.slave, stdout=self.slave, stderr=self.slave, cwd=cwd,
                                        env={**os.environ, "TERM": "linux", "LC_ALL": "C.UTF-8", **(env or {})},
                                        start_new_session=True)

    def _size(self, columns, lines):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def resize(self, columns, lines):
        self._size(columns, lines)
        self.screen.resize(lines, columns)
        self.process.send_signal(signal.SIGWINCH)

    def type(self, keys):
        os.write(self.master, keys.encode())

    def pump(self, seconds=0.05):
        deadline = time.monotonic() + seconds
        while select.select([self.master], [], [], max(0, deadline - time.monotonic()))[0]:
            data = os.read(self.master, 65536)
            self.raw += data
            self.stream.feed(data)

    def lines(self):
        self.pump()
        return [line.rstrip() for line in self.screen.display]

    def text(self):
        return "\n".join(self.lines())

    def wait(self, condition, seconds=10):
        """A text on the screen, or a function of its lines."""
        found = (lambda: condition in self.text()) if isinstance(condition, str) else (lambda: condition(self.lines()))
        try:
            return wait_for(found, seconds, "on the screen: %r" % condition)
        except AssertionError as error:
            raise AssertionError("%s\n%s" % (error, self.text())) from None

    def end(self, seconds=10):
        """The exit code of the program, once it has ended."""
        wait_for(lambda: (self.pump(), self.process.poll() is not None)[1], seconds, "the program ends")
        self.pump()
        return self.process.returncode

    def is_restored(self):
        """As it was before: settings, the cursor, and the other screen of a terminal that has one."""
        def last_is(on, off):
            return off not in self.raw or self.raw.rindex(on) > self.raw.rindex(off)
        return termios.tcgetattr(self.slave) == self.before and b"\x1b[?25l" in self.raw and \
            last_is(b"\x1b[?25h", b"\x1b[?25l") and last_is(b"\x1b[?1049l", b"\x1b[?1049h")

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)
