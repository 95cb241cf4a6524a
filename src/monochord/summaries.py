"""The summary table of a run: one row a scalar, and the sentences that say whether to trust it."""

from monochord._arviz import SummaryRow, summary_rows

R_HAT_LIMIT = 1.01  # Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), Bayesian Analysis 16(2)
ESS_LIMIT = 100  # a chain, ibid.


def summary(data) -> list[SummaryRow]:
    """Mean, sd, 94 % equal-tailed interval, bulk and tail ESS and R̂ of every scalar of `data.posterior`."""
    return summary_rows(data["posterior"].to_dataset())


def doubts(data, rows: list[SummaryRow]) -> list[str]:
    """Sentences about draws that should not be trusted yet; empty when all is well."""
    sentences = []
    num_chains = data["posterior"].sizes["chain"]
    worst = max(rows, key=lambda row: row.r_hat)
    if worst.r_hat > R_HAT_LIMIT:
        sentences.append(
            f"R̂ of {worst.name} is {worst.r_hat:.3f} (above {R_HAT_LIMIT}): the chains have not mixed. Draw more, or reparametrise."
        )
    least = min(rows, key=lambda row: min(row.ess_bulk, row.ess_tail))
    ess = min(least.ess_bulk, least.ess_tail)
    if ess < ESS_LIMIT * num_chains:
        sentences.append(
            f"The ESS of {least.name} is {ess:.0f} (below {ESS_LIMIT} a chain): its intervals are rough. Draw more."
        )
    divergences = int(data["sample_stats"]["diverging"].sum())
    if divergences:
        sentences.append(
            f"{divergences} transitions diverged: the sampler may miss a narrow region. Raise --target-accept or reparametrise."
        )
    return sentences
