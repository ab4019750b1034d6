"""HTTP by hand: bytes as they are on a socket, and what comes back.

    talk(address, b"GET / HTTP/1.1...")      the answers, read until the other side closes or nothing is owed any more
    Raw(address)                             one connection: send(), answer(), is_closed()
"""
import select
import socket
import time

from lib.client import Answer


class Raw:
    def __init__(self, address, seconds=20):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.seconds = seconds
        self.buffer, self.ended = b"", False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        """False when the other side does not take it any more."""
        try:
            self.socket.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def fill(self, seconds):
        """Reads once; False when there was nothing within so many seconds, or the end is reached."""
        if self.ended or not select.select([self.socket], [], [], max(0.0, seconds))[0]:
            return False
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.buffer += data
        self.ended = not data
        return bool(data)

    def has_bytes(self):
        """Has anything come that was not read yet?"""
        self.fill(0)
        return bool(self.buffer)

    def answer(self, seconds=None):
        """The next answer (1xx ones too); None when the connection ends without one."""
        deadline = time.monotonic() + (seconds or self.seconds)
        while True:
            found = self._take()
            if found is not None:
                return found
            if self.ended:
                return None
            left = deadline - time.monotonic()
            assert left > 0, "no answer, only %r" % self.buffer[:200]
            self.fill(left)

    def _take(self):
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        lines = self.buffer[:end].decode("latin-1").split("\r\n")
        headers = {k.strip().lower(): v.strip() for k, v in (line.split(":", 1) for line in lines[1:])}
        length = int(headers.get("content-length", 0))
        if len(self.buffer) < end + 4 + length:
            return None
        body = self.buffer[end + 4:end + 4 + length]
        self.buffer = self.buffer[end + 4 + length:]
        return Answer(int(lines[0].split(" ")[1]), headers, body)

    def is_closed(self, seconds=5):
        """Waits until the other side has closed; nothing more may come."""
        deadline = time.monotonic() + seconds
        while not self.ended and time.monotonic() < deadline:
            self.fill(deadline - time.monotonic())
        return self.ended


def talk(address, data, answers=1, seconds=20):
    """Sends all, reads so many answers; ([Answer, ...], does the other side close now)."""
    with Raw(address, seconds) as raw:
        raw.send(data)
        found = [raw.answer() for _ in range(answers)]
        return found, raw.is_closed(3) if found[-1] is None or found[-1].headers.get("connection") == "close" else False
