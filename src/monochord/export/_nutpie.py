"""nutpie takes no metric: it gets the whitened density as a compiled model, and its results come back in your parameters."""

import dataclasses
from typing import Any, final

import jax
import numpy as np

from monochord.errors import MissingPackage
from monochord.export._handover import along_map, handover, text, unconstrained
from monochord.export._whitened import Whitened, whitened
from monochord.fits import FitResult
from monochord.targets import AbstractTarget, output_name

NOTE = (
    "nutpie takes no metric and cannot drop ours: the density itself is whitened. Its own diagonal adaptation goes on from there, "
    "and with nothing left to learn a short one is enough."
)
TUNE = 100  # nutpie's first metric is one gradient; a hundred draws of a whitened density settle its diagonal


@final
@dataclasses.dataclass(frozen=True)
class NutpieExport:
    """`model` is a nutpie model of the whitened density whose draws are reported as the target's own quantities."""

    model: Any
    density: Whitened
    step_size: float
    chains: int
    has_jitter: bool = True  # newer ones jitter the step size by themselves
    note: str = NOTE
    caution: str = ""

    @property
    def sample_options(self) -> dict[str, Any]:
        """Arguments of ``nutpie.sample``: a short tuning, which adapts step size and a diagonal in whitened coordinates."""
        return {"chains": self.chains, "tune": TUNE}

    @property
    def fixed_step_options(self) -> dict[str, Any]:
        """More of them that hold the step size where the fit puts it."""
        jitter = {"step_size_jitter": None} if self.has_jitter else {}
        return {"step_size_adapt_method": repr(self.step_size), **jitter}

    def __str__(self) -> str:
        rows = [
            ("coordinates", self.density.target.dim),
            ("step size", f"{self.step_size:.4g} (nutpie adapts its own)"),
        ]
        return text(
            "whitened model for nutpie",
            rows,
            ["nutpie.sample(export.model, **export.sample_options)"],
            self.note,
            self.caution,
        )


def to_nutpie(fit: FitResult, target: AbstractTarget, **options) -> NutpieExport:
    """A nutpie model of `target` in the coordinates that the fit whitens, x = mean + Lz; any form of metric, and any map.

    Draws, names and shapes that come back are those of ``target.constrain``. Chains start at draws of the fit. Works with
    nutpie 0.16; the density runs in JAX, one call a gradient, so small models pay for the calls. `options` as in `to_plain`.

    **Raises** `MissingPackage` without nutpie, `OptionError` for another target than the fit's.
    """
    try:
        from nutpie import _lib  # pyright: ignore[reportAttributeAccessIssue]
        from nutpie.compiled_pyfunc import from_pyfunc
    except ImportError:
        raise MissingPackage("nutpie", "a nutpie model", extra="nutpie") from None
    target = along_map(target, fit)
    given = handover(fit, ("diagonal", "dense", "low_rank"), takes_density=True, **options)
    density = whitened(target, given)
    shapes = jax.eval_shape(target.constrain, jax.ShapeDtypeStruct((target.dim,), np.float64))

    def make_logp():
        return density.value_and_score

    def make_expand(_seed, _other_seed, _chain):
        return density.constrain

    def initial_point(seed):
        rng = np.random.default_rng(seed)
        known = (
            unconstrained(fit, fit.draws.x[fit.draws.finite()])
            if fit.draws is not None and options.get("initial") is None
            else given.initial
        )
        return density.whiten(known[rng.integers(len(known))])

    model = from_pyfunc(
        target.dim, make_logp, make_expand, [np.dtype("float64")] * len(shapes), [s.shape for s in shapes.values()],
        [output_name(name) for name in shapes], make_initial_point_fn=initial_point,
    )  # fmt: skip
    has_jitter = hasattr(_lib.PyNutsSettings, "step_size_jitter")
    return NutpieExport(model, density, given.step_size, len(given.initial), has_jitter, caution=given.caution)
