"""Ten named checks of a model, each with advice: the quick ones of `_check.py` and those that take their time."""

import time
from collections.abc import Callable

import jax
import numpy as np

from monochord.errors import ModelError
from monochord.targets._base import AbstractTarget, reported_shapes
from monochord.targets._check import (
    FAR,
    REGISTRY,
    CheckPoints,
    Finding,
    Findings,
    Level,
    check_points,
    check_signature,
)
from monochord.targets._gradient import CAPACITY, Evaluations, evaluate, join
from monochord.targets._host import HostTarget

NAMES = (
    "finite at starts", "gradient", "deterministic", "float64", "shape", "idle parameters", "discontinuities",
    "improper directions", "scales", "speed",
)  # fmt: skip
LINES, SEGMENTS, HALVINGS = 4, 16, 30  # between starts; a jump keeps its size however often its segment is halved
JUMP = 1e-3  # nats: a smaller one changes no acceptance
MOST_NULL_DIM = 200  # up to which directions without any slope are sought
NULL = 1e-9  # of the largest singular value of scores
INTEGRABLE = 0.69  # nats: a tail x⁻¹, the border of what has an integral, falls by log 2 where x doubles
UNEQUAL = 1e4  # ratio of scales that L-BFGS from a common start hardly bridges
SLOW = 0.02  # seconds a gradient: a run of 10,000 then takes minutes

Outcome = tuple[Level, str]


class _Patient:
    """A target under examination: the points looked at so far, and what they cost."""

    def __init__(self, target: AbstractTarget, rng: np.random.Generator):
        self.target, self.rng, self.gradients = target, rng, 0
        probe = self.evaluate(np.asarray(target.center) + rng.uniform(-2, 2, (3, target.dim)))
        again = self.evaluate(probe.x[::-1])
        self.is_single = _is_single(probe.log_density)
        self.tolerance = 1e-4 if self.is_single else 1e-10
        self.is_noisy = not np.allclose(
            probe.log_density, again.log_density[::-1], rtol=self.tolerance, atol=self.tolerance, equal_nan=True
        ) or not np.allclose(probe.score, again.score[::-1], rtol=self.tolerance, atol=self.tolerance, equal_nan=True)
        self.points: CheckPoints = check_points(target, rng, 1e-2 if self.is_single else None)
        self.gradients += self.points.gradients
        self.starts = self.points.starts.take(self.points.starts.finite())
        dim = target.dim
        extra = self.evaluate(np.asarray(target.center) + rng.uniform(-2, 2, (2 * min(dim, MOST_NULL_DIM) + 8, dim)))
        every = join([self.starts, extra])
        self.wide = every.take(every.finite())
        self.idle = np.all(self.wide.score == 0.0, axis=0) if len(self.wide.x) else np.zeros(dim, bool)

    def evaluate(self, x: np.ndarray) -> Evaluations:
        self.gradients += len(np.atleast_2d(x))
        return evaluate(self.target, x)


def examine(target: AbstractTarget, rng: np.random.Generator) -> Findings:
    """The ten checks of `NAMES`, in order; a check that another's outcome rules out is "not checked"."""
    try:
        check_signature(target)
        patient = _Patient(target, rng)
    except ModelError as error:
        return refused(error)
    outcomes = {name: _outcome(name, check, patient) for name, check in _CHECKS.items()}
    return Findings([Finding(name, *outcomes[name]) for name in NAMES], patient.gradients)


def refused(error: ModelError) -> Findings:
    """All findings where the model could not be evaluated at all: the cross is at "shape"."""
    why = "Not looked at: the model cannot be evaluated."
    rows = [Finding(n, "error", str(error)) if n == "shape" else Finding(n, "not checked", why) for n in NAMES]
    return Findings(rows, 0)


def _outcome(name: str, check: Callable[[_Patient], Outcome], patient: _Patient) -> Outcome:
    needs_a_start = name not in ("finite at starts", "shape", "float64")
    if needs_a_start and not len(patient.starts.x):
        return "not checked", "Not looked at: no start is finite."
    if patient.is_noisy and name in ("gradient", "discontinuities", "improper directions"):
        return "not checked", "Not looked at: two calls at one point differ."
    return check(patient)


def _is_single(values: np.ndarray) -> bool:
    """Whether all values are 32-bit numbers, and too odd to be so by chance."""
    values = values[np.isfinite(values)]
    odd = np.unique(values[values != np.round(values, 3)])
    return len(odd) >= 2 and bool(np.all(odd == odd.astype(np.float32)))


def _deterministic(patient: _Patient) -> Outcome:
    if not patient.is_noisy:
        return "ok", "Two calls at one point give the same value and gradient."
    return "error", (
        "Two calls at one point differ. Energies are then noise and proposals are rejected. Take random numbers, minibatches and "
        "state out of the density."
    )


def _float64(patient: _Patient) -> Outcome:
    level, text = REGISTRY["float64"](patient.points)
    if level != "ok" or not patient.is_single:
        return level, text
    return "warning", (
        "The log density carries 32-bit numbers although JAX runs in 64 bits. Sums over much data lose digits that the energy error "
        "needs. Look for float32 data, or casts in the model."
    )


def _shape(patient: _Patient) -> Outcome:
    shapes = reported_shapes(patient.target)
    return (
        "ok",
        f"One number for each point of {patient.target.dim} coordinates; {len(shapes)} quantities are reported.",
    )


def _idle_parameters(patient: _Patient) -> Outcome:
    return REGISTRY["idle parameters"](patient.points)


def _discontinuities(patient: _Patient) -> Outcome:
    """A jump keeps its size when its segment is halved again and again; what is smooth, or a wrong gradient, does not."""
    starts = patient.starts.x
    if len(starts) < 2:
        return "not checked", "Not looked at: fewer than two starts are finite."
    ends = [patient.rng.choice(len(starts), 2, replace=False) for _ in range(LINES)]
    share = np.linspace(0.0, 1.0, SEGMENTS + 1)[:, None]
    points = patient.evaluate(np.concatenate([starts[a] + share * (starts[b] - starts[a]) for a, b in ends]))
    size = SEGMENTS + 1
    left = np.concatenate([np.arange(line * size, (line + 1) * size - 1) for line in range(LINES)])
    low, high = points.take(left), points.take(left + 1)
    worst = np.argsort(-_misfit(low, high))[:LINES]
    low, high = low.take(worst), high.take(worst)
    for _ in range(HALVINGS):
        middle = patient.evaluate((low.x + high.x) / 2)
        first = _misfit(low, middle) >= _misfit(middle, high)
        low, high = _choose(first, low, middle), _choose(first, middle, high)
    jumps = _misfit(low, high)
    limit = np.maximum(JUMP, (1e-4 if patient.is_single else 1e-9) * np.abs(low.log_density))
    if not np.any(jumps > limit):
        return "ok", f"No jump was met on {LINES} lines between starts."
    index = int(np.argmax(np.where(jumps > limit, jumps, -1.0)))
    place = ", ".join(f"{n} = {v:.4g}" for n, v in list(zip(patient.target.names, low.x[index], strict=True))[:3])
    size = f"jumps by {jumps[index]:.3g}" if np.isfinite(jumps[index]) else "falls to minus infinity"
    return "warning", (
        f"The log density {size} near {place}. No gradient shows a jump, and trajectories across it are rejected. Replace comparisons, "
        "rounding and hard limits by smooth ones, or bound the parameter by its support."
    )


def _misfit(low: Evaluations, high: Evaluations) -> np.ndarray:
    """How far the change along each segment is from what the gradients at its ends say; 0 where neither end is finite."""
    with np.errstate(invalid="ignore", over="ignore"):
        change = high.log_density - low.log_density
        slope = 0.5 * np.sum((low.score + high.score) * (high.x - low.x), axis=1)
        misfit = np.abs(change - slope)
    known = low.finite() & high.finite()
    one_sided = low.finite() ^ high.finite()
    return np.where(known, np.nan_to_num(misfit, nan=0.0), np.where(one_sided, np.inf, 0.0))


def _choose(mask: np.ndarray, yes: Evaluations, no: Evaluations) -> Evaluations:
    pairs = zip(yes, no, strict=True)
    return Evaluations(*(np.where(mask.reshape(-1, *[1] * (a.ndim - 1)), a, b) for a, b in pairs))


def _improper_directions(patient: _Patient) -> Outcome:
    level, text = REGISTRY["falls off"](patient.points)
    if level != "ok":
        return level, text
    names = np.array(patient.target.names)
    scores = patient.wide.score[:, ~patient.idle]
    if scores.shape[1] <= MOST_NULL_DIM and len(scores) >= scores.shape[1]:
        _, values, directions = np.linalg.svd(scores / np.maximum(np.std(scores, axis=0), 1e-300), full_matrices=False)
        if len(values) and values[-1] < (1e-4 if patient.is_single else NULL) * values[0]:
            weights = np.abs(directions[-1])
            involved = names[~patient.idle][weights > 0.1 * weights.max()]
            return "warning", (
                f"The log density is constant along a direction in {', '.join(involved[:5])}: its slope is zero at {len(scores)} points. "
                "Only a part of them is identified. Fix one, or give each a prior."
            )
    center = np.asarray(patient.target.center)
    far = patient.points.far.take(slice(0, len(patient.points.far.x) - 1))
    half = patient.evaluate(center + (far.x - center) / 2)
    axis = np.argmax(np.abs(far.x - center), axis=1)
    both = np.isfinite(far.log_density) & np.isfinite(half.log_density) & ~patient.idle[axis]
    fall = np.where(both, half.log_density, np.inf) - np.where(both, far.log_density, 0.0)
    flat = fall < INTEGRABLE
    if not flat.any():
        return "ok", "The log density falls off fast enough in every direction looked at."
    where = ", ".join(dict.fromkeys(names[axis[flat]]))
    return "warning", (
        f"Along {where} the log density falls by less than {INTEGRABLE} between distances of {FAR / 2:.0e} and {FAR:.0e}: such a tail "
        "has no integral. Give it a proper prior."
    )


def _scales(patient: _Patient) -> Outcome:
    points, idle = patient.wide, patient.idle
    spread = np.std(points.score, axis=0) / np.maximum(np.std(points.x, axis=0), 1e-300)
    use = ~idle & (spread > 0) & np.isfinite(spread)
    if len(points.x) < 4 or not use.any():
        return "not checked", "Not looked at: too few finite points."
    scale = np.where(use, np.maximum(spread, 1e-300) ** -0.5, np.nan)
    small, large = int(np.nanargmin(scale)), int(np.nanargmax(scale))
    ratio, names = scale[large] / scale[small], patient.target.names
    between = f"about {scale[small]:.1e} ({names[small]}) to {scale[large]:.1e} ({names[large]})"
    if ratio < UNEQUAL:
        return "ok", f"Parameters vary over lengths from {between}."
    return "warning", (
        f"Parameters vary over lengths from {between}, a ratio of {ratio:.0e}. All start within ±2 of the centre, and the fit's first "
        "stage may not bridge that. Give the small ones a unit in which they are near 1: standardise covariates, scale priors."
    )


def _speed(patient: _Patient) -> Outcome:
    x = np.repeat(patient.starts.x[:1], CAPACITY, axis=0)
    if isinstance(patient.target, HostTarget):
        single = _seconds(lambda: patient.evaluate(x[:1]))
    else:
        one = jax.jit(jax.value_and_grad(patient.target.log_density))
        single = _seconds(lambda: jax.block_until_ready(one(x[0])))
    batched = _seconds(lambda: patient.evaluate(x)) / CAPACITY
    text = f"A gradient takes {_in_words(single)} alone and {_in_words(batched)} in batches; 10,000 alone take {single * 1e4:.1f} s."
    if single < SLOW:
        return "ok", text
    return "warning", (
        f"{text} A run takes 2,000 gradients and more. Vectorise loops over data, or look whether a solver's tolerance is too fine."
    )


def _seconds(function: Callable) -> float:
    """The shortest of a few calls, the first one left out: it compiles."""
    function()
    times, started = [], time.perf_counter()
    while len(times) < 5 and (not times or time.perf_counter() - started < 0.3):
        clock = time.perf_counter()
        function()
        times.append(time.perf_counter() - clock)
    return min(times)


def _in_words(seconds: float) -> str:
    if seconds >= 1e-1:
        return f"{seconds:.2g} s"
    return f"{seconds * 1e3:.2g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.2g} µs"


_CHECKS: dict[str, Callable[[_Patient], Outcome]] = {
    "finite at starts": lambda patient: REGISTRY["finite at starts"](patient.points),
    "gradient": lambda patient: REGISTRY["gradient"](patient.points),
    "deterministic": _deterministic,
    "float64": _float64,
    "shape": _shape,
    "idle parameters": _idle_parameters,
    "discontinuities": _discontinuities,
    "improper directions": _improper_directions,
    "scales": _scales,
    "speed": _speed,
}
