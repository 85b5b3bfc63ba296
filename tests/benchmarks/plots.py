"""Bar charts as small SVG files, without a library."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

COLOURS: Final = ("#2a6f97", "#e07a5f", "#81b29a", "#f2cc8f", "#6d597a", "#b56576")
WIDTH, LABELS, VALUES = 720, 210, 70
BAR, GAP, GROUP_GAP, TOP, LEGEND = 16, 2, 14, 40, 22
STYLE: Final = "text{font:12px system-ui,sans-serif;fill:#222}.t{font-size:14px;font-weight:600}.v{font-size:11px}"


def bars(title: str, groups: Mapping[str, Mapping[str, float]], *, digits: int = 0) -> str:
    """Horizontal bars: a group for each key of ``groups``, in it a bar for each series, all on one scale."""
    series = list(dict.fromkeys(name for group in groups.values() for name in group))
    most = max((value for group in groups.values() for value in group.values()), default=1.0) or 1.0
    scale, height = (WIDTH - LABELS - VALUES) / most, TOP
    body: list[str] = []
    for name, group in groups.items():
        middle = height + (len(group) * (BAR + GAP)) / 2 + 4
        body.append(label(LABELS - 8, middle, name, anchor="end"))
        for which, value in group.items():
            body += _bar(height, value * scale, COLOURS[series.index(which) % len(COLOURS)], f"{value:,.{digits}f}")
            height += BAR + GAP
        height += GROUP_GAP
    return framed(title, body, series, height)


def stacks(title: str, groups: Mapping[str, Mapping[str, float]], *, digits: int = 1) -> str:
    """One bar for each key of ``groups``, its parts one after the other."""
    series = list(dict.fromkeys(name for group in groups.values() for name in group))
    most = max((sum(group.values()) for group in groups.values()), default=1.0) or 1.0
    scale, height = (WIDTH - LABELS - VALUES) / most, TOP
    body: list[str] = []
    for name, group in groups.items():
        body.append(label(LABELS - 8, height + BAR + 4, name, anchor="end"))
        x = float(LABELS)
        for which, value in group.items():
            shade = COLOURS[series.index(which) % len(COLOURS)]
            opacity = 1 if series.index(which) < len(COLOURS) else 0.55
            hint = f"<title>{escape(which)}: {value:.{digits}f}</title>"
            body.append(
                f'<rect x="{x:.1f}" y="{height}" width="{value * scale:.1f}" height="{2 * BAR}" fill="{shade}" '
                f'fill-opacity="{opacity}" stroke="#fff" stroke-width=".5">{hint}</rect>'
            )
            x += value * scale
        body.append(label(x + 4, height + BAR + 4, f"{sum(group.values()):,.{digits}f}", kind="v"))
        height += 2 * BAR + GROUP_GAP
    return framed(title, body, series, height)


def _bar(y: float, width: float, colour: str, value: str) -> list[str]:
    return [
        f'<rect x="{LABELS}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>',
        label(LABELS + width + 4, y + BAR - 4, value, kind="v"),
    ]


def label(x: float, y: float, text: str, *, anchor: str = "start", kind: str = "") -> str:
    """A text of the chart."""
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{style}>{escape(text)}</text>'


def framed(title: str, body: Sequence[str], series: Sequence[str], height: float) -> str:
    """The whole file: title, body, and below it which colour is what."""
    legend: list[str] = []
    x, y = 10.0, height + 6
    for number, name in enumerate(series):
        wide = 26 + 6.6 * len(name)
        if x + wide > WIDTH:
            x, y = 10.0, y + LEGEND
        opacity = 1 if number < len(COLOURS) else 0.55
        shade = COLOURS[number % len(COLOURS)]
        legend.append(f'<rect x="{x}" y="{y}" width="12" height="12" fill="{shade}" fill-opacity="{opacity}"/>')
        legend.append(label(x + 16, y + 11, name))
        x += wide
    total = y + LEGEND
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {total:.0f}" width="{WIDTH}" role="img">',
        f"<style>{STYLE}</style>", f"<title>{escape(title)}</title>", '<rect width="100%" height="100%" fill="#fff"/>',
        label(10, 22, title, kind="t"), *body, *legend, "</svg>", "",
    ])  # fmt: skip
