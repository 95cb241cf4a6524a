"""Assertions on Monte Carlo means that state how often they fail falsely and how often they pass falsely."""

from statistics import NormalDist

import numpy as np


def assert_mean_close(
    estimate,
    standard_error,
    expected,
    *,
    expected_error=0.0,
    must_detect,
    false_fail: float = 1e-6,
    false_pass: float = 1e-3,
) -> None:
    """Fail if `estimate` differs from `expected` beyond noise, or if the noise would hide `must_detect`.

    With the joint error s = √(standard_error² + expected_error²) of a normal estimate, two conditions
    must hold, each for every entry where arrays are given:

        |estimate − expected| ≤ z_fail · s         z_fail = Φ⁻¹(1 − false_fail/2)
        (z_fail + z_pass) · s ≤ must_detect        z_pass = Φ⁻¹(1 − false_pass)

    - `estimate`, `standard_error`, `expected`, `expected_error`: numbers or arrays that broadcast, in one
      unit. For chains `standard_error` is that of independent chain means, never sd/√n over one chain.
    - `must_detect`: the smallest error of interest, same unit.
    - `false_fail`: probability that right code fails. It is shared out over the entries of an array
      (Bonferroni), so it holds for the whole assertion. 200 assertions at 1e-6 fail once in 5000 runs.
    - `false_pass`: probability that an entry wrong by `must_detect` passes.

    **Raises** `AssertionError`: "Estimate differs ..." or "Test too weak ...". NaN always fails.
    """
    estimate, standard_error, expected, expected_error, must_detect = np.broadcast_arrays(
        *(
            np.asarray(part, dtype=np.float64)
            for part in (estimate, standard_error, expected, expected_error, must_detect)
        )
    )
    _check_probability("false_fail", false_fail)
    _check_probability("false_pass", false_pass)
    if estimate.size == 0:
        raise AssertionError("Test too weak: there is no estimate to compare. Pass at least one number.")
    z_fail = -NormalDist().inv_cdf(false_fail / (2.0 * estimate.size))
    z_pass = -NormalDist().inv_cdf(false_pass)
    error = np.hypot(standard_error, expected_error)
    distance = np.abs(estimate - expected)
    bad = ~(distance <= z_fail * error)
    if bad.any():
        i = int(np.argmax(np.where(bad, np.nan_to_num(distance / np.maximum(error, 1e-300), nan=np.inf), -1.0)))
        raise AssertionError(
            f"Estimate differs from what is expected at {int(bad.sum())} of {estimate.size} entries. Worst is entry {i}: "
            f"{estimate.flat[i]:.6g} ± {standard_error.flat[i]:.2g}, expected {expected.flat[i]:.6g} ± "
            f"{expected_error.flat[i]:.2g}: {distance.flat[i] / max(error.flat[i], 1e-300):.1f} standard errors, where "
            f"{z_fail:.1f} are allowed (false-fail rate {false_fail:g})."
        )
    _check_power(standard_error, expected_error, must_detect, z_fail + z_pass)


def assert_moments_close(values, mean, covariance, *, must_detect: float, must_detect_square: float, **rates) -> None:
    """Means and second moments of stationary chains agree with those of N(mean, covariance)-like truth.

    `values` has shape (chains, draws, dim); chains are independent and each starts at stationarity, so the
    averages of chains are independent and their spread gives the standard error. Compared are the
    components of z = R⁻¹(x − mean), covariance = R Rᵀ, and all products zᵢzⱼ (expected: 0 and the identity).
    `must_detect` and `must_detect_square` are in those unit scales; the rates are those of `assert_mean_close`.
    Use 100 chains or more: the errors are taken as normal.
    """
    values = np.asarray(values, dtype=np.float64)
    root = np.linalg.cholesky(np.asarray(covariance, dtype=np.float64))
    z = np.linalg.solve(root, np.swapaxes(values - mean, -1, -2))  # (chains, dim, draws)
    pairs = np.tril_indices(z.shape[1])
    products = (z[:, pairs[0]] * z[:, pairs[1]]).mean(-1)
    averages = np.concatenate([z.mean(-1), products], axis=1)
    expected = np.concatenate([np.zeros(z.shape[1]), pairs[0] == pairs[1]])
    detect = np.concatenate([np.full(z.shape[1], must_detect), np.full(len(pairs[0]), must_detect_square)])
    error = averages.std(0, ddof=1) / np.sqrt(len(averages))
    assert_mean_close(averages.mean(0), error, expected, must_detect=detect, **rates)


def _check_probability(name: str, value: float) -> None:
    if not 0.0 < value < 0.5:
        raise ValueError(f"`{name}={value}` is no error rate. It is a probability. Pass one between 0 and 0.5.")


def _check_power(standard_error, expected_error, must_detect, quantiles: float) -> None:
    """Both rates can hold only if the joint error is small enough against `must_detect`."""
    error = np.hypot(standard_error, expected_error)
    weak = ~(quantiles * error <= must_detect)
    if not weak.any():
        return
    i = int(np.argmax(np.where(weak, error / np.maximum(must_detect, 1e-300), 0.0)))
    allowed = (must_detect.flat[i] / quantiles) ** 2 - expected_error.flat[i] ** 2
    if allowed > 0:
        advice = f"draw about {standard_error.flat[i] ** 2 / allowed:.1f}x more samples."
    else:
        advice = "the expected value is itself too uncertain; no number of samples mends that."
    raise AssertionError(
        f"Test too weak: an error of {must_detect.flat[i]:.3g} could slip through at entry {i} "
        f"(standard error {error.flat[i]:.2g}); {advice}"
    )
