"""What was spent, by stage, beside what the same effective draws are predicted to cost otherwise."""

from html import escape

from monochord.reports._material import Material
from monochord.reports._svg import RIGHT, Canvas, figure, span_of
from monochord.reports._words import plain, predictions, stage_costs

ROW = 36


def cost_figure(material: Material) -> str:
    """A mark a stage and one a prediction, on one logarithmic axis."""
    stages = [(name, float(gradients), "c0 large") for name, gradients, _ in stage_costs(material) if gradients > 0]
    if not stages:
        return "<p>This result counts no gradients.</p>"
    if len(stages) > 1:
        stages.append(("all of this run", sum(value for _, value, _ in stages), "c0 start"))
    predicted = [
        (f"predicted, {name}", value, "c1 large") for name, value in predictions(material).items() if value > 0
    ]
    marks = [*stages, *predicted]
    low, high = span_of([value for _, value, _ in marks], is_log=True)
    canvas = Canvas((low / 2.0, high * 1.2), (0.0, 1.0), log_x=True, height=14 + ROW * len(marks) + 40, left=12)
    canvas.axes("gradients", "", y_ticks=False)
    for place, (name, value, kind) in enumerate(marks):
        y = 14 + ROW * place + 29
        canvas.raw(f'<path class="grid" d="M12 {y}H{canvas.width - RIGHT}"/>')
        canvas.raw(f'<path class="dots {kind}" d="M{float(canvas.x(value)):.1f} {y}h0"/>')
        canvas.text(16, y - 9, f"{name}: {plain(value)}", kind="label")
    words = "; ".join(f"{name} {plain(value)}" for name, value, _ in marks)
    caption = "Every gradient is counted, those of starts and of failed steps too. The axis is logarithmic."
    if predicted:
        caption += (
            f" Predicted, not run: gradients of sampling alone for the {material.least_ess:,.0f} effective draws of this run, by "
            "jittered HMC of the best length on a Gaussian of this spectrum."
        )
    return figure("Gradients by stage", canvas.render(f"Gradients: {words}."), caption)


def cost_table(material: Material) -> str:
    """Gradients and seconds by stage."""
    rows = [(name, f"{gradients:,}", _seconds(seconds)) for name, gradients, seconds in stage_costs(material)]
    for name, words in (("import", "importing packages"), ("compile", "compiling (part of the others)")):
        seconds = material.value(f"seconds_{name}")
        if seconds is not None:
            rows.append((words, "–", _seconds(seconds)))
    if material.spectrum is not None:
        rows.append(("the spectrum in this report", f"{material.spectrum.gradients:,}", "–"))
    if material.orbits is not None:
        rows.append(("the trajectories in this report", f"{material.orbits.gradients:,}", "–"))
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{gradients}</td><td>{seconds}</td></tr>'
        for name, gradients, seconds in rows
    )
    return (
        '<div class="scroll" role="region" aria-label="Cost by stage" tabindex="0"><table><caption>Cost by stage</caption><thead><tr>'
        f'<th scope="col">Stage</th><th scope="col">Gradients</th><th scope="col">Seconds</th></tr></thead><tbody>{body}</tbody></table></div>'
    )


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
