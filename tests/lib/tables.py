#!/usr/bin/python3
"""Checks that what is written about dray's tables is what the tables say.

1. etc/dray.yaml holds every key of common/conf/*.def, with its default (a value whose comment says "example" may
   differ), and no other key.
2. A Markdown table below a line <!-- table: NAME --> holds the rows of that table, and its cells are right. The first
   column is the key; the head of a column names a field.

tables.py --print NAME [FIELD...] prints such a table; --write brings all marked tables up to date; --names lists them.
A new table is one function below with @table."""
import glob
import os
import re
import sys

problems = []


def tell(path, line, text):
    problems.append(f"{path}:{line}: {text}")


# ---------------------------------------------------------------- .def files

def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def split_arguments(text):
    """The arguments of one macro call: strings joined and unquoted, everything else as it stands."""
    out, word, depth = [], "", 0
    for m in re.finditer(r'"(?:\\.|[^"\\])*"|[(),]|[^"(),]+', text):
        t = m.group(0)
        if t == "," and depth == 0:
            out.append(word.strip())
            word = ""
            continue
        depth += (t == "(") - (t == ")")
        if t.startswith('"'):
            word = word.strip() + re.sub(r"\\(.)", lambda e: {"n": "\n", "t": "\t"}.get(e.group(1), e.group(1)), t[1:-1])
        else:
            word += t
    out.append(word.strip())
    return out


def def_rows(path, macro):
    """[(line, [arguments])] of every MACRO(...) at the start of a line."""
    text = re.sub(r"/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m.group(0)), read(path), flags=re.S)
    rows = []
    for m in re.finditer(rf"^{macro}\(((?:\"(?:\\.|[^\"\\])*\"|[^\"])*?)\)\s*$", text, flags=re.M):
        rows.append((text.count("\n", 0, m.start()) + 1, split_arguments(m.group(1))))
    return rows


def conf_sections():
    """{section: (is_list, .def file)} as table.c says."""
    text = read("common/conf/table.c")
    out = {name: (False, f"common/conf/{name}.def") for name in re.findall(r"^\s+PLAIN\((\w+)\)", text, flags=re.M)}
    for path, one in re.findall(r'^\s+LIST\("([\w.]+)", (\w+), \w+\)', text, flags=re.M):
        out[path] = (True, f"common/conf/{one}.def")
    return out


# ---------------------------------------------------------------- the tables: name -> rows of {field: text}

TABLES = {}


def table(name):
    def keep(fn):
        TABLES[name] = fn
        return fn
    return keep


@table("exit-codes")
def exit_codes():
    return [{"code": r[0], "name": r[1], "class": r[2], "meaning": r[3]} for _, r in def_rows("common/base/exitcode.def", "X")]


@table("metrics")
def metrics():
    return [{"name": r[2], "type": r[1].lower(), "labels": r[3].replace(",", ", "), "help": r[5]}
            for _, r in def_rows("common/metrics/metrics.def", "X")]


@table("messages")
def messages():
    ways = {"CM": "child to master", "MC": "master to child", "IW": "sender to worker", "WI": "worker to sender"}
    return [{"number": r[0], "name": r[1], "way": ways.get(r[3], r[3]), "fields": r[7], "cap": r[6],
             "arity": r[4] if r[4] == r[5] else f"{r[4]} to {r[5]}"} for _, r in def_rows("ipc/msg.def", "X")]


@table("keys")
def keys():
    out = []
    for section, (is_list, path) in conf_sections().items():
        for _, r in def_rows(path, "K"):
            out.append({"key": f"{section}{'[]' if is_list else ''}.{r[2]}", "type": r[0].lower(), "default": r[3],
                        "words": r[6].replace("|", ", "), "apply": r[7].lower(), "help": r[8]})
    return out


@table("verbs")
def verbs():
    rows = re.findall(r'^    \{"(\w+)", \w+, "([^"]*)"\},$', read("master/cli/cli.c"), flags=re.M)
    return [{"verb": name, "what": what} for name, what in rows]


@table("sdk-names")
def sdk_names():
    return [{"name": r[0], "key": r[1]} for _, r in def_rows("common/conf/alias.def", "A")]


# ---------------------------------------------------------------- etc/dray.yaml

class Reader:
    """The subset of YAML that etc/dray.yaml is written in: block maps and lists by indentation, flow maps and lists,
    plain and double-quoted scalars. Leaves are (text, line)."""

    def __init__(self, path):
        self.path, self.lines, self.comments = path, [], {}
        for number, line in enumerate(read(path).split("\n"), 1):
            m = re.match(r'((?:[^"#]|"(?:\\.|[^"\\])*"|(?<=\S)#)*)(#.*)?$', line)
            body = m.group(1).rstrip()
            self.comments[number] = m.group(2) or ""
            if body:
                self.lines.append([len(body) - len(body.lstrip()), body.strip(), number])
        self.at = 0

    def scalar(self, text, number):
        if text.startswith('"'):
            text = re.sub(r"\\(.)", r"\1", text[1:-1])
        return (text, number)

    def flow(self, tokens):
        t, number = tokens.pop(0)
        if t == "{":
            out = {}
            while tokens[0][0] != "}":
                key = tokens.pop(0)[0]
                assert tokens.pop(0)[0] == ":", f"{self.path}:{number}: expected ':' behind {key}"
                out[key] = self.flow(tokens)
                if tokens[0][0] == ",":
                    tokens.pop(0)
            tokens.pop(0)
            return out
        if t == "[":
            out = []
            while tokens[0][0] != "]":
                out.append(self.flow(tokens))
                if tokens[0][0] == ",":
                    tokens.pop(0)
            tokens.pop(0)
            return out
        return self.scalar(t, number)

    def value(self, text, number):
        """What stands behind "key:" on this line; a flow value may go on over more lines."""
        if text[:1] not in "{[":
            return self.scalar(text, number)
        tokens = []
        while True:
            tokens += [(t.strip(), number) for t in re.findall(r'"(?:\\.|[^"\\])*"|[{}\[\],]|:(?=\s)|(?:[^"{}\[\],:\s]|:(?=\S))+', text)]
            opened = sum(t in ("{", "[") for t, _ in tokens) - sum(t in ("}", "]") for t, _ in tokens)
            if opened == 0:
                return self.flow(tokens)
            _, text, number = self.lines[self.at]
            self.at += 1

    def block(self, indent):
        if self.at == len(self.lines) or self.lines[self.at][0] < indent:
            return None
        indent = self.lines[self.at][0]
        out = None
        while self.at < len(self.lines) and self.lines[self.at][0] == indent:
            _, text, number = self.lines[self.at]
            if text.startswith("- "):
                out = [] if out is None else out
                if text[2] in "{[":
                    self.at += 1
                    out.append(self.value(text[2:], number))
                else:  # a map whose first key stands behind the dash
                    self.lines[self.at][:2] = [indent + 2, text[2:].strip()]
                    out.append(self.block(indent + 2))
                continue
            out = {} if out is None else out
            m = re.match(r"([\w.]+):(?:\s+(.*))?$", text)
            assert m, f"{self.path}:{number}: cannot read: {text}"
            if m.group(1) in out:
                tell(self.path, number, f"{m.group(1)} stands here twice")
            self.at += 1
            out[m.group(1)] = self.value(m.group(2), number) if m.group(2) else self.block(indent + 1)
        return out


def flatten(tree, front=""):
    """{path: (text, line)} of a map; of lists only those of plain words, which are one value."""
    out = {}
    for key, value in (tree or {}).items():
        if value == {}:
            out[front + key] = ("", 0)
        elif isinstance(value, dict):
            out.update(flatten(value, f"{front}{key}."))
        elif not isinstance(value, list):
            out[front + key] = value
        elif all(isinstance(word, tuple) for word in value):
            out[front + key] = (" ".join(w for w, _ in value), value[0][1] if value else 0)
    return out


def check_section(reader, section, found, rows, path):
    wanted = {r[2]: r[3] for _, r in rows}
    for key, (text, number) in found.items():
        if key not in wanted:
            tell(reader.path, number, f"{section}.{key} is not in {path}")
        elif text != wanted[key] and "example" not in reader.comments[number]:
            tell(reader.path, number, f'{section}.{key} is "{text}"; the default in {path} is "{wanted[key]}" (or mark it as example)')
    for line, r in rows:
        if r[2] not in found:
            tell(path, line, f"{section}.{r[2]} is missing in {reader.path}")


def check_example(path):
    reader = Reader(path)
    tree = reader.block(0)
    sections = conf_sections()
    known = {s.split(".")[0] for s in sections} | {"version"}
    for key in tree:
        if key not in known:
            tell(path, 0, f"{key} is no section")
    for section, (is_list, def_path) in sections.items():
        part = tree
        for name in section.split("."):
            part = (part or {}).pop(name, None)
        rows = def_rows(def_path, "K")
        if not rows:
            tell(def_path, 0, "no rows were found")
        if not is_list:
            # Lists inside a section are sections of their own.
            inner = {s[len(section) + 1:] for s in sections if s.startswith(section + ".")}
            for key, value in (part or {}).items():
                words = any(r[0] in ("WORDS", "PAIRS") and r[2] == key for _, r in rows)
                if isinstance(value, list) and key not in inner and not words:
                    tell(path, 0, f"{section}.{key} is a list that no table knows")
            check_section(reader, section, flatten(part), rows, def_path)
            tree[section] = part
            continue
        for element in part or [{}]:
            check_section(reader, section + "[]", flatten(element), rows, def_path)


# ---------------------------------------------------------------- marked Markdown tables

def cells(line):
    return [c.strip().replace("\\|", "|").strip("`") for c in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def plain(text):
    return text.replace("`", "").strip()


def render(rows, fields):
    out = ["| " + " | ".join(fields) + " |", "|" + "---|" * len(fields)]
    for row in rows:
        out.append("| " + " | ".join(row[f].replace("|", "\\|") for f in fields) + " |")
    return out


def marked(lines):
    """(name, line of the mark, first line of the table, end) of each marked table; line numbers from 0."""
    for i, line in enumerate(lines):
        m = re.match(r"<!-- table: ([\w-]+) -->\s*$", line)
        if not m:
            continue
        first = i + 1
        while first < len(lines) and not lines[first].strip():
            first += 1
        end = first
        while end < len(lines) and lines[end].lstrip().startswith("|"):
            end += 1
        yield m.group(1), i, first, end


def check_marked(path, lines, name, mark, first, end):
    if name not in TABLES:
        tell(path, mark + 1, f"no table is called {name}; there are {', '.join(sorted(TABLES))}")
        return
    if end - first < 2:
        tell(path, mark + 1, f"no table stands below the mark of {name}")
        return
    rows = TABLES[name]()
    fields = [plain(c) for c in cells(lines[first])]
    unknown = [f for f in fields if f not in rows[0]]
    if unknown:
        tell(path, first + 1, f"{name} has no field {unknown[0]}; fields are {', '.join(rows[0])}")
        return
    wanted = {row[fields[0]]: row for row in rows}
    for i in range(first + 2, end):
        got = [plain(c) for c in cells(lines[i])]
        row = wanted.pop(got[0], None)
        if row is None:
            tell(path, i + 1, f"{name} has no row {got[0]} (or it stands here twice)")
            continue
        for field, text in zip(fields, got + [""] * (len(fields) - len(got))):
            if text != plain(row[field]):
                tell(path, i + 1, f'{field} of {got[0]} is "{text}"; the table says "{row[field]}"')
    for key in wanted:
        tell(path, first + 1, f"{name}: the row {key} is missing; tables.py --write adds it")


def documents():
    return sorted(set(glob.glob("*.md") + glob.glob("*/**/*.md", recursive=True)) - set(glob.glob("build/**/*.md", recursive=True)))


def write_all():
    for path in documents():
        lines = read(path).split("\n")
        for name, mark, first, end in reversed(list(marked(lines))):
            rows = TABLES[name]() if name in TABLES else []
            fields = [plain(c) for c in cells(lines[first])] if end > first else list(rows[0])
            lines[first:end] = render(rows, fields)
        text = "\n".join(lines)
        if text != read(path):
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
            print(f"tables: wrote {path}")


def main(argv):
    if argv[:1] == ["--names"]:
        for name, rows in sorted(TABLES.items()):
            print(f"{name}: {', '.join(rows()[0])}")
        return 0
    if argv[:1] == ["--print"] and len(argv) > 1 and argv[1] in TABLES:
        rows = TABLES[argv[1]]()
        print("\n".join(render(rows, argv[2:] or list(rows[0]))))
        return 0
    if argv[:1] == ["--write"]:
        write_all()
    elif argv:
        print(__doc__, file=sys.stderr)
        return 64
    check_example("etc/dray.yaml")
    seen = []
    for path in documents():
        lines = read(path).split("\n")
        for name, mark, first, end in marked(lines):
            seen.append(f"{name} in {path}")
            check_marked(path, lines, name, mark, first, end)
    for line in problems:
        print(line)
    counts = ", ".join(f"{name} {len(rows())}" for name, rows in sorted(TABLES.items()))
    print(f"tables: {counts} rows; etc/dray.yaml; {len(seen)} marked tables; {len(problems)} differences")
    return 1 if problems else 0


if __name__ == "__main__":
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
    sys.exit(main(sys.argv[1:]))
