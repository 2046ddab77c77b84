#!/usr/bin/env python3
"""How long the app stands still, against the size of its heap.

    draw.py results.json >freeze.svg

Both axes are logarithmic; a line a way, medians, the smallest and the largest
as a bar.  The same numbers make the same bytes.
"""
import json
import math
import sys

import report

WIDTH, HEIGHT = 800, 460
LEFT, RIGHT, TOP, BOTTOM = 66, 268, 56, 54
LABEL_GAP = 17
# Colours that can be told apart on white and on black, by their class; and a
# mark each, for whoever cannot.  podprof's best is the one to look for.
STRONG = "fork"
LOOKS = {
    "in-process": ("in-process inspector.Session", "a", "circle"),
    "remote": ("chrome-remote-interface", "b", "square"),
    "stream": ("podprof stream", "c", "diamond"),
    "v8": ("v8.writeHeapSnapshot", "d", "up"),
    "direct": ("podprof direct", "e", "down"),
    "fork": ("podprof fork", "f", "circle")}
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f; }
.title { font-size: 16px; font-weight: 600; }
.small { font-size: 12px; fill: #57606a; }
.grid { stroke: #d0d7de; }
.line { fill: none; stroke-width: 2; }
.thick { stroke-width: 3.5; }
.lead { stroke: #8c959f; stroke-width: 0.7; fill: none; }
.own { stroke: #8c959f; stroke-dasharray: 3 4; }
.strong { font-weight: 600; }
.ground { fill: #ffffff; }
.a { stroke: #cf222e; } .b { stroke: #bc4c00; } .c { stroke: #8250df; }
.d { stroke: #9a6700; } .e { stroke: #0969da; } .f { stroke: #1a7f37; }
.mark.a { fill: #cf222e; } .mark.b { fill: #bc4c00; }
.mark.c { fill: #8250df; } .mark.d { fill: #9a6700; }
.mark.e { fill: #0969da; } .mark.f { fill: #1a7f37; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; }
.small { fill: #9198a1; }
.grid { stroke: #30363d; }
.ground { fill: #0d1117; }
.a { stroke: #ff7b72; } .b { stroke: #ffa657; } .c { stroke: #d2a8ff; }
.d { stroke: #e3b341; } .e { stroke: #79c0ff; } .f { stroke: #56d364; }
.mark.a { fill: #ff7b72; } .mark.b { fill: #ffa657; }
.mark.c { fill: #d2a8ff; } .mark.d { fill: #e3b341; }
.mark.e { fill: #79c0ff; } .mark.f { fill: #56d364; }
}
"""


class Axis:
    """Logarithmic, from a number to a place."""

    def __init__(self, low, high, start, end):
        self.low, self.high = low, high
        self.start, self.end = start, end

    def at(self, value):
        part = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + part * (self.end - self.start)


def decades(low, high):
    return [10 ** power for power in range(
        math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]


def duration(value_ms):
    if value_ms < 1000:
        return f"{value_ms:.0f} ms"
    digits = 0 if value_ms >= 10000 or value_ms % 1000 == 0 else 1
    return f"{value_ms / 1000:.{digits}f} s"


def mark(shape, look, x, y):
    size = 4.5
    points = {
        "square": [(-1, -1), (1, -1), (1, 1), (-1, 1)],
        "diamond": [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)],
        "up": [(0, -1.2), (1.2, 1), (-1.2, 1)],
        "down": [(0, 1.2), (1.2, -1), (-1.2, -1)]}.get(shape)
    if points is None:
        return f'<circle class="mark {look}" cx="{x:.1f}" cy="{y:.1f}" ' \
            f'r="{size}"/>\n'
    text = " ".join(f"{x + dx * size:.1f},{y + dy * size:.1f}"
                    for dx, dy in points)
    return f'<polygon class="mark {look}" points="{text}"/>\n'


def apart(places, gap, high):
    """The places, in order, moved down as far as keeps them a gap apart; up
    again where that would be below high."""
    moved = []
    for place in places:
        moved.append(max(place, moved[-1] + gap) if moved else place)
    for i in reversed(range(len(moved))):
        moved[i] = min(moved[i], high)
        high = moved[i] - gap
    return moved


def curves(results):
    """{way: [(heap, median, smallest, largest)]}"""
    found = {}
    for way in LOOKS:
        for heap_mb in report.heap_sizes(results):
            known = report.values(report.rows(
                results, "snapshots", way=way, heapMb=heap_mb), "freezeMs")
            if known:
                found.setdefault(way, []).append((heap_mb, report.median(
                    [{"v": value} for value in known], "v"),
                    min(known), max(known)))
    return found


def grid(x, y, heaps):
    text = ""
    for value in decades(y.low, y.high):
        at = y.at(value)
        text += (f'<path class="grid" d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}"/>'
                 f'\n<text class="small" x="{LEFT - 10}" y="{at + 4:.1f}" '
                 f'text-anchor="end">{duration(value)}</text>\n')
    for heap_mb in heaps:
        at = x.at(heap_mb)
        text += (f'<path class="grid" d="M{at:.1f} {TOP}V{HEIGHT - BOTTOM}"/>'
                 f'\n<text class="small" x="{at:.1f}" '
                 f'y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">'
                 f'{heap_mb} MB</text>\n')
    return text


def curve(x, y, way, points):
    _, look, shape = LOOKS[way]
    path = "L".join(f"{x.at(heap):.1f} {y.at(value):.1f}"
                    for heap, value, _, _ in points)
    thick = " thick" if way == STRONG else ""
    text = f'<path class="line {look}{thick}" d="M{path}"/>\n'
    for heap, value, least, most in points:
        at = x.at(heap)
        if least != most:
            text += (f'<path class="line {look}" d="M{at:.1f} '
                     f'{y.at(max(least, y.low)):.1f}V{y.at(most):.1f}"/>\n')
        text += mark(shape, look, at, y.at(value))
    return text


def labels(x, y, found):
    """Beside the last point of each line, with a lead to it."""
    ends = sorted((y.at(points[-1][1]), way) for way, points in found.items())
    places = apart([at for at, _ in ends], LABEL_GAP, HEIGHT - BOTTOM)
    text = ""
    for (at, way), place in zip(ends, places):
        title, look, shape = LOOKS[way]
        strong = ' class="strong"' if way == STRONG else ""
        end = x.at(found[way][-1][0]) + 8
        start = WIDTH - RIGHT + 22
        text += (f'<path class="lead" d="M{end:.1f} {at:.1f}L{start - 12} '
                 f'{place:.1f}"/>\n' + mark(shape, look, start - 4, place) +
                 f'<text{strong} x="{start + 7}" y="{place + 4:.1f}">'
                 f'{title}: {duration(found[way][-1][1])}</text>\n')
    return text


def own_stall(results, y):
    own = report.median(report.rows(results, "snapshots", way="fork"),
                        "ownStallMs")
    if not own or own < y.low:
        return ""
    at = y.at(own)
    return (f'<path class="own" d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}"/>\n'
            f'<text class="small" x="{LEFT + 6}" y="{at + 15:.1f}">the app\'s '
            f'own stall without a capture: {duration(own)}</text>\n')


def picture(results):
    """The text of the file; None if nothing is to be seen."""
    found = curves(results)
    if not found:
        return None
    heaps = report.heap_sizes(results)
    known = [value for points in found.values() for point in points
             for value in point[2:]]
    x = Axis(heaps[0] * 0.8, heaps[-1] * 1.1, LEFT, WIDTH - RIGHT)
    y = Axis(10, max(1.2 * max(known), 100), HEIGHT - BOTTOM, TOP)
    machine = results["machine"]
    text = f"""<svg xmlns="http://www.w3.org/2000/svg" \
viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" \
aria-label="How long a heap snapshot freezes the app, by heap size and way">
<style>{STYLE}</style>
<rect class="ground" width="{WIDTH}" height="{HEIGHT}" rx="6"/>
<text class="title" x="{LEFT - 52}" y="30">How long a heap snapshot freezes \
the app</text>
<text class="small" x="{(LEFT + WIDTH - RIGHT) / 2:g}" y="{HEIGHT - 14}" \
text-anchor="middle">heap of small objects; Node {machine["node"]}, \
{machine["cores"]} cores; logarithmic axes</text>
"""
    text += grid(x, y, heaps) + own_stall(results, y)
    for way, points in found.items():
        text += curve(x, y, way, points)
    return text + labels(x, y, found) + "</svg>\n"


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        drawn = picture(json.load(file))
    if drawn is None:
        sys.exit("draw.py: there is no heap snapshot in these results")
    sys.stdout.write(drawn)
