"""A printed spectrum: directions where they stand out, digits down to the error, and what it cannot see."""

import jax.numpy as jnp
import numpy as np

import monochord as mc
from monochord.gaussian import Gaussian
from monochord.metrics import DiagonalMetric
from monochord.targets import callable_target
from monochord.testing import funnel_target


def _independent(params, scale):
    return -0.5 * jnp.sum((params["x"] / scale) ** 2)


def test_the_text_names_directions_only_where_they_stand_out():
    """Catches: noise in an eigenvector of a round spectrum sold as a direction, and a lone outlier called a crowd."""
    dim = 12
    scale = np.r_[np.ones(dim - 1), 0.1]
    target = callable_target(_independent, {"x": np.zeros(dim)}, {"scale": scale})
    text = str(mc.spectrum(target, Gaussian(np.zeros(dim), DiagonalMetric(scale)), seed=1))
    lines = {line.split()[0]: line for line in text.splitlines() if line.startswith("  ")}
    assert "slowest: one of about 11 alike" in lines["identity"]
    assert f"fastest: 1.00 x[{dim - 1}]" in text
    assert "all alike" in lines["fitted"] and "slowest" not in lines["fitted"]
    assert max(len(line) for line in text.split("directions")[0].splitlines()) <= 80


def test_the_text_says_what_it_cannot_see():
    """Funnel under a Gaussian by hand; few coordinates; a single point. Catches: figures without their limits."""
    funnel = funnel_target(5)
    text = str(mc.spectrum(funnel, Gaussian(np.zeros(5), DiagonalMetric(np.ones(5))), seed=1))
    assert "curvature turns over" in text and "NUTS is predicted from 7" in text
    place = str(mc.spectrum(funnel, Gaussian(np.zeros(5), DiagonalMetric(np.ones(5))), seed=1, at="mean"))
    assert "curvature turns over" not in place
    assert "The Hessian is definite there." in place and "C(M) needs 16 points" in place


def test_cells_round_to_the_error():
    """Catches: digits beyond the error, 1e+01 for 12, an error swallowed."""
    from monochord.spectra._text import brief

    shown = {
        (104.2, 16.1): "104 ± 16", (0.5391, 0.0123): "0.54 ± 0.01", (88.9, 12.3): "89 ± 12", (3.0, np.nan): "3",
        (26.151, 1e-9): "26.2", (np.inf, np.nan): "inf", (4.0e7, 3e5): "4e+07 ± 3e+05", (0.0, 0.04): "0.00 ± 0.04",
    }  # fmt: skip
    for (value, error), text in shown.items():
        assert brief(mc.Estimate(value, error, 9)) == text
    assert brief(None) == "–" and brief(mc.Estimate(np.nan, np.nan, 9)) == "–"
