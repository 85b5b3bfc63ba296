"""Line charts as small SVG files, without a library."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from plots import COLOURS, TOP, WIDTH, framed, label

LEFT, RIGHT, HEIGHT = 70, 20, 220
STEPS: Final = (1, 2, 5, 10)
Points = Sequence[Sequence[float]]
Place = Callable[[float, float], tuple[float, float]]


def lines(title: str, below: str, series: Mapping[str, Points]) -> str:
    """One line for each series of (x, y); the vertical axis begins at 0, and ``below`` names the horizontal one."""
    points = [point for each in series.values() for point in each] or [(0.0, 0.0)]
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    top = max(y for _, y in points) or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - left) / ((right - left) or 1.0) * (WIDTH - LEFT - RIGHT)
        return LEFT + across, TOP + HEIGHT * (1 - y / top)

    body = [*_grid(left, right, top, place), label(WIDTH / 2, TOP + HEIGHT + 32, below, anchor="middle")]
    for number, each in enumerate(series.values()):
        path = " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y in each)
        colour = COLOURS[number % len(COLOURS)]
        body.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
    return framed(title, body, list(series), TOP + HEIGHT + 38)


def marks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers between two bounds, about so many."""
    rough = (high - low) / wanted or 1.0
    power = 10.0 ** (len(f"{int(rough)}") - 1) if rough >= 1 else 0.1
    step = power * min((each for each in STEPS if each * power >= rough), default=10)
    first = -(-low // step) * step
    return [first + number * step for number in range(int((high - first) / step + 1e-9) + 1)]


def _grid(left: float, right: float, top: float, place: Place) -> list[str]:
    body = []
    for value in marks(0.0, top):
        x, y = place(left, value)
        body.append(f'<path d="M{x:.1f} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        body.append(label(x - 6, y + 4, f"{value:,.4g}" if value < 1e4 else f"{value:,.0f}", anchor="end", kind="v"))
    for value in marks(left, right):
        x, y = place(value, 0.0)
        body.append(f'<path d="M{x:.1f} {y:.1f}v4" stroke="#888"/>')
        body.append(label(x, y + 16, f"{value:,.4g}", anchor="middle", kind="v"))
    return body
