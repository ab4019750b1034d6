"""Destinations and proxies at the level of bytes: threads and plain sockets.

    with TlsSink(cert, key, client_ca=None) as s:    an https destination: s.port, s.requests [(head, body, peer's name)]
    with Bytes(fn) as s:                             fn(connection, head, body) answers as it likes
    with Proxy("http", user=, password=, refuse=) as p:   also "socks5": p.port, p.asked ["host:port", ...]
"""
import base64
import socket
import ssl
import threading


class _Server:
    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.connections, self.open = 0, []
        self.ended = False

    def __enter__(self):
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_error):
        self.ended = True
        self.listener.close()
        for c in self.open:
            try:
                c.close()
            except OSError:
                pass

    def accept(self):
        while not self.ended:
            try:
                c, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            self.open.append(c)
            threading.Thread(target=self.guarded, args=(c,), daemon=True).start()

    def guarded(self, c):
        try:
            self.serve(c)
        except (OSError, ValueError, IndexError):
            pass
        finally:
            c.close()


def read_request(c, buffer):
    """(head, body) of the next request, or None."""
    while b"\r\n\r\n" not in buffer:
        data = c.recv(65536)
        if not data:
            return None
        buffer += data
    head, rest = bytes(buffer).split(b"\r\n\r\n", 1)
    head = head.decode("latin-1")
    length = next((int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-length:")), 0)
    while len(rest) < length:
        data = c.recv(65536)
        if not data:
            return None
        rest += data
    buffer[:] = rest[length:]
    return head, rest[:length]


class Bytes(_Server):
    def __init__(self, fn):
        super().__init__()
        self.fn, self.requests = fn, []

    def serve(self, c):
        buffer = bytearray()
        while (request := read_request(c, buffer)) is not None:
            self.requests.append(request)
            self.fn(c, *request)


class TlsSink(_Server):
    def __init__(self, cert, key, client_ca=None):
        super().__init__()
        self.requests = []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(cert, key)
        if client_ca:
            self.context.verify_mode = ssl.CERT_REQUIRED
            self.context.load_verify_locations(client_ca)

    def serve(self, plain):
        with self.context.wrap_socket(plain, server_side=True) as c:
            self.open.append(c)
            who = dict(x[0] for x in (c.getpeercert() or {}).get("subject", ())).get("commonName")
            buffer = bytearray()
            while (request := read_request(c, buffer)) is not None:
                self.requests.append((*request, who))
                c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


class Proxy(_Server):
    def __init__(self, kind, user=None, password=None, refuse=None, to=None):
        super().__init__()
        self.kind, self.user, self.password, self.refuse, self.to = kind, user, password, refuse, to
        self.asked, self.heads = [], []

    def serve(self, c):
        host, port = self.connect_request(c) if self.kind == "http" else self.socks_request(c)
        self.asked.append("%s:%d" % (host, port))
        if self.refuse:
            c.sendall(self.refuse)
            return
        there = socket.create_connection(self.to or (host, port))
        self.open.append(there)
        c.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n" if self.kind == "http" else b"\x05\x00\x00\x01\0\0\0\0\0\0")
        threading.Thread(target=self.copy, args=(there, c), daemon=True).start()
        self.copy(c, there)

    def connect_request(self, c):
        head, _ = read_request(c, bytearray())
        self.heads.append(head)
        verb, target, _ = head.split("\r\n")[0].split(" ")
        assert verb == "CONNECT"
        if self.user and base64.b64encode(("%s:%s" % (self.user, self.password)).encode()).decode() not in head:
            c.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            raise ValueError("no password")
        host, port = target.rsplit(":", 1)
        return host.strip("[]"), int(port)

    def socks_request(self, c):
        c.recv(2 + c.recv(2, socket.MSG_PEEK)[1])
        c.sendall(b"\x05\x02" if self.user else b"\x05\x00")
        if self.user:
            data = c.recv(1024)
            assert data == b"\x01%c%s%c%s" % (len(self.user), self.user.encode(), len(self.password), self.password.encode())
            c.sendall(b"\x01\x00")
        data = c.recv(1024)
        kind, rest = data[3], data[4:]
        if kind == 3:
            return rest[1:1 + rest[0]].decode(), int.from_bytes(rest[1 + rest[0]:][:2], "big")
        return socket.inet_ntoa(rest[:4]), int.from_bytes(rest[4:6], "big")

    @staticmethod
    def copy(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
        except OSError:
            pass
        finally:
            for s in (a, b):
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
