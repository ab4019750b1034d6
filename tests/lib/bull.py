"""Programs of the interop tests behind pipes: the npm package bull, and bull-board, each in a node process of its own."""
import itertools
import json
import os
import subprocess
import threading
from concurrent.futures import Future

from lib.wait import wait_for

INTEROP = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "interop")
ANSWER_SECONDS = 30


class Refused(Exception):
    """The program's call threw; its message."""


class Pipe:
    """ask() waits for the answer, later() gives a Future; events are the lines that nobody asked for."""

    def __init__(self, program, *words):
        """program: a script of interop/, or the path of another program."""
        command = ["node", os.path.join(INTEROP, program)] if program.endswith(".js") else [program]
        self.process = subprocess.Popen([*command, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        self.pid = self.process.pid
        self._numbers, self._asked, self._lock = itertools.count(1), {}, threading.Lock()
        self.events = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            said = json.loads(line)
            if "event" in said:
                self.events.append((said["event"], said["args"]))
                continue
            with self._lock:
                future = self._asked.pop(said["n"])
            if "error" in said:
                future.set_exception(Refused(said["error"]))
            else:
                future.set_result(said["result"])
        with self._lock:
            left, self._asked = list(self._asked.values()), {}
        for future in left:
            future.set_exception(EOFError("the program has ended"))

    def later(self, **what):
        future, n = Future(), next(self._numbers)
        with self._lock:
            self._asked[n] = future
        self.process.stdin.write(json.dumps({"n": n, **what}).encode() + b"\n")
        self.process.stdin.flush()
        return future

    def ask(self, **what):
        return self.later(**what).result(ANSWER_SECONDS)

    def told(self, event):
        """The arguments of each event of this name so far."""
        return [args for name, args in list(self.events) if name == event]

    def wait_told(self, event, n=1, seconds=15):
        return wait_for(lambda: len(self.told(event)) >= n and self.told(event), seconds, "%d x %s" % (n, event))

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(5)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                stream.close()
            except BrokenPipeError:
                pass


class Bull(Pipe):
    """One Queue of bull; options: its own (settings, metrics, limiter...)."""

    def __init__(self, folder, socket, prefix, queue, **options):
        super().__init__("bull_pipe.js", folder, socket, prefix, queue, json.dumps(options))

    def call(self, name, *args):
        """A method of the queue."""
        return self.ask(call=name, args=args)

    def job(self, job_id, name, *args):
        """A method of the job."""
        return self.ask(job=job_id, call=name, args=args)

    def held(self, job_id, name, *args):
        """A method of a job that take() got."""
        return self.ask(held=job_id, call=name, args=args)

    def take(self):
        return self.ask(take=True)

    def add(self, data, **opts):
        return self.call("add", data, opts)

    def finished(self, job_id):
        """The value that job.finished() resolves to, as a Future; Refused when it rejects."""
        return self.later(job=job_id, call="finished")

    def state(self, job_id):
        return self.job(job_id, "getState")

    def counts(self):
        return self.call("getJobCounts")

    def listen(self, *events):
        self.ask(listen=events)

    def work(self, **how):
        self.ask(work=how)


class Board(Pipe):
    """@bull-board/api with its BullAdapter over these queues."""

    def __init__(self, folder, socket, prefix, *queues):
        super().__init__("board_pipe.js", folder, socket, prefix, *queues)
        self.used = set()

    def ask_route(self, method, path, query=None, body=None):
        answer = self.ask(method=method, path="/api/" + path, query=query, body=body)
        self.used.add(answer.pop("route", None))
        return answer

    def get(self, path, **query):
        """The body of a 200."""
        answer = self.ask_route("get", path, query)
        assert answer["status"] == 200, "%s: %s" % (path, answer)
        return answer["body"]

    def put(self, path, status=200, method="put", **body):
        answer = self.ask_route(method, path, body=body)
        assert answer["status"] == status, "%s: %s" % (path, answer)
        return answer["body"]


def redis_socket(dray):
    """Of the Redis in use."""
    url = dray.conf["redis"].get("url")
    return url[len("unix://"):].partition("?")[0] if url else dray.redis_path


_serial = itertools.count()


def post(dray, *names):
    """Posts one event of each name, each in a request, so that each is a job of its own; the messageIds."""
    ids = []
    with dray.client() as c:
        for name in names:
            ids.append("%s-%d" % (name, next(_serial)))
            assert c.batch([{"type": "track", "event": name, "userId": "u", "messageId": ids[-1],
                             "timestamp": "2026-11-20T10:00:00.000Z"}]).status == 200
    return ids


def wait_counts(dray, seconds=15, **wanted):
    wait_for(lambda: {k: dray.queue_counts()[k] for k in wanted} == wanted, seconds, "counts %s" % wanted)
