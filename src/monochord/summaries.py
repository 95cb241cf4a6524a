"""The summary table of a run: one row a scalar, and the sentences that say what not to trust yet."""

import json
import math

from monochord._arviz import SummaryRow, summary_rows
from monochord.convergence import ESS_LIMIT, R_HAT_LIMIT, r_hat_limit


def summary(data) -> list[SummaryRow]:
    """Mean, sd, 94 % equal-tailed interval, bulk and tail ESS and R̂ of every scalar of `data.posterior`."""
    return summary_rows(data["posterior"].to_dataset())


def doubts(data, rows: list[SummaryRow]) -> list[str]:
    """Sentences about what should not be trusted yet; empty when all is well.

    Quantities that never change (a fixed entry of a Cholesky factor) are left out; one that does change and
    has no R̂ or ESS, because chains or draws are too few, is a doubt.
    """
    return [text for text, _ in _found(data, rows)]


def is_trustworthy(data, rows: list[SummaryRow]) -> bool:
    """False where R̂ is above its limit (1.01 and its noise at that ESS) or unknown, or the wanted ESS was not reached."""
    return not any(is_grave for _, is_grave in _found(data, rows))


def _found(data, rows) -> list[tuple[str, bool]]:
    """Each doubt with whether it forbids trust."""
    found: list[tuple[str, bool]] = []
    moving = [row for row in rows if row.sd != 0.0]
    unknown = [row for row in moving if math.isnan(row.r_hat)]
    num_chains, num_draws = data["posterior"].sizes["chain"], data["posterior"].sizes["draw"]
    if unknown:
        found.append(
            (
                f"R̂ of {unknown[0].name} is unknown: {num_chains} chains of {num_draws} draws are too few. Use two chains or more.",
                True,
            )
        )
    judged = [row for row in moving if not math.isnan(row.r_hat)]
    worst = max(judged, key=lambda row: row.r_hat - _limit(row, num_chains), default=None)
    if worst is not None and worst.r_hat > _limit(worst, num_chains):
        found.append(
            (
                f"R̂ of {worst.name} is {worst.r_hat:.3f} (above {_limit(worst, num_chains):.3f}, which is {R_HAT_LIMIT} and its noise at "
                f"this ESS): the chains have not mixed. Draw more, or reparametrise.",
                True,
            )
        )
    known = [row for row in moving if not math.isnan(_least_ess(row))]
    least = min(known, key=_least_ess, default=None)
    if least is not None and _least_ess(least) < ESS_LIMIT * min(num_chains, 4):
        found.append(
            (
                f"The ESS of {least.name} is {_least_ess(least):.0f} (below {ESS_LIMIT} a chain): its intervals are rough. Draw more.",
                False,
            )
        )
    divergences = int(data["sample_stats"]["diverging"].sum())
    if divergences:
        found.append(
            (
                f"{divergences} transitions diverged: the sampler may miss a narrow region. Raise --target-accept or reparametrise.",
                False,
            )
        )
    attrs = data["sample_stats"].attrs
    if "before the target ESS" in attrs["status"]:
        found.append((f"The run ended by its limits: {attrs['status']}.", True))
    if attrs["status"].startswith("stopped"):
        found.append((f"The run was {attrs['status']}", True))
    found += [(sentence, False) for sentence in json.loads(attrs.get("advice", "[]"))]
    if attrs.get("fit_verdict", attrs["verdict"]) != attrs["verdict"]:
        found.append((json.loads(attrs["reasons"])[0], False))
    return found


def _limit(row: SummaryRow, num_chains: int) -> float:
    return r_hat_limit(_least_ess(row), num_chains)


def _least_ess(row: SummaryRow) -> float:
    return min(row.ess_bulk, row.ess_tail)
