"""When are chains long enough? R̂ judged with its own noise."""

import math

R_HAT_LIMIT = 1.01  # Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), Bayesian Analysis 16(2)
ESS_LIMIT = 100  # a chain, ibid.


def r_hat_limit(ess: float, num_chains: int) -> float:
    """`R_HAT_LIMIT` and what R̂ − 1 is by chance at this ESS.

    Means of m converged chains with S effective draws together scatter with m/S of the variance, so R̂ − 1 is
    m/(2S) · χ²/(m − 1) with m − 1 degrees of freedom. Its mean and one standard deviation are allowed: with 4 chains
    and an ESS of 400 the limit is 1.019, which converged chains pass 99 times in 100 a coordinate. It is no wider at a
    smaller ESS, which chains that disagree also have.
    """
    if num_chains < 2:
        return R_HAT_LIMIT
    least = ESS_LIMIT * num_chains
    return R_HAT_LIMIT + num_chains / (2.0 * (ess if ess > least else least)) * (
        1.0 + math.sqrt(2.0 / (num_chains - 1))
    )
