"""The ways of the fit and of warm-up, kept with a result in the groups `fit_trace` and `warmup_trace`."""

import numpy as np

from monochord.estimate import Estimate
from monochord.fits import FitResult, StepInfo
from monochord.sampling import Piece, WarmUp

FIT_GROUP, WARMUP_GROUP = "fit_trace", "warmup_trace"


def add_traces(tree, fit: FitResult | None, warmup: WarmUp | None):
    """`tree` with its groups; a run without a fit, or without warm-up, has none of it."""
    import xarray

    def group(dim: str, columns: dict[str, list]):
        return xarray.DataTree(xarray.Dataset({name: ((dim,), np.array(values)) for name, values in columns.items()}))

    if fit is not None and fit.trace:
        tree[FIT_GROUP] = group("step", _columns(fit.trace))
    if warmup is not None and warmup.trace:
        pieces = warmup.trace
        tree[WARMUP_GROUP] = group("piece", {name: [getattr(p, name) for p in pieces] for name in Piece._fields})
    return tree


def keep_traces(tree, old):
    """`tree` with the groups of the result that it continues."""
    for name in (FIT_GROUP, WARMUP_GROUP):
        if name in old.children:
            tree[name] = old[name].copy()
    return tree


def fit_trace_of(tree) -> tuple[StepInfo, ...]:
    """The steps of the fit behind a result; empty where it has none."""
    if FIT_GROUP not in tree.children:
        return ()
    columns = {name: np.asarray(value.values) for name, value in tree[FIT_GROUP].to_dataset().data_vars.items()}
    steps = []
    for i in range(len(columns["step_number"])):
        elbo, residual = (
            Estimate(float(columns[name][i]), float(columns[f"{name}_error"][i]), int(columns["num_draws"][i]))
            if not np.isnan(columns[name][i])
            else None
            for name in ("elbo", "residual")
        )
        best = float(columns["best_log_density"][i])
        steps.append(
            StepInfo(
                str(columns["stage"][i]), int(columns["step_number"][i]), int(columns["gradients"][i]), elbo, residual,
                None if np.isnan(best) else best,
            )
        )  # fmt: skip
    return tuple(steps)


def warmup_trace_of(tree) -> tuple[Piece, ...]:
    """The pieces of a result's warm-up; empty where it kept none."""
    if WARMUP_GROUP not in tree.children:
        return ()
    columns = tree[WARMUP_GROUP].to_dataset()
    rows = zip(*(np.asarray(columns[name].values).tolist() for name in Piece._fields), strict=True)
    return tuple(Piece(*row) for row in rows)


def _columns(trace) -> dict[str, list]:
    """A column a field; a step that has no estimate (the descent) holds NaN."""
    nothing = Estimate(np.nan, np.nan, 0)
    return {
        "stage": [info.stage for info in trace],
        "step_number": [info.step for info in trace],
        "gradients": [info.gradients for info in trace],
        "elbo": [(info.elbo or nothing).value for info in trace],
        "elbo_error": [(info.elbo or nothing).standard_error for info in trace],
        "residual": [(info.residual or nothing).value for info in trace],
        "residual_error": [(info.residual or nothing).standard_error for info in trace],
        "num_draws": [(info.elbo or nothing).num_draws for info in trace],
        "best_log_density": [
            np.nan if info.best_log_density is None else float(info.best_log_density) for info in trace
        ],
    }
