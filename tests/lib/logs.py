"""The log: one logfmt line per event, `ts=... level=... kind=... [slot= gen= pid=] event=... key=value`."""
import re

VALUE = r'(?:"(?:[^"\\\n]|\\.)*"|[^\s"]*)'
PAIR = re.compile(r"([a-zA-Z_][a-zA-Z0-9_.]*)=(" + VALUE + r")(?: |$)")
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
LEVELS = ("crit", "error", "warn", "info", "debug")
SANITIZER = re.compile(r"AddressSanitizer|LeakSanitizer|UndefinedBehaviorSanitizer|: runtime error: |ThreadSanitizer")
ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|.)")


def unquote(value):
    if not value.startswith('"'):
        return value

    def replace(m):
        c = m.group(1)
        if len(c) == 3:
            return chr(int(c[1:], 16))
        return {"n": "\n", "r": "\r", "t": "\t"}.get(c, c)

    return ESCAPE.sub(replace, value[1:-1])


class Bad(ValueError):
    """A line that is no log line."""


def parse_line(line):
    """{key: value} in the line's order; Bad when it breaks the grammar."""
    pairs, at = {}, 0
    while at < len(line):
        m = PAIR.match(line, at)
        if m is None:
            raise Bad("not key=value at column %d: %r" % (at + 1, line))
        pairs[m.group(1)] = unquote(m.group(2))
        at = m.end()
    if list(pairs)[:2] != ["ts", "level"] or "kind" not in pairs:
        raise Bad("does not begin with ts= level= kind=: %r" % line)
    if not STAMP.match(pairs["ts"]) or pairs["level"] not in LEVELS:
        raise Bad("wrong time or level: %r" % line)
    if not pairs.get("event"):
        raise Bad("no event: %r" % line)
    return pairs


class Log:
    """A log file that is being written."""

    def __init__(self, path):
        self.path = path

    def text(self):
        try:
            with open(self.path, "rb") as f:
                return f.read().decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            return ""

    def lines(self):
        """The whole lines so far."""
        text = self.text()
        return text[:text.rfind("\n") + 1].splitlines()

    def records(self, event=None, **fields):
        """Parsed lines, of one event when given, whose fields have these values (compared as text)."""
        found = []
        for line in self.lines():
            try:
                r = parse_line(line)
            except Bad:
                continue
            if event is not None and r["event"] != event:
                continue
            if all(r.get(k) == str(v) for k, v in fields.items()):
                found.append(r)
        return found

    def bad_lines(self):
        found = []
        for line in self.lines():
            try:
                parse_line(line)
            except Bad as error:
                found.append(str(error))
        return found

    def tail(self, n=40):
        return "\n".join(self.text().splitlines()[-n:])
