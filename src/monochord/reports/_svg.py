"""A figure as inline SVG: scales, axes, marks. Colours are classes, so that the page's style gives light and dark.

Written here and not by a plotting package, so that a report needs the base install only, weighs little, and its text
stays text: a screen reader reads it, a search finds it, and dark mode recolours it.
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

WIDTH, HEIGHT = 400, 240  # user units; at a phone's 328 px the 13-unit text is still 11 px high
LEFT, RIGHT, TOP, BOTTOM = 52, 18, 14, 40
MAX_TICKS = 6


@dataclasses.dataclass(frozen=True)
class Scale:
    """A map from data to user units, linear or logarithmic."""

    low: float | int
    high: float | int
    begin: float | int
    end: float | int
    is_log: bool = False

    def __call__(self, values) -> np.ndarray:
        """Positions of `values`, clipped to a little beyond the frame; NaN stays."""
        values = np.asarray(values, np.float64)
        low, high = self.low, self.high
        if self.is_log:
            with np.errstate(divide="ignore", invalid="ignore"):
                values, low, high = np.log(values), math.log(low), math.log(high)
        span = high - low or 1.0
        share = np.clip((values - low) / span, -0.02, 1.02)
        return np.asarray(self.begin + share * (self.end - self.begin))

    def ticks(self) -> list[float]:
        """Round numbers within the scale: powers of ten, or steps of 1, 2 or 5."""
        if self.is_log:
            return log_ticks(self.low, self.high)
        return linear_ticks(self.low, self.high)


def linear_ticks(low: float | int, high: float | int) -> list[float]:
    """At most `MAX_TICKS` multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / (MAX_TICKS - 1) or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1.0, 2.0, 5.0, 10.0) if m * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, first + MAX_TICKS + 1) if k * step <= high + 1e-9 * step]


def log_ticks(low: float | int, high: float | int) -> list[float]:
    """Powers of ten; where fewer than two fit, numbers of one digit."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    if last - first < 1:
        found = [m * 10.0**k for k in range(first - 1, last + 2) for m in (1, 2, 3, 5)]
        found = [tick for tick in found if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
        return found if len(found) > 2 else linear_ticks(low, high)
    stride = max(1, math.ceil((last - first + 1) / MAX_TICKS))
    return [10.0**k for k in range(first, last + 1, stride)]


def span_of(values: Iterable[float | int] | np.ndarray, is_log: bool = False, pad: float = 0.05) -> tuple[float, float]:
    """Limits around the finite (and, on a log scale, positive) values, never empty."""
    found = np.asarray(list(values) if not isinstance(values, np.ndarray) else values, np.float64).ravel()
    found = found[np.isfinite(found) & ((found > 0) if is_log else True)]
    if found.size == 0:
        return (0.1, 10.0) if is_log else (0.0, 1.0)
    low, high = float(found.min()), float(found.max())
    if is_log:
        ratio = max(high / low, 1.5)
        return low / ratio**pad, high * ratio**pad
    width = high - low
    if width <= 1e-9 * max(abs(low), abs(high)):  # equal to rounding
        width = abs(high) * 0.1 or 1.0
        return low - width, high + width
    return low - pad * width, high + pad * width


def number(value: float | int) -> str:
    """An axis number, short."""
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e5:
        return (f"{value:.10g}" if abs(value) >= 1 else f"{value:.3g}").replace("-", "−")
    mantissa, exponent = f"{value:.0e}".split("e")
    raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"10{raised}" if mantissa == "1" else f"{mantissa.replace('-', '−')}·10{raised}"


def shortened(text: str, length: int) -> str:
    """`text`, cut in its middle to at most `length` characters: the ends of a name tell most."""
    if len(text) <= length:
        return text
    keep = length - 1
    return f"{text[: keep - keep // 3]}…{text[len(text) - keep // 3 :]}"


class Canvas:
    """Marks within one frame, put into SVG by `render`. All text is escaped here."""

    def __init__(
        self,
        x: tuple[float | int, float | int],
        y: tuple[float | int, float | int],
        *,
        log_x: bool = False,
        log_y: bool = False,
        width: int = WIDTH,
        height: int = HEIGHT,
        left: int = LEFT,
        bottom: int = BOTTOM,
    ):
        self.width, self.height, self.left, self.bottom = width, height, left, bottom
        self.x = Scale(*x, left, width - RIGHT, log_x)
        self.y = Scale(*y, height - bottom, TOP, log_y)
        self._parts: list[str] = []

    def axes(self, x_label: str, y_label: str, x_ticks: bool = True, y_ticks: bool = True) -> None:
        """Frame, grid, tick numbers and labels."""
        right, floor = self.width - RIGHT, self.height - self.bottom
        if x_ticks:
            for tick in self.x.ticks():
                at = float(self.x(tick))
                self._parts.append(f'<path class="grid" d="M{_n(at)} {TOP}V{_n(floor)}"/>')
                self.text(at, floor + 14, number(tick), anchor="middle", kind="tick")
        if y_ticks:
            for tick in self.y.ticks():
                at = float(self.y(tick))
                self._parts.append(f'<path class="grid" d="M{_n(self.left)} {_n(at)}H{_n(right)}"/>')
                self.text(self.left - 5, at + 4, number(tick), anchor="end", kind="tick")
        self._parts.append(f'<path class="frame" d="M{_n(self.left)} {TOP}V{_n(floor)}H{_n(right)}"/>')
        self.text((self.left + right) / 2, self.height - 5, x_label, anchor="middle")
        if y_label:
            middle = (TOP + floor) / 2
            self._parts.append(
                f'<text class="label" text-anchor="middle" transform="translate(12 {_n(middle)}) rotate(-90)">'
                f"{escape(y_label)}</text>"
            )

    def line(self, x, y, kind: str) -> None:
        """A polyline through data points, broken where they are not finite."""
        d, pen = [], "M"
        for a, b in zip(self.x(x), self.y(y), strict=True):
            if not (math.isfinite(a) and math.isfinite(b)):
                pen = "M"
                continue
            d.append(f"{pen}{_n(a)} {_n(b)}")
            pen = "L"
        self._parts.append(f'<path class="line {kind}" d="{"".join(d)}"/>')

    def dots(self, x, y, kind: str) -> None:
        """Round marks, all in one path: a few bytes each. None beyond the frame."""
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        inside = (x >= self.x.low) & (x <= self.x.high) & (y >= self.y.low) & (y <= self.y.high)
        marks = [f"M{_n(a)} {_n(b)}h0" for a, b in zip(self.x(x[inside]), self.y(y[inside]), strict=True)]
        self._parts.append(f'<path class="dots {kind}" d="{"".join(marks)}"/>')

    def error_bars(self, x, low, high, kind: str) -> None:
        """Vertical error bars."""
        marks = [
            f"M{_n(a)} {_n(b)}V{_n(c)}"
            for a, b, c in zip(self.x(x), self.y(low), self.y(high), strict=True)
            if math.isfinite(a + b + c)
        ]
        self._parts.append(f'<path class="line {kind}" d="{"".join(marks)}"/>')

    def steps(self, edges: Sequence[float | int] | np.ndarray, heights, kind: str) -> None:
        """The outline of a histogram."""
        xs, ys = np.repeat(np.asarray(edges, np.float64), 2)[1:-1], np.repeat(np.asarray(heights, np.float64), 2)
        self.line(xs, ys, kind)

    def ticks_on(self, x, y_pixel: float | int, half: float | int, kind: str) -> None:
        """Short vertical strokes at data positions along a row, `half` user units up and down."""
        marks = "".join(f"M{_n(a)} {_n(y_pixel - half)}v{_n(2 * half)}" for a in self.x(x) if math.isfinite(a))
        self._parts.append(f'<path class="line {kind}" d="{marks}"/>')

    def level(self, y: float | int, kind: str = "guide") -> None:
        """A horizontal line at one value, if it is within the frame."""
        if self.y.low <= y <= self.y.high:
            self._parts.append(
                f'<path class="{kind}" d="M{_n(self.left)} {_n(float(self.y(y)))}H{self.width - RIGHT}"/>'
            )

    def text(self, x: float | int, y: float | int, text: str, anchor: str = "start", kind: str = "label") -> None:
        """Text at a place in user units."""
        self._parts.append(f'<text class="{kind}" x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}">{escape(text)}</text>')

    def raw(self, part: str) -> None:
        """A part that is SVG already."""
        self._parts.append(part)

    def render(self, description: str) -> str:
        """The whole element; `description` is what a reader who cannot see it is told."""
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{escape(description, quote=True)}">'
            f"{''.join(self._parts)}</svg>"
        )


def figure(title: str, svg: str, caption: str, keys: Sequence[tuple[str, str]] = ()) -> str:
    """A figure with a heading, a key of (class, words) and a caption; `caption` is plain text."""
    entries = "".join(
        f'<li><svg class="key" viewBox="0 0 22 8" aria-hidden="true"><path class="line {kind}" d="M1 4H21"/></svg>'
        f"{escape(words)}</li>"
        for kind, words in keys
    )
    legend = f'<ul class="keys">{entries}</ul>' if entries else ""
    return f"<figure><h4>{escape(title)}</h4>{legend}{svg}<figcaption>{escape(caption)}</figcaption></figure>"


def _n(value: float | int) -> str:
    """A coordinate with one decimal."""
    return f"{value:.1f}".removesuffix(".0")
