"""Moments of `horseshoe_122` by Gibbs sampling, where no long run of NUTS agrees with itself.

Run: python -m benchmarks.reference_horseshoe [--chains 8] [--draws 20000] [--thin 10]; needs `pip install polyagamma`
Every step is an exact conditional: Pólya–Gamma weights for the logistic likelihood (Polson, Scott & Windle 2013; where a logit is
large the package's draws are too large, by 64 times at 200, and a limit of the law is taken that is exact to rounding), inverse gammas for the half-Cauchy scales (Makalic & Schmidt 2016), and a slice step of log tau at fixed z, which moves all
coefficients at once. Writes what `benchmarks.references` writes, under the same rules.
"""

import argparse
import multiprocessing
import time
from importlib.metadata import version

import numpy as np

from benchmarks import problems
from benchmarks.references import WITHOUT_MOMENTS, accepted, moments_of, write

NAME = "horseshoe_122"
NUM_WARMUP = 5000
INTERCEPT_SD, TAU_SCALE = 2.0, 0.1
LARGE = 30.0  # logits: the next term of the law's series is e^{−2·30} of the first


def inverse_gamma(rng, shape, rate):
    """Draws with density ∝ x^(−shape − 1) exp(−rate/x)."""
    return rate / rng.gamma(shape, size=np.shape(rate))


def coefficients(rng, design, kappa, weights, scales):
    """(intercept, z) given everything else: normal with precision S Xᵀ Ω X S + I, S the scales."""
    scaled = design * scales
    lower = np.linalg.cholesky(scaled.T @ (weights[:, None] * scaled) + np.eye(len(scales)))
    half = np.linalg.solve(lower, scaled.T @ kappa)
    return np.linalg.solve(lower.T, half + rng.standard_normal(len(scales)))


def polya_gamma(rng, logits):
    """PG(1, logit) draws: a quarter of an inverse Gaussian of mean 2/|logit| and shape 1 where the logit is large."""
    from polyagamma import random_polyagamma

    size = np.abs(logits)
    small = random_polyagamma(1.0, np.minimum(size, LARGE), random_state=rng)
    return np.where(size > LARGE, rng.wald(2.0 / np.maximum(size, LARGE), 1.0) / 4.0, small)


def slice_log_tau(rng, log_tau, log_density, width=1.0):
    """One step of slice sampling with stepping out (Neal 2003, section 4)."""
    level = log_density(log_tau) - rng.exponential()
    left = log_tau - width * rng.random()
    right = left + width
    while log_density(left) > level:
        left -= width
    while log_density(right) > level:
        right += width
    while True:
        value = rng.uniform(left, right)
        if log_density(value) > level:
            return value
        left, right = (value, right) if value < log_tau else (left, value)


def chain(task) -> dict[str, np.ndarray]:
    """Draws of one chain, by quantity."""
    seed, num_draws, thin, design, outcomes = task
    rng = np.random.default_rng(seed)
    num_columns = design.shape[1]
    full = np.column_stack([np.ones(len(design)), design])
    kappa = outcomes - 0.5
    lam, tau = np.exp(rng.uniform(-2, 2, num_columns)), np.exp(rng.uniform(-4, 0))
    logits = rng.standard_normal(len(design))
    kept: dict[str, list] = {"intercept": [], "z": [], "log_lambda": [], "log_tau": []}
    for step in range(NUM_WARMUP + num_draws * thin):
        weights = polya_gamma(rng, logits)
        z = coefficients(rng, full, kappa, weights, np.r_[INTERCEPT_SD, lam * tau])
        intercept, z = INTERCEPT_SD * z[0], z[1:]
        beta = z * lam * tau
        nu = inverse_gamma(rng, 1.0, 1.0 + 1.0 / lam**2)
        lam = np.sqrt(inverse_gamma(rng, 1.0, 1.0 / nu + beta**2 / (2.0 * tau**2)))
        xi = inverse_gamma(rng, 1.0, 1.0 / TAU_SCALE**2 + 1.0 / tau**2)
        tau = np.sqrt(inverse_gamma(rng, (num_columns + 1) / 2, 1.0 / xi + np.sum((beta / lam) ** 2) / 2.0))
        z = beta / (lam * tau)
        direction = design @ (z * lam)

        def log_density(log_tau, intercept=intercept, direction=direction):
            eta = intercept + direction * np.exp(log_tau)
            likelihood = np.sum(outcomes * eta - np.logaddexp(0.0, eta))
            return likelihood - np.log1p((np.exp(log_tau) / TAU_SCALE) ** 2) + log_tau

        tau = np.exp(slice_log_tau(rng, np.log(tau), log_density))
        logits = intercept + direction * tau
        if step >= NUM_WARMUP and (step - NUM_WARMUP) % thin == thin - 1:
            for name, value in (
                ("intercept", intercept),
                ("z", z),
                ("log_lambda", np.log(lam)),
                ("log_tau", np.log(tau)),
            ):
                kept[name].append(value)
    return {name: np.array(values) for name, values in kept.items()}


def main() -> None:
    """Run the chains side by side and keep their moments where they agree."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chains", type=int, default=8)
    parser.add_argument("--draws", type=int, default=20000)
    parser.add_argument("--thin", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    started = time.perf_counter()
    data = problems.load(NAME).data
    seeds = np.random.SeedSequence(options.seed).spawn(options.chains)
    tasks = [
        (seed, options.draws, options.thin, np.asarray(data["design"]), np.asarray(data["outcomes"])) for seed in seeds
    ]
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        chains = pool.map(chain, tasks, chunksize=1)
    scalars = {}
    for name in chains[0]:
        values = np.stack([each[name] for each in chains])
        entries = values[..., None] if values.ndim == 2 else values
        for index in range(entries.shape[2]):
            scalars[name if values.ndim == 2 else f"{name}[{index + 1}]"] = entries[:, :, index]
    assert not {name.split("[")[0] for name in scalars} & set(WITHOUT_MOMENTS[NAME])
    params, r_hat, ess = moments_of(scalars)
    said = f"R-hat at most {r_hat:.4f}, ESS at least {ess:.0f}"
    if not accepted(r_hat, ess):
        print(f"{NAME}: refused, {said}")
        return
    write(
        NAME,
        params,
        f"Gibbs sampler with Pólya-Gamma weights (polyagamma {version('polyagamma')}), {options.chains} chains of "
        f"{options.draws} draws thinned by {options.thin} after {NUM_WARMUP} steps, seed {options.seed}; {said} "
        "(of quantities and squares); made by benchmarks/reference_horseshoe.py",
    )
    print(f"{NAME}: {said}, {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
