"""Draws what peers.py measured as bars on logarithmic scales: CPU an event costs, and events a second."""
import math
from xml.sax.saxutils import escape

LEFT, BAR, GAP, WIDTH, TOP = 110, 18, 8, 330, 58
INK, DRAY, OTHER, LINE = "#57606a", "#1a7f64", "#8c959f", "#d0d7de"


def text(x, y, words, anchor="start", size=12, weight="normal"):
    return ('<text x="%.1f" y="%.1f" text-anchor="%s" font-size="%d" font-weight="%s" fill="%s">%s</text>'
            % (x, y, anchor, size, weight, INK, escape(words)))


def panel(x, title, rows, low, high, form):
    """rows: (name, value)"""
    def at(v):
        return x + LEFT + WIDTH * (math.log10(v) - math.log10(low)) / (math.log10(high) - math.log10(low))
    bottom = TOP + len(rows) * (BAR + GAP)
    out = [text(x + LEFT, 22, title, size=14, weight="bold")]
    tick = low
    while tick <= high:
        out.append('<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="%s"/>' % (at(tick), TOP - 6, at(tick), bottom, LINE))
        out.append(text(at(tick), TOP - 10, "{:,.12g}".format(tick), "middle", 10))
        tick *= 10
    for i, (name, value) in enumerate(rows):
        y = TOP + i * (BAR + GAP)
        end = at(min(max(value, low), high))
        out.append(text(x + LEFT - 8, y + BAR - 5, name, "end", weight="bold" if i == 0 else "normal"))
        out.append('<rect x="%.1f" y="%.1f" width="%.1f" height="%d" rx="2" fill="%s"/>' % (
            x + LEFT, y, max(1, end - x - LEFT), BAR, DRAY if i == 0 else OTHER))
        out.append(text(end + 6, y + BAR - 5, form.format(value)))
    return out


def decades(values):
    return 10 ** math.floor(math.log10(min(values))), 10 ** math.ceil(math.log10(max(values)))


def picture(path, got, _rates):
    """got: {name: {"cpu": ms per 1,000 events, "rate": events/s}}; the first is dray."""
    cpu = [(name, s["cpu"]) for name, s in got.items()]
    rate = [(name, s["rate"]) for name, s in got.items()]
    height = TOP + len(got) * (BAR + GAP) + 10
    whole = LEFT + WIDTH + 70
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif">' % (2 * whole, height)]
    parts += panel(0, "CPU, ms per 1,000 events (less is better)", cpu, *decades([v for _, v in cpu]), "{:.1f}")
    parts += panel(whole, "events a second (more is better)", rate, *decades([v for _, v in rate]), "{:,.0f}")
    with open(path, "w") as f:
        f.write("\n".join(parts + ["</svg>"]) + "\n")
