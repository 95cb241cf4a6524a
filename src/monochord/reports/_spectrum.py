"""The spectrum before and after: every metric's frequencies on one logarithmic axis, its ends named."""

import math
from html import escape

import numpy as np

from monochord.reports._svg import Canvas, figure, shortened, span_of
from monochord.spectra import Direction, MetricSpectrum, Spectrum, brief

ROW = 78  # user units a metric
KINDS = {"identity": "c1", "diagonal": "c3", "fitted": "c0"}
WORDS = {"identity": "no preconditioning", "diagonal": "best diagonal", "fitted": "fitted metric"}
MAX_NAME = 44
MAX_STROKES = 400  # of one row: more modes are thinned to quantiles
HEADS = ("Metric", "κ", "Slowest period", "Largest stable step", "Gradients a draw, HMC", "Gradients a draw, NUTS")


def spectrum_figure(spectrum: Spectrum) -> str:
    """One row a metric: a stroke a mode."""
    positive = [_frequencies(row) for row in spectrum.table]
    height = 14 + ROW * len(spectrum.table) + 40
    canvas = Canvas(span_of(np.concatenate(positive), is_log=True), (0.0, 1.0), log_x=True, height=height, left=12)
    canvas.axes("frequency ω, radians a unit of the leapfrog's time", "", y_ticks=False)
    for place, (row, found) in enumerate(zip(spectrum.table, positive, strict=True)):
        top, kind = 14 + ROW * place, KINDS.get(row.metric, "c2")
        words = WORDS.get(row.metric, row.metric)
        bound = "≥ " if row.is_lower_bound else ""
        canvas.text(
            16, top + 14, f"{shortened(words, 30)}: κ = {bound}{brief(row.kappa)}", kind=f"label strong f{kind}"
        )
        canvas.ticks_on(found, top + 30, 10, kind)
        if row.slowest is not None and row.fastest is not None:
            canvas.text(16, top + 55, f"slow: {_terms(row.slowest)}", kind="tick")
            canvas.text(380, top + 69, f"fast: {_terms(row.fastest)}", anchor="end", kind="tick")
    described = "; ".join(
        f"{WORDS.get(row.metric, row.metric)}: κ {brief(row.kappa)}, frequencies {brief(row.omega_min)} to {brief(row.omega_max)}"
        for row in spectrum.table
    )
    count = int(round(float(spectrum.table[0].mode_weights.sum())))
    caption = (
        f"Each stroke is a mode of the whitened Hessian, {spectrum.where}; {count:,} modes. A good metric draws them together: "
        "the leapfrog's step is set by the fastest, the trajectory's length by the slowest."
    )
    if any(len(row.squared_frequencies) < count for row in spectrum.table):
        caption += " In this many dimensions the strokes are Ritz values: the outermost are modes, those between stand for many."
    lost = sum(int((row.squared_frequencies <= 0).sum()) for row in spectrum.table)
    if lost:
        caption += f" {lost} squared frequencies of all metrics together are not positive and have no place here."
    return figure("Spectrum before and after", canvas.render(f"Frequencies under each metric. {described}."), caption)


def spectrum_table(spectrum: Spectrum) -> str:
    """The figures behind the picture."""
    heads = "".join(f'<th scope="col">{head}</th>' for head in HEADS)
    body = "".join(_table_row(row) for row in spectrum.table)
    notes = "".join(f"<li>{escape(note)}</li>" for note in spectrum.notes)
    notes = f'<ul class="notes">{notes}</ul>' if notes else ""
    words = (
        f"Figures {spectrum.where}, for an acceptance of {spectrum.target_accept:g}. Gradients a draw are predicted, for an "
        "effective draw of the least favourable direction."
    )
    directions = "".join(
        f"<li>{escape(WORDS.get(row.metric, row.metric))}: slowest {escape(str(row.slowest))}; fastest {escape(str(row.fastest))}</li>"
        for row in spectrum.table
        if row.slowest is not None and row.fastest is not None
    )
    return (
        f'<p>{escape(words)}</p><div class="scroll" role="region" aria-label="Spectrum in figures" tabindex="0"><table class="wrap">'
        f"<caption>The spectrum in figures</caption><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>{notes}"
        "<p>The directions behind the ends, in unconstrained coordinates, each over the metric's own sd of it:</p>"
        f"<ul>{directions}</ul>"
    )


def _table_row(row: MetricSpectrum) -> str:
    bound = "≥ " if row.is_lower_bound else ""
    figures = [f"{bound}{brief(row.kappa)}", f"{bound}{brief(row.period)}"]
    figures += [
        brief(value)
        for value in (row.step_limit, row.gradients_per_effective_draw, row.gradients_per_effective_draw_nuts)
    ]
    cells = "".join(f"<td>{escape(text)}</td>" for text in figures)
    return f'<tr><th scope="row">{escape(WORDS.get(row.metric, row.metric))}</th>{cells}</tr>'


def _terms(direction: Direction) -> str:
    """As many of the direction's terms as fit; its first name is cut where it alone does not."""
    text = ""
    for place, (name, value) in enumerate(zip(direction.names, direction.coefficients, strict=True)):
        sign = ("−" if value < 0 else "") if place == 0 else (" − " if value < 0 else " + ")
        term = f"{sign}{abs(value):.2f} {shortened(name, MAX_NAME - 8) if place == 0 else name}"
        if place and len(text) + len(term) > MAX_NAME - 2:
            return f"{text} …"
        text += term
    return text + (" …" if direction.share < 0.99 else "")


def _frequencies(row: MetricSpectrum) -> np.ndarray:
    squared = np.sort(row.squared_frequencies[row.squared_frequencies > 0])
    if len(squared) > MAX_STROKES:
        squared = squared[np.unique(np.linspace(0, len(squared) - 1, MAX_STROKES).astype(int))]
    return np.array([math.sqrt(value) for value in squared])
