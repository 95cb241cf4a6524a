"""Terms of a log density that are quadratic in some coordinates and exponential in others, told exactly from gradients.

    log p = −½ Σ_t w_t(s) (y − a_t)ᵀ Q_t (y − a_t) + (what holds no y together with an s),   log w_t = −Σ_j c_tj s_j

Priors of groups given the logarithms s of their scales, walks, effects with a correlation, and Gaussian likelihoods are such terms,
whatever else the model holds. `sequences` names the s_j and their exponents, `joint_forms` says which occur together, and `columns`
are the Q_t. What holds at other points to rounding is kept, and what only does once a coordinate is held (the coefficient of an autoregression) is kept
given it.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int

from monochord.maps._forms import (
    CLEAN,
    CONSISTENT,
    Columns,
    Exponents,
    Form,
    columns,
    fields_at,
    joint_forms,
    straight,
    weights,
)
from monochord.maps._sequences import FEWEST, Near, Score, Sequence, scores_near, sequences, step
from monochord.maps._together import Touch

OFF = 0.3  # standard deviations by which the place looked at is off the centre: no coordinate sits at its prior's mean
STEP = 1.5  # of the logarithm of a weight: far enough to tell exponents apart
MAX_SCALES = 24
MOST_GIVEN = 0.25  # of the coordinates that a term holds
NUM_CHECKED = 4


@dataclasses.dataclass(frozen=True)
class Term:
    """w_t, as exponents c of coordinates; w_t Q_t and w_t Q_t(y − a_t) at the place looked at."""

    exponents: Exponents
    precision: Float[np.ndarray, "dim dim"]
    field: Float[np.ndarray, " dim"]


@dataclasses.dataclass(frozen=True)
class Terms:
    """All terms found around a place; the coordinates that they hold only given; the precision of all else, of members; and which coordinates touch
    each other there.
    """

    at: Float[np.ndarray, " dim"]
    terms: tuple[Term, ...]
    given: tuple[int, ...]
    rest: Float[np.ndarray, "dim dim"]
    touch: Touch

    @property
    def scales(self) -> tuple[int, ...]:
        return tuple(sorted({j for term in self.terms for j in term.exponents}))

    @property
    def members(self) -> Int[np.ndarray, " members"]:
        """Coordinates of the quadratic forms."""
        return np.flatnonzero(np.any([term.precision != 0 for term in self.terms], axis=(0, 1)))

    def moved_to(self, x: Float[np.ndarray, " dim"]) -> "Terms":
        """The same terms at another place; what is in none of them is not known there."""
        sizes, fields = self._weights((x - self.at)[None])[0], self.fields(x[None])[:, 0]
        terms = [
            Term(term.exponents, size * term.precision, field)
            for term, size, field in zip(self.terms, sizes, fields, strict=True)
        ]
        return dataclasses.replace(self, at=x, terms=tuple(terms), rest=np.full_like(self.rest, np.nan))

    def _weights(self, moved: Float[np.ndarray, "n dim"]) -> Float[np.ndarray, "n terms"]:
        return weights([term.exponents for term in self.terms], moved)

    def fields(self, x: Float[np.ndarray, "n dim"]) -> Float[np.ndarray, "terms n dim"]:
        """w_t Q_t (y − a_t): minus the terms' part of the score of members."""
        moved = x - self.at
        plain = np.stack([term.field + moved @ term.precision for term in self.terms])
        return self._weights(moved).T[:, :, None] * plain


def found_terms(
    score: Score, center: Float[np.ndarray, " dim"], unit: Float[np.ndarray, " dim"], rng: np.random.Generator
) -> Terms | None:
    """The terms of the target of `score` near `center`, looked at in steps of `unit`; None where there are none."""
    at = center + OFF * unit * rng.standard_normal(len(center))
    near = scores_near(score, at, unit)
    scales = _scales(score, at, unit, near, rng)
    while 1 <= len(scales) <= MAX_SCALES:
        steps = _with_steps(unit, [{j: float(c)} for j, one in scales.items() for c in one.exponents])
        forms = joint_forms(score, at, steps, scales)
        if not forms:
            return None
        found = _cleaned(at, forms, columns(score, at, steps, forms, set(scales), near.touch), steps, near.touch)
        dropped = set(scales) - set(found.scales)
        if not any(j in scales[k].touched for j in dropped for k in found.scales):
            break  # else what was taken for a scale may be a member
        scales = {j: one for j, one in scales.items() if j not in dropped}
    else:
        return None
    found = _checked(score, found, steps, rng)
    if not found.terms:
        return None
    members, rest = np.ix_(found.members, found.members), np.zeros_like(found.rest)
    rest[members] = found.rest[members] - sum(term.precision[members] for term in found.terms)
    return dataclasses.replace(found, rest=rest)


def _scales(score: Score, at, unit, near: Near, rng: np.random.Generator) -> dict[int, Sequence]:
    """Scales, without those of one or two coordinates that another scales: a group's own spread is one of many of its kind."""
    seen = sequences(score, at, unit, near)
    many = straight(score, at, unit, {j: one for j, one in seen.items() if len(one.touched) >= FEWEST}, near, rng)
    few = _alone({j: one for j, one in seen.items() if len(one.touched) < FEWEST}, many)
    few = straight(score, at, unit, few, near, rng)
    return many | _alone(few, few)


def _alone(scales: dict[int, Sequence], others: dict[int, Sequence]) -> dict[int, Sequence]:
    """Those that no other touches."""
    return {j: one for j, one in scales.items() if not any(j in other.touched for other in others.values())}


def _with_steps(unit: Float[np.ndarray, " dim"], exponents: list[Exponents]) -> Float[np.ndarray, " dim"]:
    """`unit` with such steps of scales as tell exponents apart."""
    unit = unit.copy()
    for j in {j for own in exponents for j in own}:
        unit[j] = STEP / max(abs(own.get(j, 0.0)) for own in exponents)
    return unit


def with_rest(score: Score, found: Terms, unit: Float[np.ndarray, " dim"]) -> Terms:
    """The terms with what they leave of the precision at their place, by differences of two steps of each member."""
    members = found.members
    steps = np.array([step(unit, int(i)) for i in members])
    scores = score(np.concatenate([found.at + steps, found.at - steps]))[:, members].reshape(2, len(members), -1)
    curvature, own = -(scores[0] - scores[1]) / (2.0 * unit[members, None]), np.ix_(members, members)
    rest = np.zeros_like(found.rest)
    rest[own] = (curvature + curvature.T) / 2.0 - sum(term.precision[own] for term in found.terms)
    return dataclasses.replace(found, rest=rest)


def given_other(
    score: Score, found: Terms, unit: Float[np.ndarray, " dim"], values: Float[np.ndarray, " nodes"]
) -> list[Terms]:
    """The same terms given other values of the one coordinate that they are given: precisions and fields are measured anew."""
    (given,), exponents, nodes = found.given, [term.exponents for term in found.terms], []
    unit = _with_steps(unit, exponents)
    for value in values:
        at = found.at.copy()
        at[given] = value
        forms = fields_at(score, at, unit, exponents, found.members)
        measured = columns(score, at, unit, forms, set(found.scales), found.touch)
        terms = tuple(
            Term(form.exponents, np.where(term.precision != 0, (matrix + matrix.T) / 2.0, 0.0), form.field)
            for term, form, matrix in zip(found.terms, forms, measured.matrices, strict=True)
        )
        nodes.append(dataclasses.replace(found, at=at, terms=terms))
    return nodes


def _cleaned(at, forms: list[Form], measured: Columns, unit, touch: Touch) -> Terms:
    """The terms but those of scales for which they are not linear, once some coordinates are given; `rest` being all of the curvature."""
    pairs = list(zip(forms, measured.matrices, measured.bent, strict=True))
    false = {
        j
        for form, _, bent in pairs
        if len(_given(bent)) > MOST_GIVEN * np.count_nonzero(form.field)
        for j in form.exponents
    }
    pairs = [(form, matrix, bent) for form, matrix, bent in pairs if not false & set(form.exponents)]
    given = _given(np.any([bent for _, _, bent in pairs], axis=0)) if pairs else []
    out, told = [*given, *{j for form, _, _ in pairs for j in form.exponents}], []
    for form, matrix, _ in pairs:
        matrix = (matrix + matrix.T) / 2.0
        matrix[out] = matrix[:, out] = 0.0
        size = np.abs(matrix) * unit * unit[:, None]
        matrix[size <= CLEAN * max(size.max(), np.max(np.abs(form.field * unit)))] = 0.0  # all of it in linear terms
        told.append((form, matrix))
    members = np.any([matrix != 0 for _, matrix in told], axis=(0, 1)) if told else np.zeros(len(at), bool)
    terms = [Term(form.exponents, matrix, np.where(members, form.field, 0.0)) for form, matrix in told]
    kept = [term for term in terms if np.any(term.field) or np.any(term.precision)]
    return Terms(at, tuple(kept), tuple(given), measured.curvature, touch)


def _given(bent: Bool[np.ndarray, "dim dim"]) -> list[int]:
    """Coordinates without which all is linear, those of most curved pairs first."""
    bent, found = bent.copy(), []
    while np.any(bent):
        i = int(np.argmax(bent.sum(0) + bent.sum(1)))
        found.append(i)
        bent[i] = bent[:, i] = False
    return found


def _checked(score, found: Terms, unit, rng) -> Terms:
    """Without scales of which the terms say other than the target, at points where all but what is given has moved.

    A scale is given where more of the others hold then.
    """
    while failing := _failing(score, found, unit, rng):
        # the first of the best: without them all, unless more holds given one
        tried = [_without(found, failing), *(_with_given(found, j) for j in sorted(failing))]
        counts = [len(one.scales) - len(_failing(score, one, unit, rng)) for one in tried]
        found = tried[int(np.argmax(counts))]
    return found


def _without(found: Terms, out: set[int]) -> Terms:
    return dataclasses.replace(found, terms=tuple(t for t in found.terms if not out & set(t.exponents)))


def _with_given(found: Terms, j: int) -> Terms:
    """The terms given a scale; those that it alone told apart are one."""
    together: dict[tuple, Term] = {}
    for term in found.terms:
        rest = {k: c for k, c in term.exponents.items() if k != j}
        if not rest:
            continue
        key = tuple(sorted(rest.items()))
        same = together.get(key)
        precision, field = (
            (term.precision, term.field) if same is None else (same.precision + term.precision, same.field + term.field)
        )
        together[key] = Term(rest, precision, field)
    return dataclasses.replace(found, terms=tuple(together.values()), given=(*found.given, j))


def _failing(score, found: Terms, unit, rng) -> set[int]:
    """Scales a step along which changes the scores of members otherwise than the terms say."""
    if not found.terms:
        return set()
    noise = rng.standard_normal((NUM_CHECKED, len(found.at))) * unit
    noise[:, list(found.given)] = 0.0
    x, members, failing = found.at + noise, found.members, set()
    steps = [np.zeros(len(unit)), *(step(unit, j) for j in found.scales)]
    scores = score(np.concatenate([x + one for one in steps])).reshape(len(steps), len(x), -1)
    for number, j in enumerate(found.scales, start=1):
        seen = (scores[number] - scores[0])[:, members] * unit[members]
        said = (found.fields(x) - found.fields(x + steps[number])).sum(0)[:, members] * unit[members]
        if not np.all(np.abs(seen - said) < CONSISTENT * np.max(np.abs(said))):
            failing.add(j)
    return failing
