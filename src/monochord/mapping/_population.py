"""A map of one block whose axes turn with its drivers, learned by a population that it carries.

Draws of a linear fit lie where that fit is, which may be a corner of the posterior: a map learned there says nothing of the rest. So
a population is moved by a few transitions of HMC in the map's own coordinates, the map is learned anew from where it has been, and so on, until the
population stays and the map explains what it meets. Transitions keep the target whatever the map is, so a poor map makes them short, not wrong; and
every draw on the way, with its score, is a point to learn from (as when a flow is trained along chains: Parno & Marzouk 2018, SIAM/ASA
JUQ 6, 645–682; Gabrié, Rotskoff & Vanden-Eijnden 2022, PNAS 119; here by least squares on scores).
"""

import numpy as np

from monochord.arrays import Key
from monochord.cost import Cost
from monochord.gaussian import Gaussian
from monochord.maps import CholeskyMap, Turning, cholesky_map, mapped, turning_drivers
from monochord.metrics import DenseMetric
from monochord.sampling import carried_points
from monochord.targets import AbstractTarget, Evaluations, evaluate, idle_lanes, join

POPULATION = 48
MEMORY = 6  # rounds whose points a map is learned from
LAST = 3  # of which the Gaussian of the drivers is taken
FIRST_SHRINK = 0.5  # of the closed form's step size: the first map is a poor one
LEFT = 0.05  # of a typical coordinate's score on new points, up to which a map explains them
BEYOND, REACH, FAR = 32, 2.0, 4.0  # points a round, deviations of the population, and mean square missed
MOVED = 0.5  # standard deviations of a driver by which the population's mean may move in two rounds once it stays


class Population:
    """Points carried along a map that is learned from where they have been."""

    def __init__(self, x: np.ndarray, score: np.ndarray, drivers: tuple[int, ...], rng: np.random.Generator):
        self.drivers = drivers
        self.cost = Cost()
        self.along: CholeskyMap | None = None
        self.left = 1.0
        self._at = x[rng.permutation(len(x))[:POPULATION]]
        self._first = (x, score)
        self._rounds: list[tuple[np.ndarray, np.ndarray]] = []
        self._beyond: list[tuple[np.ndarray, np.ndarray]] = []
        self._shrink, self._rng = FIRST_SHRINK, rng

    def learn(self) -> bool:
        """Learn the map from the rounds remembered; whether they are enough."""
        x, score = (
            np.concatenate(part) for part in zip(*self._remembered(MEMORY), *self._beyond[-MEMORY:], strict=True)
        )
        drivers = np.array(self.drivers, int)
        members = np.setdiff1d(np.arange(x.shape[1]), drivers)
        try:
            self.along = cholesky_map(x, score[:, members], members, drivers)
        except np.linalg.LinAlgError:
            self.along = None
        return self.along is not None

    def advance(self, key: Key, target: AbstractTarget) -> None:
        """One round: three transitions in the coordinates of the map."""
        along = self.along
        assert along is not None
        start = along.inverse(self._at)
        moved, self._shrink, cost = carried_points(key, mapped(target, along), start, self.gaussian(), self._shrink)
        self.cost = self.cost + cost
        self._at = along.place(moved[-1].x)
        met = join(moved)
        met = met.take(met.finite())
        self.left = float(np.mean(np.minimum(self._unexplained(met), 1.0)))
        self._rounds.append((along.place(met.x), along.pushed(met.x, met.score)))

    def look_beyond(self, target: AbstractTarget) -> None:
        """Where drivers reach further than the population, as chains will: points there that the map does not yet miss by far.

        The map is learned from them too. Each time it explains a little more, and the frontier moves on.
        """
        along, gaussian, drivers = self.along, self.gaussian(), np.array(self.drivers, int)
        assert along is not None
        z = self._rng.standard_normal((BEYOND, along.dim))
        u = gaussian.place(z)
        u[:, drivers] += (REACH - 1.0) * (u - np.asarray(gaussian.mean))[:, drivers]
        self.cost = self.cost + Cost(BEYOND, idle_lanes(BEYOND))
        self.absorb(evaluate(mapped(target, along), u))

    def absorb(self, points: Evaluations) -> None:
        """Remember `points` in the coordinates of the map, but those that it misses by far."""
        along = self.along
        assert along is not None
        points = points.take(points.finite())
        points = points.take(self._unexplained(points) < FAR)
        self._beyond.append((along.place(points.x), along.pushed(points.x, points.score)))

    def _unexplained(self, points: Evaluations) -> np.ndarray:
        """Mean square, by point, of what the map leaves of a member's score."""
        assert self.along is not None
        return np.mean((points.x + points.score)[:, np.asarray(self.along.members)] ** 2, axis=1)

    def _remembered(self, rounds: int) -> list[tuple[np.ndarray, np.ndarray]]:
        return self._rounds[-rounds:] or [self._first]

    def look_for_drivers(self) -> None:
        """Choose the drivers anew, where the points of the last rounds show some."""
        x, score = map(np.concatenate, zip(*self._remembered(LAST), strict=True))
        self.drivers = turning_at(x, score).drivers or self.drivers

    def gaussian(self) -> Gaussian:
        """In the coordinates of the map: standard in the members, and as the population was of late in the drivers."""
        along, drivers = self.along, np.array(self.drivers, int)
        assert along is not None
        places = self.recent()[:, drivers]
        mean, covariance = np.zeros(along.dim), np.eye(along.dim)
        if len(drivers):
            mean[drivers] = places.mean(0)
            covariance[np.ix_(drivers, drivers)] = np.cov(places.T).reshape(len(drivers), -1)
        return Gaussian(mean, DenseMetric.from_covariance(covariance))

    def recent(self) -> np.ndarray:
        """Where the population was in the last rounds, in the target's own coordinates."""
        return np.concatenate([x for x, _ in self._remembered(LAST)])

    def stays(self) -> bool:
        """Whether the map explained what the population met, and its drivers are where they were two rounds ago."""
        if len(self._rounds) < LAST or not self.left < LEFT:
            return False
        now, then = (self._rounds[place][0][:, self.drivers] for place in (-1, -LAST))
        return bool(np.all(np.abs(now.mean(0) - then.mean(0)) < MOVED * now.std(0)))


def turning_at(x: np.ndarray, score: np.ndarray) -> Turning:
    """`turning_drivers`; none where its regressions fail."""
    try:
        with np.errstate(all="ignore"):
            return turning_drivers(x, score)
    except np.linalg.LinAlgError:
        return Turning()
