"""Is it right, and how much is it worth? ESS, R-hat and errors of draws, by one code for every method."""

import math

import numpy as np
from scipy.stats import norm

from benchmarks.flat import FlatProblem
from benchmarks.runners import Run
from monochord.mixing import bulk_and_tail_ess

R_HAT_LIMIT = 1.01  # Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021)
ESS_LIMIT = 100  # below this the ESS itself, and every error made from it, is noise
FALSE_ALARM = 1e-4  # chance that a right row is called wrong, over all its moments together
MAX_SCALARS = 500  # judged in a row; evenly chosen where a problem has more


def named_scalars(flat: FlatProblem, run: Run) -> dict[str, np.ndarray]:
    """Draws (chains, draws) of each quantity of the reference, or of all where there is none; names 1-based."""
    scalars = dict(run.scalars or {})
    for name, value in ({} if run.scalars else flat.constrain(run.draws)).items():
        entries = value.reshape(*run.draws.shape[:2], -1)
        for index, place in enumerate(np.ndindex(*value.shape[2:])):
            label = f"{name}[{','.join(str(i + 1) for i in place)}]" if place else name
            scalars[label] = entries[:, :, index]
    reference = flat.problem.reference
    if reference is not None:
        missing = set(reference) - set(scalars)
        assert not missing, f"the reference names {sorted(missing)[:3]}, which `constrain` does not return"
        scalars = {name: scalars[name] for name in reference}
    if len(scalars) > MAX_SCALARS:
        names = list(scalars)
        chosen = np.unique(np.linspace(0, len(names) - 1, MAX_SCALARS).astype(int))
        scalars = {names[index]: scalars[names[index]] for index in chosen}
    return scalars


def diagnose(scalars: dict[str, np.ndarray]) -> dict[str, float]:
    """The smallest ESS of its kinds and the largest R-hat over `scalars`; constant ones are left out."""
    from arviz_stats.base.array import array_stats

    moving = [values for values in scalars.values() if np.ptp(values) > 0]
    if not moving:
        return {"ess_bulk": 0.0, "ess_tail": 0.0, "ess_square": 0.0, "r_hat": math.inf, "num_constant": len(scalars)}
    x = np.stack(moving, axis=-1)
    bulk, tail = bulk_and_tail_ess(x)
    squares = np.moveaxis((x - x.mean((0, 1))) ** 2, -1, 0)
    compared = (
        x if len(x) > 1 else x[:, : x.shape[1] // 2 * 2].reshape(2, -1, x.shape[2])
    )  # ArviZ has none of one chain
    r_hat = array_stats.rhat(np.moveaxis(compared, -1, 0))
    return {
        "ess_bulk": round(float(np.min(bulk)), 1),
        "ess_tail": round(float(np.min(tail)), 1),
        "ess_square": round(float(np.min(array_stats.ess(squares, method="mean"))), 1),
        "r_hat": round(float(np.max(r_hat)), 4),
        "num_constant": len(scalars) - len(moving),
    }


def errors(scalars: dict[str, np.ndarray], reference) -> dict[str, float | bool | str | None]:
    """Worst error against the truth: of means in true sds, and of means and second moments in joined standard errors.

    `within` says whether the largest |z| stays below the Bonferroni limit over all moments compared.
    Second moments without a finite variance are not compared.
    """
    if reference is None:
        return {"error_sd": None, "error_z": None, "z_limit": None, "worst": None, "within": None}
    worst_sd, scores = 0.0, {}
    for name, draws in scalars.items():
        truth = reference[name]
        worst_sd = max(worst_sd, abs(draws.mean() - truth.mean) / truth.sd)
        scores[name] = z_score(draws, truth.mean, truth.mcse_mean)
        if truth.sd_sq is not None and math.isfinite(truth.sd_sq):
            scores[f"{name}²"] = z_score(draws**2, truth.mean_sq, truth.mcse_mean_sq)
    worst = max(scores, key=lambda name: scores[name])
    limit = float(norm.isf(FALSE_ALARM / (2 * len(scores))))
    return {
        "error_sd": round(float(worst_sd), 4),
        "error_z": round(scores[worst], 2),
        "z_limit": round(limit, 2),
        "worst": worst,
        "within": scores[worst] <= limit,
    }


def z_score(draws: np.ndarray, mean: float, standard_error: float) -> float:
    """|difference of means| over both standard errors joined; infinite for draws that never move."""
    from arviz_stats.base.array import array_stats

    joined = math.hypot(float(array_stats.mcse(draws)), standard_error)
    return float(abs(draws.mean() - mean) / joined) if joined > 0 and math.isfinite(joined) else math.inf
