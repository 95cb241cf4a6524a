"""What the public verbs are given: checked, completed, and refused with a sentence."""

import secrets
import sys

import numpy as np

from monochord.errors import ModelError, OptionError
from monochord.fits import FitResult, FitStatus
from monochord.gaussian import Gaussian
from monochord.progress import Reporter
from monochord.settings import check_count
from monochord.targets import AbstractTarget, HostTarget


def check_belongs(result: FitResult, chosen: AbstractTarget) -> None:
    """**Raises** `OptionError` for a fit of other coordinates."""
    if result.names != chosen.names:
        raise OptionError(
            f"`fit` belongs to another target: its first coordinates are {result.names[:3]}, the target's {chosen.names[:3]}. "
            "A metric only makes sense on its own coordinates. Fit this target."
        )


def gaussian_of(result: FitResult) -> Gaussian:
    """The fitted Gaussian. **Raises** `ModelError` where the fit ran away from any."""
    if result.gaussian is None or result.status is FitStatus.diverged:
        name, extent = result.furthest()
        raise ModelError(
            f"{result.status.value} The scale of `{name}` grew to {extent:.1e}. Such a posterior has no finite spread to "
            "sample. Give every parameter a proper prior, and check that the density falls off in all directions."
        )
    return result.gaussian


def start_of(chosen: AbstractTarget, start: FitResult | Gaussian | None) -> Gaussian | None:
    """The Gaussian to begin a fit with. **Raises** `OptionError` for one of other coordinates."""
    if isinstance(start, FitResult):
        check_belongs(start, chosen)
        return gaussian_of(start)
    if start is not None and start.dim != chosen.dim:
        raise OptionError(
            f"`start` has {start.dim} coordinates, but the target has {chosen.dim}. It must describe all unconstrained "
            "coordinates. Pass one of that size, or leave it out."
        )
    return start


def no_start_message(result: FitResult, initial, chosen: AbstractTarget) -> str:
    """What to say where no start is finite; with what the model itself said, if it raised."""
    said = chosen.model.last_rejection if isinstance(chosen, HostTarget) else None
    where = "the given starts" if initial is not None else "every random start within ±2, ±1 and ±0.1 of the centre"
    return (
        f"the log density or its gradient is not finite at {where} ({result.cost.gradients} points). A fit needs one "
        "finite point to begin. Look for logarithms of negative numbers or observations outside the support, or pass "
        "`initial=` with a point of positive density."
    ) + (f" The model's last error: {type(said).__name__}: {said}" if said is not None else "")


def flat_initial(chosen: AbstractTarget, initial) -> np.ndarray | None:
    """Unconstrained starts, shape (n, dim). **Raises** `OptionError` for another shape."""
    if initial is None:
        return None
    x = np.asarray(initial, dtype=np.float64)
    if x.ndim not in (1, 2) or x.shape[-1] != chosen.dim:
        raise OptionError(
            f"`initial` has shape {x.shape}, but the target has {chosen.dim} unconstrained coordinates "
            f"({', '.join(chosen.names[:4])}…). Pass shape ({chosen.dim},) or (n, {chosen.dim})."
        )
    return np.atleast_2d(x)


def resolved_seed(seed: int | None, report: Reporter | None = None) -> int:
    """The seed, or one from the system, which `report` is told."""
    if seed is None:
        seed = secrets.randbits(31)
        if report is not None:
            report.note(f"seed {seed}")
    return check_count("seed", seed, 0, 2**63 - 1)


def note_precision() -> None:
    """Say once that JAX runs in 32 bits, where it does."""
    import jax

    if not jax.config.jax_enable_x64 and not getattr(note_precision, "said", False):  # type: ignore[attr-defined]
        note_precision.said = True  # type: ignore[attr-defined]
        print(
            "monochord: JAX runs in 32-bit floating point; call jax.config.update('jax_enable_x64', True) first for "
            "models with much data or very unequal scales.",
            file=sys.stderr,
        )
