"""What a comparison found: rows of numbers, and in words where the variational start helped and where it did not."""

import csv
import dataclasses
import io
import math
import os
from pathlib import Path

import numpy as np
from scipy.stats import t

from monochord.comparison._reference import Reference
from monochord.errors import OutputError
from monochord.estimate import Estimate
from monochord.files import check_output

METRICS = ("identity", "diagonal", "variational")
HELPS, HARMS = 0.9, 1.0 / 0.9  # ratios closer to 1 than a tenth are called no difference


@dataclasses.dataclass(frozen=True)
class Row:
    """One metric, one seed, and the first `draws` draws of each chain; steps and frequencies in time units of the metric's
    whitened space.

    `stable_step` is the largest step that is stable from every start tried, `stable_step_median` from half of them.
    `leapfrogs_per_period` is 2π/(ω_min · step size at the wanted acceptance). `gradients` are all that were spent up to this
    draw, `gradients_before` of them by the fit and the starts, `gradients_tuning` by searches for a first step size.
    `cost` is gradients · error²; the second halves are of draws / 2 + 1 to `draws`, without the way from the start, at the same
    gradients. `step_settled_draw` and `metric_settled_draw` are None where that did not happen.
    """

    metric: str
    seed: int
    draws: int
    kappa: float
    kappa_langmore: float
    omega_min: float
    omega_max: float
    step_limit: float
    stable_step: float
    stable_step_median: float
    step_size: float
    leapfrogs_per_period: float
    gradients: int
    gradients_before: int
    gradients_tuning: int
    error_mean: float
    error_square: float
    error: float
    cost: float
    error_second_half: float
    cost_second_half: float
    step_size_reached: float
    acceptance: float
    divergences: int
    step_settled_draw: int | None
    step_settled_gradients: int | None
    metric_settled_draw: int | None
    metric_settled_gradients: int | None
    verdict: str


COLUMNS = tuple(field.name for field in dataclasses.fields(Row))


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One claim tested: `ratio` of the variational start to `against`, below 1 where it is better.

    `outcome` is "helped", "no clear difference", "worse" or "cannot be told".
    """

    claim: str
    against: str
    ratio: Estimate
    outcome: str

    def __str__(self) -> str:
        what = {"helped": "helped", "worse": "did NOT help, it is worse", "no clear difference": "did NOT help clearly"}
        verdict = what.get(self.outcome, "cannot be told")
        return f"{self.claim}, {self.ratio} times that of {self.against}: {verdict}"


CLAIMS = {
    "spread of the spectrum (κ_L)": "kappa_langmore",
    "leapfrogs a slowest period at the wanted acceptance": "leapfrogs_per_period",
    "gradients · error² of the first {draws} draws": "cost",
    "gradients · error² of the second half of them": "cost_second_half",
}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Identity, diagonal and variational start on one target; prints as a table, then what helped and what did not.

    `rows` has one entry for each metric, seed and number of draws. `gradients_probes` went into spectra and searches for
    steps, `reference.gradients` into the long run: neither is charged to a metric. `status` is "complete" or "interrupted".
    """

    rows: tuple[Row, ...]
    reference: Reference | None
    target_accept: float
    chains: int
    gradients_probes: int
    status: str
    notes: tuple[str, ...] = ()

    @property
    def draws(self) -> tuple[int, ...]:
        """The numbers of draws at which errors were taken."""
        return tuple(sorted({row.draws for row in self.rows}))

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds with all three metrics."""
        return tuple(sorted({row.seed for row in self.rows}))

    def values(self, metric: str, field: str, draws: int | None = None) -> np.ndarray:
        """One number a seed; of the last number of draws where None. NaN for None."""
        chosen = self.draws[-1] if draws is None else draws
        found = [getattr(row, field) for row in self.rows if row.metric == metric and row.draws == chosen]
        return np.array([math.nan if value is None else value for value in found], dtype=np.float64)

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """Each claim against each of the other two metrics."""
        if not self.rows:
            return ()
        return tuple(
            _outcome(
                claim.format(draws=self.draws[-1]), other, self.values("variational", field), self.values(other, field)
            )
            for claim, field in CLAIMS.items()
            for other in METRICS[:2]
        )

    @property
    def not_helped(self) -> tuple[Outcome, ...]:
        """Where the variational start is no better."""
        return tuple(outcome for outcome in self.outcomes if outcome.outcome != "helped")

    def csv_text(self) -> str:
        """The rows, a header first; empty cells for None."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in self.rows:
            writer.writerow(["" if value is None else value for value in dataclasses.astuple(row)])
        return out.getvalue()

    def write_csv(self, path: str | os.PathLike, force: bool = False) -> None:
        """Write the rows, all or nothing.

        **Raises** `OutputError` where the file exists (without `force`) or cannot be written.
        """
        place = check_output(path, force)
        temporary = place.with_name(f".monochord-{os.getpid()}.part")
        try:
            temporary.write_text(self.csv_text(), encoding="utf-8")
            os.replace(temporary, place)
        except OSError as error:
            raise OutputError(
                f"writing `{place}` failed: {error.strerror or error}. The old file, if any, is untouched. Free space or "
                "name another place."
            ) from error
        finally:
            temporary.unlink(missing_ok=True)

    def figure(self, path: str | os.PathLike, force: bool = False) -> Path:
        """Draw the figure into a file (needs matplotlib). **Raises** `MissingPackage` or `OutputError`."""
        from monochord.comparison._matplotlib import write_figure

        place = check_output(path, force)
        write_figure(self, place)
        return place

    def __str__(self) -> str:
        from monochord.comparison._table import comparison_text

        return comparison_text(self)


def _outcome(claim: str, other: str, ours: np.ndarray, theirs: np.ndarray) -> Outcome:
    """Ratio of the means over seeds, with the standard error of both; judged beyond the noise of so few seeds (95 %, Student)."""
    count = len(ours)
    with np.errstate(all="ignore"):
        ratio = float(np.mean(ours) / np.mean(theirs)) if np.isfinite(np.mean(ours)) else math.nan
        spread = [np.std(v, ddof=1) / np.mean(v) / math.sqrt(count) if count > 1 else math.nan for v in (ours, theirs)]
    error = math.hypot(*spread) * ratio if math.isfinite(ratio) and np.isfinite(np.mean(theirs)) else math.nan
    if not error > 1e-6 * ratio:  # the same from every seed: rounding, not noise
        error = math.nan
    noise = float(t.ppf(0.975, count - 1)) * error if math.isfinite(error) else 0.0
    if math.isnan(ratio):
        name = "worse" if np.all(np.isfinite(theirs)) and np.any(np.isinf(ours)) else "cannot be told"
    elif ratio <= HELPS and ratio + noise < 1.0:
        name = "helped"
    elif ratio >= HARMS and ratio - noise > 1.0:
        name = "worse"
    else:
        name = "no clear difference"
    return Outcome(claim, other, Estimate(ratio, error, count), name)
