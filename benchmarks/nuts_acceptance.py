"""Calibrates the closed-form step size for NUTS: its acceptance statistic against the half-period law.

Prints one row per dimension and step size of whitened Gaussians: measured mean acceptance statistic,
the law 2Φ(−√(mu/2)) with mu = Σ h⁴/(64(1−h²/4)), and the factor on mu that would make them agree.
Run: python benchmarks/nuts_acceptance.py
"""

import jax
import numpy as np
from scipy.stats import norm

jax.config.update("jax_enable_x64", True)


def main():
    import monochord.targets as targets
    from monochord.arrays import named_key
    from monochord.metrics import identity_metric
    from monochord.sampling._blackjax import BlockSpec, Position, run_block

    spec = BlockSpec("nuts", 3000, 10)
    print("dim,step_size,acceptance,law,factor,leapfrogs_per_draw")
    for dim in (2, 5, 10, 20, 50, 100, 250):
        target = targets.callable_target(lambda x: -0.5 * (x**2).sum(), np.zeros(dim))
        x = np.random.default_rng(dim).standard_normal(dim)
        position = Position(x, np.float64(-0.5 * x @ x), -x)
        for wanted in (0.7, 0.8, 0.9):
            z = norm.ppf(1 - wanted / 2)
            step = np.sqrt(32 / dim * (-(z**2) / 2 + z * np.sqrt(z**2 / 4 + dim / 8)))
            for scale in (0.9, 1.0, 1.1, 1.2):
                h = step * scale
                if h > 1.7:
                    continue
                _, block = run_block(
                    target, identity_metric(dim), position, named_key(dim, "c"), 0, 3000, h, 1.57, spec=spec
                )
                acceptance = float(block.acceptance.mean())
                mu = dim * h**4 / (64 * (1 - h**2 / 4))
                factor = 2 * norm.ppf(1 - acceptance / 2) ** 2 / mu
                law = 2 * norm.cdf(-np.sqrt(mu / 2))
                steps = float(block.num_steps.mean())
                print(f"{dim},{h:.4f},{acceptance:.4f},{law:.4f},{factor:.3f},{steps:.2f}", flush=True)


if __name__ == "__main__":
    main()
