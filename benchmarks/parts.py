"""Problems whose parts have known distribution functions: a fit and a run each, without and with maps, judged by shares below quantiles.

A row is right where the run ended by itself, every coordinate has an ESS of 300, and no part's share of draws below its 5, 50 and 95 % quantiles is off by more
than the draws allow. Rows are those of `benchmarks.maps`.
"""

import argparse
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from scipy import stats

jax.config.update("jax_enable_x64", True)

import monochord as mc  # noqa: E402
from benchmarks import truth  # noqa: E402
from benchmarks.maps import FIELDS, LEAST_ESS, MAX_GRADIENTS, mc_convergence, share_score, table  # noqa: E402
from benchmarks.missing_rows import append_missing, read_csv  # noqa: E402

SHARES = (0.05, 0.5, 0.95)


class Case(NamedTuple):
    """A log density of x and the distribution functions of its parts, at draws (…, dim)."""

    log_density: Callable
    cdf: Callable[[np.ndarray], np.ndarray]
    dim: int = 50


def row(case: Case, name: str, seed: int, maps: str) -> dict:
    """One fit and one run."""
    target = mc.target(lambda params: case.log_density(params["x"]), init={"x": np.zeros(case.dim)})
    fit = mc.fit(target, seed=seed, maps=maps == "on", progress=False)
    data = mc.sample(target, fit=fit, seed=seed, max_gradients=MAX_GRADIENTS, progress=False)
    attrs = data.sample_stats.attrs
    x = data["unconstrained_posterior"]["x"].transpose("chain", "draw", ...).values
    ess, r_hat = mc_convergence(x)
    below = case.cdf(x)
    scores = {(i, share): share_score(below[:, :, i] < share, share) for i in range(below.shape[2]) for share in SHARES}
    worst = max(scores, key=lambda key: scores[key])
    limit = float(stats.norm.isf(truth.FALSE_ALARM / (2 * len(scores))))
    reasons = [attrs["status"]] if attrs["status"] != "target ESS reached" else []
    reasons += [f"ESS {ess:.0f}"] if not ess >= LEAST_ESS else []
    reasons += [f"part {worst[0]} off by {scores[worst]:.1f} standard errors"] if not scores[worst] <= limit else []
    gradients = {f"gradients_{stage}": int(attrs[f"gradients_{stage}"]) for stage in ("fit", "warmup", "sampling")}
    return {
        "problem": name, "maps": maps, "seed": seed, "right": not reasons, "why_not": "; ".join(reasons), "total": sum(gradients.values()),
        **gradients, "mapped": fit.map.num_moved if fit.map is not None else 0, "linear_verdict": fit.verdict if fit.map is None else "",
        "verdict": fit.verdict, "kernel": attrs["kernel"], "status": attrs["status"], "ess": round(ess), "r_hat": round(r_hat, 4),
        "worst": f"{worst[0]} at {worst[1]:.0%}", "error_z": round(scores[worst], 2), "z_limit": round(limit, 2),
    }  # fmt: skip


def main(cases: Mapping[str, Callable[[], Case]], path: Path, about: str) -> None:
    """Make the rows that are missing, or print the table."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("problems", nargs="*", default=tuple(cases))
    parser.add_argument("--seeds", type=int, nargs="+", default=tuple(range(10)))
    parser.add_argument("--maps", nargs="+", choices=("off", "on"), default=("off", "on"))
    parser.add_argument("--output", type=Path, default=path)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.table:
        print(table(read_csv(options.output)))
        return
    for name in options.problems:
        case = cases[name]()
        wanted = product((name,), options.seeds, options.maps)
        append_missing(options.output, FIELDS, wanted, ("problem", "seed", "maps"), partial(row, case))
