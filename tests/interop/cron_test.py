"""Cron expressions against cron-parser (the package that bull 4.16.5 repeats jobs by): the same next time for random
expressions, zones and instants, most of them around clock changes; what it refuses is refused."""
import os
import random
import subprocess
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from lib import npm

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
# Zones whose rules have not changed lately: Node brings data of its own, which may be older than the system's.
ZONES = ["UTC", "Europe/Berlin", "Europe/London", "Europe/Dublin", "America/New_York", "America/Los_Angeles",
         "America/Sao_Paulo", "America/St_Johns", "America/Halifax", "America/Havana", "America/Santiago", "Asia/Kolkata",
         "Asia/Kathmandu", "Asia/Tehran", "Asia/Jerusalem", "Asia/Beirut", "Africa/Johannesburg", "Europe/Lisbon",
         "Australia/Lord_Howe", "Australia/Sydney", "Pacific/Auckland", "Pacific/Chatham", "Pacific/Apia",
         "Antarctica/Troll", "Asia/Tokyo", "Etc/GMT+5"]
FIELDS = [(0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 7)]
MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
DAYS = "sun mon tue wed thu fri sat".split()


@pytest.fixture(scope="module")
def ask(request, tmp_path_factory):
    """ask(program, questions): the answers of "dray" or "cron-parser"."""
    try:
        packages = npm.install(request.config.build)
    except npm.NotInstalled as error:
        pytest.fail(str(error))
    probe = str(tmp_path_factory.mktemp("cron") / "cron_probe")
    built = os.path.join(request.config.build, "asan", "libdray.a")
    subprocess.run(["cc", "-std=gnu17", "-D_GNU_SOURCE", "-I", ROOT, "-fsanitize=address,undefined", "-o", probe,
                    os.path.join(ROOT, "tests", "lib", "cron_probe.c"), built], check=True)

    def run(program, questions):
        command = [probe] if program == "dray" else ["node", os.path.join(HERE, "cron_client.js"), packages]
        text = "".join("%s\t%d\t%d\t%s\n" % question for question in questions)
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
        answers = done.stdout.splitlines()
        assert len(answers) == len(questions)
        return answers
    return run


def changes(zone):
    """The instants of 2016 to 2035 at which the zone's offset changes, to the minute."""
    tz, found = ZoneInfo(zone), []
    at, end = datetime(2016, 1, 1, tzinfo=timezone.utc), datetime(2035, 1, 1, tzinfo=timezone.utc)
    while at < end:
        later = at + timedelta(days=1)
        if at.astimezone(tz).utcoffset() != later.astimezone(tz).utcoffset():
            low, high = at, later
            while high - low > timedelta(minutes=1):
                middle = low + (high - low) / 2
                if middle.astimezone(tz).utcoffset() == at.astimezone(tz).utcoffset():
                    low = middle
                else:
                    high = middle
            found.append(int(high.timestamp() * 1000))
        at = later
    return found


def entry(rng, i):
    low, high = FIELDS[i]
    kind = rng.random()
    a, b = sorted((rng.randint(low, high), rng.randint(low, high)))
    if kind < 0.45:
        return str(a)
    if kind < 0.65:
        return "%d-%d" % (a, b)
    if kind < 0.75:
        return "*/%d" % rng.randint(1, high + 3)
    if kind < 0.82:
        return "%d-%d/%d" % (a, b, rng.randint(1, 9))
    if kind < 0.88:
        return "%d/%d" % (a, rng.randint(1, 9))
    if i == 4:
        return rng.choice(MONTHS)
    if i == 5:
        return rng.choice(DAYS + ["5L", "0L", "mon-fri", "7", "5-7"])
    return "L" if i == 3 else str(b)


def field(rng, i, wild):
    if rng.random() < wild:
        return "?" if i in (3, 5) and rng.random() < 0.2 else "*"
    if i == 5 and rng.random() < 0.15:
        return "%d#%d" % (rng.randint(0, 7), rng.randint(1, 5))
    return ",".join(entry(rng, i) for _ in range(rng.choice((1, 1, 1, 2, 3))))


def expression(rng):
    wild = [0.3, 0.3, 0.3, 0.6, 0.75, 0.6]
    if rng.random() < 0.5:  # what stands in crontabs: at some hours of the night
        head = [rng.choice(("0", "0", "30")), rng.choice(("0", "0", "30", "*/15", "59", "*")),
                rng.choice(("0", "1", "2", "3", "0,2", "1-3", "*/2", "23", "*"))]
    else:
        head = [field(rng, i, wild[i]) for i in range(3)]
    parts = head + [field(rng, i, wild[i]) for i in (3, 4, 5)]
    return " ".join(parts[1:] if rng.random() < 0.6 else parts)


def compare(ask, questions, refused_too=False):
    ours, theirs = ask("dray", questions), ask("cron-parser", questions)
    wrong = [(q, mine, his) for q, mine, his in zip(questions, ours, theirs)
             if mine != his and not (mine.startswith("error:") and his.startswith("error:"))]
    assert wrong == [], "%d of %d differ" % (len(wrong), len(questions))
    if not refused_too:
        assert sum(answer.isdigit() for answer in ours) > len(questions) // 2
    return ours


def test_random_expressions_around_clock_changes(ask):
    rng, questions = random.Random(20240), []
    for zone in ZONES:
        moments = changes(zone) or [1700000000000]
        for _ in range(160):
            after = rng.choice(moments) + rng.randint(-3 * 3600, 2 * 3600) * 1000 + rng.choice((0, 0, 1, 500, 999))
            if rng.random() < 0.2:
                after = rng.randint(1500000000000, 2050000000000)
            if rng.random() < 0.3:
                after -= after % 1800000
            end = after + rng.randint(0, 86400000) if rng.random() < 0.1 else 0
            questions.append((zone, after, end, expression(rng)))
    compare(ask, questions)


def test_what_is_refused(ask):
    rng = random.Random(7)
    alphabet = "0123456789*/-,L#?aAmonjan "
    texts = ["".join(rng.choice(alphabet) for _ in range(rng.randint(1, 7))) + " * * * *" for _ in range(600)]
    texts += ["* * " + "".join(rng.choice("0123456789*/-,L?") for _ in range(rng.randint(1, 5))) + " * *" for _ in range(600)]
    texts += ["0 0 * * " + "".join(rng.choice("01234567*/-,L#?") for _ in range(rng.randint(1, 4))) for _ in range(600)]
    texts += ["0 0 " + "".join(rng.choice("0123456789/-,*") for _ in range(rng.randint(1, 4))) + " %s *" % rng.choice(MONTHS)
              for _ in range(300)]
    texts += ["@yearly", "@monthly", "@weekly", "@daily", "@hourly", "@annually", "@reboot", "", "5", "0 5", "* * * * * * *"]
    questions = [("Europe/Berlin", 1711846800000 + i, 0, text) for i, text in enumerate(texts)]
    answers = compare(ask, questions, refused_too=True)
    assert sum(answer.startswith("error: ") for answer in answers) > 500
    assert sum(answer.isdigit() for answer in answers) > 200


def test_zones_by_name(ask):
    good = ["UTC", "utc", "gmt", "utc+5", "UTC-3:30", "europe/berlin", "AMERICA/NEW_YORK", "Etc/GMT-14", "EST5EDT", "local"]
    compare(ask, [(zone, 1711846800000, 0, "30 2 * * *") for zone in good])
    bad = ["Europe/Atlantis", "../etc/passwd", "Europe", "Europe/../UTC", "/usr/share/zoneinfo/UTC", "x" * 100, "utc+", "tzdata.zi"]
    answers = compare(ask, [(zone, 1711846800000, 0, "30 2 * * *") for zone in bad], refused_too=True)
    assert all(answer.startswith("error: ") for answer in answers)
