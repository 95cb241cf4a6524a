"""What every row of results must state, so that no cell of a table is blank without a reason."""

from benchmarks.runners._run import STAGES

GRADIENTS = (*(f"gradients_{stage}" for stage in STAGES), "gradients_total")
PARTS = ("import", "compile", *STAGES, "other")  # of a run's wall seconds
ROUNDING = 0.001 * (len(PARTS) + 1)
KEY = ("problem", "method", "seed", "status", "reason")
PUBLISHED = (*KEY, *GRADIENTS, "ess_bulk", "ess_tail", "r_hat", "divergences", "grads_at_400")
MEASURED = (
    *PUBLISHED, "ess_square", "error_sd", "error_z", "within", "idle_lanes", "gradients_counted", "gradients_reported",
    "seconds_import", "seconds_counted", "memory_mb", "versions", "dim",
)  # fmt: skip
MAY_BE_NONE = ("error_sd", "error_z", "within", "gradients_reported")  # no known truth; an engine without a count


def faults(row: dict) -> list[str]:
    """What is wrong with a row, in words; a failed row needs its reason alone.

    A row with a `source` is somebody else's: what the source does not state is None, and the reason says so.
    """
    missing = [name for name in KEY if row.get(name) is None]
    if missing:
        return [f"no {', '.join(missing)}"]
    if row["status"] != "ok":
        return [] if row["status"] == "failed" and row["reason"] else ["not ok, and no reason"]
    is_published = "source" in row
    expected = PUBLISHED if is_published else MEASURED
    found = [f"no {name}" for name in expected if name not in row]
    blank = [name for name in expected if name in row and row[name] is None and name not in MAY_BE_NONE]
    if blank and not (is_published and row["reason"]):
        found.append(f"blank: {', '.join(blank)}")
    if not found and sum(row[name] for name in GRADIENTS[:-1]) != row["gradients_total"]:
        found.append("gradients of the stages do not add up")
    if row.get("seconds_cold") and "load_average" not in row:
        found.append("timed, and no load_average")
    for name in ("seconds_cold", "seconds_warm", "seconds_counted"):
        found += _time_faults(name, row.get(name) or {})
    return found


def _time_faults(name: str, seconds: dict[str, float]) -> list[str]:
    if "other" not in seconds:  # rows made when compiling was still part of its stage
        return []
    missing = [part for part in (*PARTS, "all", "cpu") if part not in seconds]
    if missing:
        return [f"{name} without {', '.join(missing)}"]
    if abs(sum(seconds[part] for part in PARTS) - seconds["all"]) > ROUNDING:
        return [f"{name} does not add up"]
    negative = [part for part in PARTS if seconds[part] < -ROUNDING]
    return [f"{name} has negative {', '.join(negative)}"] if negative else []
