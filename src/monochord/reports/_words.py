"""The report's answers in sentences: can it be trusted, what did it cost, what to change."""

import json
import math

import numpy as np

from monochord.convergence import ESS_LIMIT
from monochord.reports._material import Material, least_ess
from monochord.spectra import brief

BLIND = "No run can see a mode that none of its starts has found."


def verdict(material: Material) -> tuple[str, str, str]:
    """(kind, word, sentence): kind is "good", "fair" or "bad"."""
    if material.data is None:
        words = {"trust": ("fair", "Not sampled yet"), "start only": ("fair", "Not sampled yet")}
        kind, word = words.get(material.verdict, ("bad", "Not sampled yet"))
        return kind, word, f"There are no draws here. The verdict on the fit is “{material.verdict}”."
    size = f"{material.data['posterior'].sizes['chain']} chains of {material.data['posterior'].sizes['draw']:,} draws"
    if not material.is_trusted:
        return "bad", "Not yet", f"{material.doubts[0]} ({size})"
    least, worst = slowest(material), highest_r_hat(material)
    agree = f"{size} agree"
    if worst is not None:
        agree += f" (largest R̂ {worst.r_hat:.3f}, of {worst.name})"
    if least is not None:
        agree += f"; the smallest ESS is {least_ess(least):,.0f}, of {least.name}"
    if material.doubts:
        more = f" and {len(material.doubts) - 1} more below" if len(material.doubts) > 1 else ""
        return "fair", "Yes, with a reservation", f"{agree}. But: {material.doubts[0]}{more}"
    return "good", "Yes", f"{agree}, and nothing that was looked at speaks against them."


def slowest(material: Material):
    """The summary row of the smallest ESS."""
    rows = [row for row in material.rows if row.sd != 0.0 and math.isfinite(least_ess(row))]
    return min(rows, key=least_ess, default=None)


def highest_r_hat(material: Material):
    """The summary row of the largest R̂."""
    return max((row for row in material.rows if math.isfinite(row.r_hat)), key=lambda row: row.r_hat, default=None)


def facts(material: Material) -> list[tuple[str, str]]:
    """Short facts under the verdict: (term, value)."""
    found = [("Verdict on the fit", material.verdict)]
    attributes = material.attributes
    if material.data is None:
        fit = material.fit
        if fit is not None:
            found += [
                ("ELBO", str(fit.elbo)),
                ("Score residual", str(fit.score_residual)),
                ("Pareto k̂", str(fit.pareto_k)),
            ]
        return found
    stats = material.data["sample_stats"]
    num_chains = material.data["posterior"].sizes["chain"]
    found += [
        ("Run ended", str(attributes.get("status", "not said"))),
        ("Smallest ESS", "unknown" if material.least_ess is None else f"{material.least_ess:,.0f} ({ESS_LIMIT * min(num_chains, 4)} is enough)"),
        ("Divergences", f"{int(stats['diverging'].sum()):,} of {stats['diverging'].size:,}"),
        ("Kernel", f"{attributes.get('kernel', 'unknown')}: {attributes.get('kernel_reason', '')}"),
    ]  # fmt: skip
    if attributes.get("modes", "none") != "none":
        found.append(("Modes", str(attributes["modes"])))
    for name, words in (
        ("score_residual", "Score residual of the fit"),
        ("posterior_residual", "… over the run's own draws"),
    ):
        triple = json.loads(attributes.get(name, "null") or "null")
        if triple and triple[0] is not None:
            error = f" ± {triple[1]:.2g}" if triple[1] is not None else ""
            found.append((words, f"{triple[0]:.3g}{error}"))
    return found


def changes(material: Material) -> list[str]:
    """What to change in the model or the call; empty where nothing asks for it."""
    found = [
        sentence for name in ("advice", "rewrites") for sentence in json.loads(material.attributes.get(name, "[]"))
    ]
    if material.findings is not None:
        found += [f"{finding.name}: {finding.message}" for finding in material.findings if finding.level != "ok"]
    if material.data is not None and material.data["sample_stats"]["diverging"].any():
        found.append(
            "Transitions diverged. Ask for more acceptance (`target_accept=0.95`); where some still diverge, look at the picture of "
            "where they do and write the quantities that stand out there in another way, such as a group non-centred."
        )
    return list(dict.fromkeys(found))


def hard(material: Material) -> list[str]:
    """What the fit could not explain, and why a fit handed over was not used."""
    found = material.reasons if material.verdict in ("start only", "do not use") else []
    return [*found, *([str(material.attributes["fit_note"])] if material.attributes.get("fit_note") else [])]


def stage_costs(material: Material) -> list[tuple[str, int, float | None]]:
    """(stage, gradients, seconds) of fit, warm-up and sampling; of the fit alone where nothing was drawn."""
    if material.data is None:
        fit = material.fit
        return [] if fit is None else [("fit", fit.cost.gradients, fit.seconds)]
    return [
        (words, int(material.value(f"gradients_{name}") or 0), material.value(f"seconds_{name}"))
        for name, words in (("fit", "fit"), ("warmup", "warm-up"), ("sampling", "sampling"))
    ]


def predictions(material: Material) -> dict[str, float]:
    """Gradients predicted for as many effective draws under no metric and under the best diagonal; finite ones only."""
    ess = material.least_ess
    if material.spectrum is None or ess is None or not material.spectrum.is_reliable:
        return {}
    names = {"identity": "no preconditioning", "diagonal": "the best diagonal"}
    found = {
        words: ess * material.spectrum[name].gradients_per_effective_draw.value
        for name, words in names.items()
        if name in material.spectrum.rows
    }
    return {words: value for words, value in found.items() if np.isfinite(value)}


def saving(material: Material) -> str:
    """One sentence on what preconditioning was worth."""
    if material.spectrum is None:
        return ""
    rows = material.spectrum.rows
    before, after = rows["identity"].kappa, rows["fitted"].kappa
    if not (math.isfinite(before.value) and math.isfinite(after.value)):
        return "The averaged curvature is not positive everywhere, so that no condition number can be given."
    bound = "at least " if rows["identity"].is_lower_bound else ""
    text = (
        f"The stiffness κ (largest over smallest squared frequency) went from {bound}{brief(before)} with no "
        f"preconditioning to {brief(after)} under the fitted metric."
    )
    if "diagonal" in rows and math.isfinite(rows["diagonal"].kappa.value):
        text += f" Rescaling each coordinate alone would have left {brief(rows['diagonal'].kappa)}."
    return text


def plain(value: float) -> str:
    """A number for a sentence: three digits, thousands separated."""
    if not math.isfinite(value):
        return "∞" if value > 0 else "unknown"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
