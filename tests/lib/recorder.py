"""An HTTP forwarder that keeps what went through: between a client and ingest, to compare what was sent with what came.

    recorder = Recorder(dray.ingest)
    recorder.url           for the client
    recorder.exchanges     [Exchange(path, headers, body, status), ...] in the order of the answers; body after inflation
"""
import collections
import gzip
import http.client
import http.server
import threading

Exchange = collections.namedtuple("Exchange", "path headers body status")


class Recorder:
    def __init__(self, address):
        recorder = self
        self.exchanges = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                recorder.forward(self, address)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.server.server_address[1]

    def forward(self, handler, address):
        """As it came, byte for byte but for the framing."""
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        upstream = http.client.HTTPConnection(address, timeout=60)
        upstream.putrequest("POST", handler.path, skip_host=True, skip_accept_encoding=True)
        for name, value in handler.headers.items():
            if name.lower() not in ("connection", "expect"):
                upstream.putheader(name, value)
        upstream.endheaders(body)
        answer = upstream.getresponse()
        text = answer.read()
        upstream.close()
        headers = {k.lower(): v for k, v in handler.headers.items()}
        plain = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
        self.exchanges.append(Exchange(handler.path, headers, plain, answer.status))
        handler.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "content-length", "transfer-encoding"):
                handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
