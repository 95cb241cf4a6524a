"""Progress on the terminal: one line for the fit, one for warm-up and sampling. Never on standard output."""

import sys
from collections.abc import Callable
from typing import Any


class Reporter:
    """Silent reporter, and the interface of all others; a context that can be entered again."""

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        """Finish the display."""

    def note(self, text: str) -> None:
        """One line that matters for repeating the run, such as the seed."""

    def fit_step(self, info) -> None:
        """One `StepInfo` of a fit."""

    def fit_done(self, result) -> None:
        """The `FitResult`."""

    def sampling(self, info) -> None:
        """One `SamplingInfo`."""

    def sampling_done(self, draws) -> None:
        """The `Draws`."""


class CallbackReporter(Reporter):
    """Hands every report to one function."""

    def __init__(self, callback: Callable):
        self._callback = callback

    def fit_step(self, info) -> None:
        self._callback(info)

    def sampling(self, info) -> None:
        self._callback(info)


class TerminalReporter(Reporter):
    """A live line by `rich` on a terminal, and plain lines at milestones elsewhere."""

    def __init__(self, is_live: bool):
        self._is_live = is_live
        self._progress = None
        self._tasks: dict[str, Any] = {}
        self._depth = 0
        self._said: tuple = ("sampling", 0)

    def __enter__(self):
        self._depth += 1
        if self._depth == 1 and self._is_live:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            self._progress = Progress(
                TextColumn("{task.description:9}"), BarColumn(bar_width=24), TextColumn("{task.fields[text]}"),
                TimeElapsedColumn(), console=Console(stderr=True),
            )  # fmt: skip
            self._progress.start()
        return self

    def __exit__(self, *error) -> None:
        self._depth -= 1
        if self._depth == 0 and self._progress is not None:
            self._progress.stop()
            self._progress, self._tasks = None, {}

    def _show(self, name: str, done: int, total: int | None, text: str) -> None:
        if self._progress is None:
            return
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=total, text=text)
        self._progress.update(self._tasks[name], completed=done, total=total, text=text)

    def note(self, text: str) -> None:
        if self._progress is not None:
            self._progress.console.print(text, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def _say(self, line: str) -> None:
        if not self._is_live:
            print(line, file=sys.stderr, flush=True)

    def fit_step(self, info) -> None:
        if info.stage == "descent":
            text = f"descent: log density {info.best_log_density:.1f}, {info.gradients} gradients"
        else:
            text = f"{info.stage}: ELBO {info.elbo}, residual {info.residual}, {info.gradients} gradients"
        self._show("fit", info.step, None, text)
        if info.stage != "descent":
            self._say(f"fit       {text}")

    def fit_done(self, result) -> None:
        text = (
            f"{result.verdict}: ELBO {result.elbo}, residual {result.score_residual}, {result.cost.gradients} gradients"
        )
        self._show("fit", 1, 1, text)
        self._say(f"fit       {text}")

    def sampling(self, info) -> None:
        ess = f", ESS {info.ess:.0f}" if info.ess is not None else ""
        text = (
            f"{info.draws}/{info.total} iterations a chain, {info.gradients} gradients, acceptance {info.acceptance:.2f}, "
            f"{info.divergences} divergences{ess}"
        )
        self._show(info.stage, info.draws, info.total, text)
        quarter = (info.stage, 4 * info.draws // max(1, info.total))
        if info.stage == "sampling" and quarter != self._said and quarter[1] < 4:
            self._said = quarter
            self._say(f"{info.stage:9} {text}")

    def sampling_done(self, draws) -> None:
        self._say(
            f"sampling  {draws.status}: {draws.x.shape[0]} chains of {draws.x.shape[1]} draws, "
            f"{draws.gradients_warmup} + {draws.gradients_sampling} gradients (warm-up + sampling)"
        )


def reporter(progress) -> Reporter:
    """The reporter for the public `progress` argument."""
    if isinstance(progress, Reporter):
        return progress
    if progress is None:
        return TerminalReporter(is_live=True) if sys.stderr.isatty() else Reporter()
    if callable(progress):
        return CallbackReporter(progress)
    return TerminalReporter(is_live=sys.stderr.isatty()) if progress else Reporter()
