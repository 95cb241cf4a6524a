"""`Pathfinder`: the best Gaussian met on the way to the mode, from several starts side by side.

Zhang, Carpenter, Gelman & Vehtari (2022, JMLR 23(306)), algorithms 1 and 2. Stages:

1. *descent*: L-BFGS from each start to its mode; every accepted point gives a Gaussian, the quasi-Newton
   step from it with the inverse Hessian of the path so far, whose ELBO a few draws estimate.
2. *compare*: fresh draws of each path's best Gaussian choose among paths; Pareto k̂ of all their ratios.
3. *bridge*: the density on the lines between the paths' means tells whether they ended in one mode.
4. *check*: fresh draws of the final Gaussian, from which every reported number comes.
"""

import dataclasses
from typing import final

import equinox as eqx
import numpy as np

from monochord.arrays import Key, host_generator
from monochord.estimate import Estimate, mean_estimate
from monochord.fits import _lbfgs
from monochord.fits._base import AbstractFit, FitStatus, StepInfo
from monochord.fits._laplace import is_converged, next_diagonal, path_metric, restricted
from monochord.fits._modes import has_dip
from monochord.fits._rules import RUNAWAY, has_run_away
from monochord.fits._score import elbo_terms
from monochord.fits._staged import default_family
from monochord.fits._stages import check, enter, finish, spend
from monochord.fits._starts import StartedState, described, in_family, opening
from monochord.gaussian import Gaussian
from monochord.metrics import AbstractFamily
from monochord.targets import AbstractTarget, Evaluations, evaluate

LINE = np.linspace(0.0, 1.0, 9)  # places on a line between two means, both ends included


@dataclasses.dataclass(frozen=True)
class Path:
    """One path: `alpha` is the diagonal estimate, `pending` waits for its draws, `best` has the highest ELBO."""

    alpha: np.ndarray
    pending: Gaussian | None = None
    best: Gaussian | None = None
    merit: tuple[int, float] = (0, -np.inf)  # finite draws, then the ELBO: -inf in the paper unless all are


@dataclasses.dataclass(frozen=True)
class PathfinderState(StartedState):
    """Everything a step needs; `searches[i]` descends `paths[i]`.

    After *compare*: `path_elbos` in nats and `log_masses`, the logarithms of each path's mean p/q, and
    `pareto_k` of all ratios together. After *bridge*: `is_apart`, paths in another mode than the chosen one.
    """

    paths: tuple[Path, ...] = ()
    path_elbos: tuple[Estimate, ...] = ()
    log_masses: tuple[float, ...] = ()
    pareto_k: float = float("nan")
    is_apart: tuple[bool, ...] = ()

    @property
    def note(self) -> str:
        """A sentence on whether the paths agree; empty before that is known."""
        if not self.is_apart:
            return ""
        if not any(self.is_apart):
            return f"{len(self.is_apart)} of {len(self.is_apart)} paths ended in one mode."
        masses = np.exp(np.asarray(self.log_masses) - np.max(self.log_masses))
        elsewhere = np.asarray(self.is_apart)
        share = masses[elsewhere].mean() / (masses[elsewhere].mean() + masses[~elsewhere].mean())
        return (
            f"{elsewhere.sum()} of {len(masses)} paths ended in another mode than the chosen one, "
            f"with about {share:.0%} of the mass: the Gaussian describes one mode only."
        )


@final
class Pathfinder(AbstractFit):
    """Multi-path Pathfinder on `Diagonal`, `Dense` or `LowRank`; `family=None` chooses by dimension.

    `num_paths` descents (Stan's default) from uniform(−2, 2) about the target's centre, each of at most
    `max_iterations` iterates with `history` pairs in its Gaussians and `num_draws` draws for an ELBO (the
    paper's L = 1000, J = 6, K = 5); `path_draws` for the comparison of paths. `tolerance` is the score
    residual at which the fit has converged.

    The result is the Gaussian of the path with the highest ELBO. Differs from the paper: resampled draws are
    not returned, as moments of n of them would carry Wishart noise (condition number 30 at n = 2·dim) into a
    metric; draws of an ELBO cost a gradient each; all pairs of the search (20) aim the descent, `history` of
    them make the Gaussian; a Gaussian with draws of zero density is kept as long as the path has no better.
    """

    family: AbstractFamily | None = None
    num_paths: int = eqx.field(static=True, default=4)
    history: int = eqx.field(static=True, default=6)
    num_draws: int = eqx.field(static=True, default=5)
    path_draws: int = eqx.field(static=True, default=64)
    max_iterations: int = eqx.field(static=True, default=1000)
    tolerance: float = eqx.field(static=True, default=0.02)

    def init(self, key: Key, target: AbstractTarget, initial=None) -> PathfinderState:
        """Evaluate starts: those given in `initial` (shape (n, dim)), or `num_paths` random ones."""
        fields = opening(host_generator(key, 0), target, self._family(target), "compare", self.num_paths, initial, None)
        return PathfinderState(**fields, paths=tuple(Path(np.ones(target.dim)) for _ in fields["searches"]))

    def step(self, key: Key, target: AbstractTarget, state: PathfinderState) -> tuple[PathfinderState, StepInfo]:
        rng, stage = host_generator(key), state.stage
        kind = type(self)  # bound methods are made anew at each mention, at 15 µs each
        advance = {"descent": kind._descend, "compare": kind._compare, "bridge": kind._bridge, "check": kind._check}
        return described(stage, advance[stage](self, rng, target, state))

    def _descend(self, rng, target, state: PathfinderState) -> PathfinderState:
        """One trial point of every path, and the draws of the Gaussians that wait, in one batch."""
        running = [self._is_running(search) for search in state.searches]
        pending = [path.pending for path in state.paths if path.pending is not None]
        if not any(running) and not pending:
            return enter(state, "compare")
        trials = [search.trial for search, on in zip(state.searches, running, strict=True) if on]
        draws = [gaussian.sample(rng, self.num_draws) for gaussian in pending]
        points = evaluate(target, np.concatenate([np.reshape(trials, (-1, target.dim)), *draws]))
        state, start = spend(state, points), len(trials)
        answers = iter(zip(-points.log_density[:start], -points.score[:start], strict=True))
        searches, paths = [], []
        for search, path, on in zip(state.searches, state.paths, running, strict=True):
            if path.pending is not None:
                path = _judged(path, points.take(slice(start, start + self.num_draws)))
                start += self.num_draws
            moved = _lbfgs.advance(search, *next(answers)) if on else search
            if moved.num_accepted > search.num_accepted:
                path = self._next_candidate(target, path, search, moved)
                lost = path.pending is None
                state = dataclasses.replace(state, repairs=state.repairs.add(failed_factorisations=int(lost)))
            searches.append(moved)
            paths.append(path)
        best = max(paths, key=lambda path: path.merit)
        return dataclasses.replace(
            state,
            searches=tuple(searches),
            paths=tuple(paths),
            current=best.best,
            num_stage_steps=state.num_stage_steps + 1,
        )

    def _is_running(self, search: _lbfgs.Search) -> bool:
        ended = search.is_stuck or search.num_accepted >= self.max_iterations or is_converged(search)
        return not ended and bool(np.all(np.abs(search.x) < RUNAWAY))

    def _next_candidate(self, target, path: Path, before: _lbfgs.Search, search: _lbfgs.Search) -> Path:
        """`path` with the Gaussian at the search's new point; without one where rounding leaves none."""
        s, y = search.x - before.x, search.gradient - before.gradient
        alpha = path.alpha
        if s @ y > 1e-12 * (y @ y):  # the paper's condition on a pair
            alpha = next_diagonal(alpha, s, y)
        path = dataclasses.replace(path, alpha=alpha, pending=None)
        if not search.pairs:
            return path
        try:
            with np.errstate(all="ignore"):
                metric = path_metric(search.pairs[-self.history :], alpha)
                mean = search.x - metric.matvec(search.gradient)
                pending = Gaussian(mean, restricted(self._family(target), metric))
        except (np.linalg.LinAlgError, ValueError):
            return path
        return dataclasses.replace(path, pending=pending) if np.all(np.isfinite(mean)) else path

    def _compare(self, rng, target, state: PathfinderState) -> PathfinderState:
        """Fresh draws of each path's best Gaussian; paths without one drop out."""
        kept = [index for index, path in enumerate(state.paths) if path.best is not None]
        if not kept:
            return dataclasses.replace(state, status=FitStatus.diverged, stage="done")
        paths = tuple(state.paths[index] for index in kept)
        draws = [path.best.sample(rng, self.path_draws) for path in paths if path.best is not None]
        points = evaluate(target, np.concatenate(draws))
        state, size = spend(state, points), self.path_draws
        parts = [points.take(slice(i * size, (i + 1) * size)) for i in range(len(paths))]
        ratios = [_finite_ratios(path.best, part) for path, part in zip(paths, parts, strict=True)]
        elbos = tuple(mean_estimate(part) for part in ratios)
        merits = [(len(part), elbo.value) for part, elbo in zip(ratios, elbos, strict=True)]
        if not any(len(part) for part in ratios):
            return dataclasses.replace(state, status=FitStatus.diverged, stage="done")
        chosen = max(range(len(paths)), key=lambda i: (merits[i][0] > size // 2, merits[i][1]))
        return dataclasses.replace(
            enter(state, "bridge"),
            searches=tuple(state.searches[index] for index in kept),
            paths=paths,
            current=paths[chosen].best,
            path_elbos=elbos,
            log_masses=tuple(_log_mean_exp(part, size) for part in ratios),
            pareto_k=_shape(np.concatenate(ratios)),
        )

    def _bridge(self, rng, target, state: PathfinderState) -> PathfinderState:
        """A dip of the density between two means separates their modes."""
        here = state.gaussian.mean
        ends = [path.best.mean for path in state.paths if path.best is not None]
        lines = [here + LINE[:, None] * (end - here) for end in ends if end is not here]
        is_apart = [False] * len(ends)
        if lines:
            points = evaluate(target, np.concatenate(lines))
            state = spend(state, points)
            heights = iter(np.where(points.finite(), points.log_density, -np.inf).reshape(len(lines), -1))
            is_apart = [end is not here and has_dip(next(heights)) for end in ends]
        status = FitStatus.diverged if has_run_away(state.gaussian) else FitStatus.settled
        return dataclasses.replace(finish(state, status), is_apart=tuple(is_apart))

    def _check(self, rng, target, state: PathfinderState) -> PathfinderState:
        """Evidence for the chosen Gaussian in its family; converged where its residual is small."""
        gaussian = state.gaussian
        try:
            gaussian = Gaussian(gaussian.mean, in_family(self._family(target), gaussian.metric))
        except ValueError:  # too ill-conditioned for one dense matrix: the same Gaussian in its factored form
            state = dataclasses.replace(state, repairs=state.repairs.add(failed_factorisations=1))
        state = check(rng, target, dataclasses.replace(state, current=gaussian))
        assert state.best is not None  # the closing check has just made it
        residual = state.best.residual
        small = residual.value + residual.standard_error < self.tolerance
        if state.status is FitStatus.settled and small and not any(state.is_apart):
            return dataclasses.replace(state, status=FitStatus.converged)
        return state

    def _family(self, target) -> AbstractFamily:
        return self.family if self.family is not None else default_family(target.dim)


def _judged(path: Path, points: Evaluations) -> Path:
    """`path` after the draws of its pending Gaussian, which becomes the best if its ELBO is the highest."""
    terms = _finite_ratios(path.pending, points)
    merit = (len(terms), float(np.mean(terms)) if len(terms) else -np.inf)
    if merit[0] and merit > path.merit:
        return dataclasses.replace(path, pending=None, best=path.pending, merit=merit)
    return dataclasses.replace(path, pending=None)


def _finite_ratios(gaussian, points: Evaluations) -> np.ndarray:
    terms = elbo_terms(gaussian, points.take(points.finite()))
    return terms[np.isfinite(terms)]


def _log_mean_exp(terms, count: int) -> float:
    """Logarithm of the mean of exp(terms) over `count` draws, those left out counting as 0."""
    if not len(terms):
        return -np.inf
    return float(np.max(terms) + np.log(np.sum(np.exp(terms - np.max(terms))) / count))


def _shape(log_ratios) -> float:
    """Pareto k̂; 0 where the ratios are equal to rounding, NaN for fewer than 25."""
    from monochord.mixing import pareto_shape

    if len(log_ratios) < 25:
        return float("nan")
    equal = np.ptp(log_ratios) <= 1e-8 * (1.0 + np.max(np.abs(log_ratios)))
    return 0.0 if equal else pareto_shape(log_ratios)
