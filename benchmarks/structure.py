"""NumPyro models centred, as their own reparametrisation at learned centredness, and non-centred by hand: what runs to an ESS of 400 cost.

Run: python -m benchmarks.structure [schools slopes control] [--seeds 0 … 9] [--output benchmarks/results/structure.csv]
     python -m benchmarks.structure --table
`learned` is `monochord.reparametrised` after the default fit of the centred model, and charges that fit and its 128 gradients; `by hand` is LocScaleReparam(0)
from the start; `map` is the centred model at the defaults, whose fit looks for a map. Right where the run ended by itself with an ESS of 300 and no mean
of a quantity is off the truth by more than both errors allow.
"""

import argparse
import warnings
from itertools import product
from pathlib import Path
from statistics import median

import jax
import numpy as np

jax.config.update("jax_enable_x64", True)

import numpyro  # noqa: E402
import numpyro.distributions as dist  # noqa: E402
from numpyro.infer.reparam import LocScaleReparam  # noqa: E402
from scipy.stats import norm  # noqa: E402

import monochord as mc  # noqa: E402
from benchmarks import truth  # noqa: E402
from benchmarks.missing_rows import append_missing, read_csv  # noqa: E402
from benchmarks.problems import load  # noqa: E402

PATH = Path(__file__).parent / "results" / "structure.csv"
MAX_GRADIENTS, LEAST_ESS = 200_000, 300.0
WAYS = ("map", "learned", "by hand")
FIELDS = ("model", "way", "seed", "right", "why_not", "total", "linear_fit", "fit", "warmup", "sampling", "verdict", "kernel", "ess", "error_z", "centredness")  # fmt: skip


def schools(y, sigma):
    """Eight schools, centred."""
    mu, tau = numpyro.sample("mu", dist.Normal(0, 5)), numpyro.sample("tau", dist.HalfCauchy(5))
    with numpyro.plate("school", len(y)):
        theta = numpyro.sample("theta", dist.Normal(mu, tau))
        numpyro.sample("y", dist.Normal(theta, sigma), obs=y)


def slopes(x, u, group, response):
    """`slopes_176`: varying intercepts and slopes, centred."""
    m_a, m_u, m_b = (numpyro.sample(name, dist.Normal(0, 5)) for name in ("m_a", "m_u", "m_b"))
    s_a, s_b, s_y = (numpyro.sample(name, dist.HalfNormal(1)) for name in ("s_a", "s_b", "s_y"))
    with numpyro.plate("groups", len(u)):
        a = numpyro.sample("a", dist.Normal(m_a + m_u * u, s_a))
        b = numpyro.sample("b", dist.Normal(m_b, s_b))
    numpyro.sample("response", dist.Normal(a[group] + b[group] * x, s_y), obs=response)


def control(x, response):
    """A regression, which has nothing to rewrite."""
    with numpyro.plate("columns", x.shape[1]):
        b = numpyro.sample("b", dist.Normal(0, 1))
    numpyro.sample("response", dist.Normal(x @ b, 1), obs=response)


def cases(name: str):
    """Model, data, sites to write by hand, and the truth by quantity (mean and its error), or None."""
    if name == "schools":
        problem = load("eight_schools-eight_schools_centered")
        return (
            schools,
            {"y": np.asarray(problem.data["y"], float), "sigma": np.asarray(problem.data["sigma"], float)},
            ("theta",),
            problem.reference,
        )
    if name == "slopes":
        problem = load("slopes_176")
        return slopes, {key: np.asarray(value) for key, value in problem.data.items()}, ("a", "b"), problem.reference
    generator = np.random.default_rng(0)
    x = generator.standard_normal((50, 4))
    return control, {"x": x, "response": x @ np.ones(4) + generator.standard_normal(50)}, (), None


def row(name: str, way: str, seed: int) -> dict:
    """One run."""
    model, data, sites, reference = cases(name)
    linear, shown = 0, ""
    if way == "by hand":
        model = numpyro.handlers.reparam(model, config={site: LocScaleReparam(0) for site in sites})
    elif way == "learned":
        fit = mc.fit(mc.target(model, data=data), seed=seed, progress=False)
        made = mc.reparametrised(model, fit, data=data, seed=seed)
        model, linear = made, fit.cost.gradients + (128 if made.centredness else 0)
        shown = "; ".join(
            f"{site} {np.min(value):.2f} to {np.max(value):.2f}" for site, value in made.centredness.items()
        )
    target = mc.target(model, data=data)
    fit = mc.fit(target, seed=seed, maps=way == "map", progress=False)
    tree = mc.sample(target, fit=fit, seed=seed, max_gradients=MAX_GRADIENTS, progress=False)
    attrs, reasons, worst = tree.sample_stats.attrs, [], 0.0
    scalars = {
        (f"{key}[{index + 1}]" if values.ndim > 2 else key): values.reshape(*values.shape[:2], -1)[:, :, index]
        for key, values in (
            (key, tree.posterior[key].values) for key in tree.posterior if not key.endswith("_decentered")
        )
        for index in range(int(np.prod(values.shape[2:])))
    }
    ess = min(truth.diagnose(scalars)[key] for key in ("ess_bulk", "ess_tail"))
    if reference is not None:
        scores = {
            key: truth.z_score(draws, reference[key].mean, reference[key].mcse_mean)
            for key, draws in scalars.items()
            if key in reference
        }
        assert len(scores) >= len(scalars) - 1
        worst = max(scores.values())
        limit = float(norm.isf(truth.FALSE_ALARM / (2 * len(scores))))
        reasons += (
            [f"{max(scores, key=lambda key: scores[key])} off by {worst:.1f} standard errors"]
            if not worst <= limit
            else []
        )
    reasons += [attrs["status"]] if attrs["status"] != "target ESS reached" else []
    reasons += [f"ESS {ess:.0f}"] if not ess >= LEAST_ESS else []
    spent = {"linear_fit": linear, **{key: int(attrs[f"gradients_{key}"]) for key in ("fit", "warmup", "sampling")}}
    return {
        "model": name, "way": way, "seed": seed, "right": not reasons, "why_not": "; ".join(reasons), "total": sum(spent.values()), **spent,
        "verdict": attrs["verdict"], "kernel": attrs["kernel"], "ess": round(ess), "error_z": round(worst, 2), "centredness": shown,
    }  # fmt: skip


def table(rows: list[dict]) -> str:
    """Markdown: least, median and most of the totals."""
    lines = ["| model | way | right | total: least, median, most | centredness |", "|---" * 5 + "|"]
    for key in dict.fromkeys((row["model"], row["way"]) for row in rows):
        here = [row for row in rows if (row["model"], row["way"]) == key]
        totals = [int(row["total"]) for row in here]
        right = sum(row["right"] == "True" for row in here)
        figures = ", ".join(f"{value / 1e3:.1f} k" for value in (min(totals), median(totals), max(totals)))
        lines.append(f"| {key[0]} | {key[1]} | {right} of {len(here)} | {figures} | {here[0]['centredness']} |")
    return "\n".join(lines)


def main() -> None:
    """Make the rows that are missing, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=("schools", "slopes", "control"))
    parser.add_argument("--seeds", type=int, nargs="+", default=tuple(range(10)))
    parser.add_argument("--output", type=Path, default=PATH)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.table:
        print(table(read_csv(options.output)))
        return
    append_missing(
        options.output,
        FIELDS,
        product(options.models, options.seeds, WAYS),
        ("model", "seed", "way"),
        lambda name, seed, way: row(name, way, seed),
    )


if __name__ == "__main__":
    main()
