"""Named checks of a model before anything runs; one registry, each check a function and a sentence.

To add one, write ``def check_name(points: CheckPoints) -> Finding`` and decorate it with `@register("name")`.
"""

import dataclasses
from collections.abc import Callable
from typing import Literal

import jax
import numpy as np

from monochord.errors import ModelError
from monochord.targets._base import AbstractTarget, evaluating
from monochord.targets._gradient import LANES, Evaluations, evaluate

FAR = 1e8  # no posterior in a sensible unit lies out there
FAR_AXES = 16  # coordinates looked along, both ways

Level = Literal["ok", "warning", "error", "not checked"]


MARKS = {"ok": "✓", "warning": "!", "error": "✗", "not checked": "–"}


@dataclasses.dataclass(frozen=True)
class Finding:
    """The outcome of one check: its level and one or two sentences (evidence, and what to do)."""

    name: str
    level: Level
    message: str


class Findings(tuple[Finding, ...]):
    """All findings of a model check, with the gradients it spent."""

    gradients: int

    def __new__(cls, findings, gradients: int):
        made = super().__new__(cls, findings)
        made.gradients = gradients
        return made

    def __str__(self) -> str:
        return "\n".join(f"{MARKS[finding.level]} {finding.name}: {finding.message}" for finding in self)


@dataclasses.dataclass(frozen=True)
class CheckPoints:
    """What checks look at: a target and its scores at starts, computed once for all checks."""

    target: AbstractTarget
    starts: Evaluations
    shifted: Evaluations  # the finite starts, each moved along a random direction by `step`
    directions: np.ndarray
    step: float
    far: Evaluations  # points at the distance `FAR` from the centre along random coordinates; last the centre itself

    @property
    def gradients(self) -> int:
        """What these points cost."""
        return len(self.starts.x) + len(self.shifted.x) + len(self.far.x)


Check = Callable[[CheckPoints], tuple[Level, str]]
REGISTRY: dict[str, Check] = {}


def register(name: str) -> Callable[[Check], Check]:
    """Add a check to the registry, in order."""

    def add(check: Check) -> Check:
        REGISTRY[name] = check
        return check

    return add


def check_target(target: AbstractTarget, rng: np.random.Generator) -> Findings:
    """Run every check at `LANES` random starts and at far points.

    **Raises** `ModelError` when the log density cannot be evaluated at all: not a scalar, not float, or an
    error of the model's own.
    """
    check_signature(target)
    points = check_points(target, rng)
    findings = [Finding(name, *check(points)) for name, check in REGISTRY.items()]
    return Findings(findings, points.gradients)


def check_points(target: AbstractTarget, rng: np.random.Generator, step: float | None = None) -> CheckPoints:
    """The points that checks look at; `step` moves starts for finite differences."""
    starts = evaluate(target, np.asarray(target.center) + rng.uniform(-2, 2, (LANES, target.dim)))
    finite = starts.take(starts.finite())
    directions = rng.standard_normal(finite.x.shape)
    step = step or (1e-4 if jax.config.jax_enable_x64 else 1e-2)  # type: ignore[attr-defined]
    shifted = evaluate(target, finite.x + step * directions) if len(finite.x) else finite
    axes = np.zeros((min(FAR_AXES, target.dim), target.dim))
    axes[np.arange(len(axes)), rng.permutation(target.dim)[: len(axes)]] = FAR
    far = evaluate(target, np.asarray(target.center) + np.concatenate([axes, -axes, np.zeros((1, target.dim))]))
    return CheckPoints(target, starts, shifted, directions, step, far)


def check_signature(target: AbstractTarget) -> None:
    """Trace the log density and the reported quantities once without computing anything.

    **Raises** `ModelError` for a wrong result; the model's own exceptions pass through with their traceback.
    """
    x = np.asarray(target.center)
    shape = jax.eval_shape(target.log_density, jax.ShapeDtypeStruct(x.shape, jax.dtypes.canonicalize_dtype(float)))
    with evaluating(type(target)):
        jax.eval_shape(target.constrain, jax.ShapeDtypeStruct(x.shape, jax.dtypes.canonicalize_dtype(float)))
    if shape.shape != () or not np.issubdtype(shape.dtype, np.floating):
        raise ModelError(
            f"the log density has shape {shape.shape} and type {shape.dtype}. One real number for each point is wanted. "
            "Sum over observations before you return it."
        )


@register("finite at starts")
def _finite_at_starts(points: CheckPoints) -> tuple[Level, str]:
    starts = points.starts
    good = int(starts.finite().sum())
    total = len(starts.x)
    if good == total:
        return "ok", f"The log density and its gradient are finite at all {total} random starts."
    values = np.unique(starts.log_density[~starts.finite()].round(3))[:3]
    text = f"The log density or its gradient is not finite at {total - good} of {total} random starts (values {values.tolist()})."
    if good == 0:
        return "error", (
            f"{text} Nothing can start. Look for logarithms or roots of negative numbers, missing constraints, or "
            "observations outside the support."
        )
    return "warning", f"{text} Others are used; check the support and constraints if this is unexpected."


@register("gradient")
def _gradient_agrees(points: CheckPoints) -> tuple[Level, str]:
    base = points.starts.take(points.starts.finite())
    use = points.shifted.finite() if len(base.x) else np.zeros(0, bool)
    if not use.any():
        return "warning", "The gradient could not be compared: no finite start."
    change = points.shifted.log_density - base.log_density
    slope = points.step * np.sum(0.5 * (base.score + points.shifted.score) * points.directions, axis=1)
    scale = np.abs(slope) + 1e-10 * np.abs(base.log_density) + 1e-8
    error = np.median(np.abs(change - slope)[use] / scale[use])
    limit = 1e-2 if points.step < 1e-3 else 0.2
    if error < limit:
        return "ok", f"The gradient agrees with finite differences (relative difference {error:.0e})."
    return "warning", (
        f"The gradient differs from finite differences by {error:.1e} of its size at most starts. The density may be "
        "discontinuous, or a custom gradient or `stop_gradient` wrong."
    )


@register("float64")
def _float64(points: CheckPoints) -> tuple[Level, str]:
    if jax.config.jax_enable_x64:  # type: ignore[attr-defined]
        return "ok", "The model runs in 64-bit floating point."
    return "warning", (
        "The model runs in 32-bit floating point: sums over much data lose digits that the energy error needs. "
        "Call jax.config.update('jax_enable_x64', True) before anything else."
    )


@register("idle parameters")
def _idle_parameters(points: CheckPoints) -> tuple[Level, str]:
    finite = points.starts.take(points.starts.finite())
    if not len(finite.x):
        return "ok", "Not looked at: no finite start."
    idle = np.flatnonzero(np.all(finite.score == 0.0, axis=0))
    if not idle.size:
        return "ok", "Every parameter moves the log density."
    names = ", ".join(points.target.names[i] for i in idle[:5]) + (" …" if idle.size > 5 else "")
    return "warning", (
        f"The log density does not depend on {names}: its derivative is exactly zero at {len(finite.x)} starts. "
        "Without a prior such a parameter has no posterior. Remove it or give it a prior."
    )


@register("falls off")
def _falls_off(points: CheckPoints) -> tuple[Level, str]:
    near, far = points.starts, points.far
    near_values = np.append(near.log_density[near.finite()], far.log_density[-1:][far.finite()[-1:]])
    far_values = far.log_density[:-1]
    reached = np.isfinite(far_values) | np.isposinf(far_values)
    if not near_values.size or not reached.any() or not np.max(far_values[reached]) > np.max(near_values):
        return "ok", "The log density is lower far away than near the starts."
    index = int(np.argmax(np.where(reached, far_values, -np.inf)))
    offset = far.x[index] - np.asarray(points.target.center)
    name = points.target.names[int(np.argmax(np.abs(offset)))]
    return "warning", (
        f"The log density seems unbounded: at a distance of {FAR:.0e} along {name} it is {far_values[index]:.3g}, above "
        f"{np.max(near_values):.3g}, the highest near the centre. Check signs and priors; such a density has no posterior."
    )
