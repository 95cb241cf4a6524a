"""The summary table of a run: one row a scalar, and the sentences that say what not to trust yet."""

import math

from monochord._arviz import SummaryRow, summary_rows

R_HAT_LIMIT = 1.01  # Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), Bayesian Analysis 16(2)
ESS_LIMIT = 100  # a chain, ibid.


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
    """False where R̂ is above its limit or unknown, or the wanted ESS was not reached."""
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
    worst = max((row for row in moving if not math.isnan(row.r_hat)), key=lambda row: row.r_hat, default=None)
    if worst is not None and worst.r_hat > R_HAT_LIMIT:
        found.append(
            (
                f"R̂ of {worst.name} is {worst.r_hat:.3f} (above {R_HAT_LIMIT}): the chains have not mixed. Draw more, or reparametrise.",
                True,
            )
        )
    known = [row for row in moving if not math.isnan(_least_ess(row))]
    least = min(known, key=_least_ess, default=None)
    if least is not None and _least_ess(least) < ESS_LIMIT * num_chains:
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
    status = data["sample_stats"].attrs["status"]
    if status.startswith("draw limit"):
        found.append(("The target ESS was not reached within the draws allowed. Raise --draws.", True))
    return found


def _least_ess(row: SummaryRow) -> float:
    return min(row.ess_bulk, row.ess_tail)
