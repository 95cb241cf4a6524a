"""Progress on the terminal: one line for the fit, one for warm-up and sampling. Never on standard output."""

import importlib.util
import sys
from collections.abc import Callable
from typing import Any

LINE_SECONDS = 10.0  # between plain lines where nothing new was found


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
        self._said: tuple = ()
        self._said_at = 0.0

    def __enter__(self):
        self._depth += 1
        if self._depth == 1 and self._is_live:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            self._progress = Progress(
                TextColumn("{task.description:9}"), BarColumn(bar_width=24), TextColumn("{task.fields[text]}"),
                TimeElapsedColumn(), console=Console(stderr=not in_notebook()),
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
        elif info.stage == "map":
            text = f"map: {info.residual.value:.0%} of a typical score unexplained, {info.gradients} gradients"
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
        text = sampling_text(info)
        done, total = progress_of(info)
        self._show(info.stage, done, total, text)
        now = (info.stage, info.kernel if info.stage == "warm-up" else info.ess)
        if now != self._said or info.seconds > self._said_at + LINE_SECONDS:  # a new look at the ESS, or a while ago
            self._said, self._said_at = now, info.seconds
            self._say(f"{info.stage:9} {text}")

    def sampling_done(self, draws) -> None:
        if draws.warmup is not None:
            self._say(f"kernel    {draws.standpoint.kernel}: {draws.warmup.pilot.reason}")
        self._say(
            f"sampling  {draws.status}: {draws.x.shape[0]} chains of {draws.num_draws} draws, "
            f"{draws.gradients_warmup} + {draws.gradients_sampling} gradients (warm-up + sampling)"
        )


def progress_of(info) -> tuple[int, int]:
    """Done and total of a stage: of the ESS where the run waits for one and knows how far it is, else of draws."""
    if info.target_ess is not None and info.ess is not None:
        return int(min(info.ess, info.target_ess)), int(info.target_ess)
    return info.draws, info.total


def sampling_text(info) -> str:
    """One report in words: draws, gradients and their rate, acceptance, divergences, ESS, R̂ and the time left."""
    parts = [
        f"{info.draws} iterations a chain"
        if info.target_ess is not None
        else f"{info.draws}/{info.total} iterations a chain"
    ]
    rate = f" ({info.gradients / info.seconds:,.0f}/s)" if info.seconds > 0 else ""
    parts += [f"{info.kernel}", f"{info.gradients:,} gradients{rate}", f"acceptance {info.acceptance:.2f}"]
    parts.append(f"{info.divergences} divergences")
    if info.ess is not None:
        wanted = f" of {info.target_ess:.0f}" if info.target_ess is not None else ""
        parts.append(f"ESS {info.ess:.0f}{wanted}, R̂ {info.r_hat:.3f}")
    left = seconds_left(info)
    if left is not None:
        parts.append(f"{left:.0f} s left" if left < 100 else f"{left / 60:.0f} min left")
    return ", ".join(parts)


def seconds_left(info) -> float | None:
    """The time so far scaled by what is missing; None in warm-up and before anything is known."""
    if info.stage != "sampling" or not info.seconds > 0:
        return None
    share = info.draws / info.total
    if info.target_ess is not None:
        share = max(share, (info.ess or 0.0) / info.target_ess)
    return info.seconds * (1.0 / share - 1.0) if 0 < share < 1 else None


def reporter(progress) -> Reporter:
    """The reporter for the public `progress` argument."""
    if isinstance(progress, Reporter):
        return progress
    if progress is None:
        return TerminalReporter(is_live=_takes_live_line()) if sys.stderr.isatty() or in_notebook() else Reporter()
    if callable(progress):
        return CallbackReporter(progress)
    return TerminalReporter(is_live=_takes_live_line()) if progress else Reporter()


def _takes_live_line() -> bool:
    """A terminal does, and a notebook with ipywidgets; without them `rich` warns at each refresh and shows nothing."""
    if in_notebook():
        return importlib.util.find_spec("ipywidgets") is not None
    return sys.stderr.isatty()


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this: its output cells take a live display, though standard error is no terminal."""
    get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)
    return type(get_ipython()).__name__ == "ZMQInteractiveShell"
