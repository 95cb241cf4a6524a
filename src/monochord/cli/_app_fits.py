"""Commands about fits: make one, measure it elsewhere, see its spectrum, hand it over."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from monochord.cli._guard import guarded
from monochord.cli._options import (
    Cache,
    Data,
    Fit,
    Json,
    Metric,
    Model,
    Progress,
    Report,
    Seed,
    epilog,
)


def fit(
    model: Model,
    data: Data = None,
    seed: Seed = None,
    metric: Metric = "auto",
    save: Annotated[
        Optional[Path],
        typer.Option("--save", help="File for the fit, for --fit and `monochord export`.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the saved file if it exists.")] = False,
    start: Annotated[
        Optional[Path],
        typer.Option("--start", help="A saved fit of the same parameters to begin with.", show_default=False),
    ] = None,
    maps: Annotated[
        bool, typer.Option("--maps/--no-maps", help="Look for a map where the linear fit does badly.")
    ] = True,
    report: Report = None,
    json: Json = False,
    progress: Progress = True,
    compile_cache: Cache = True,
) -> None:
    """Fit the Gaussian whose covariance is the metric; print its verdict."""
    with guarded(model, json):
        from monochord.cli import _commands

        _commands.fit(
            model, data, seed=seed, metric=metric, json=json, progress=progress, compile_cache=compile_cache, save=save,
            force=force, start=start, maps=maps, report=report,
        )  # fmt: skip


def refit(
    saved: Annotated[Path, typer.Argument(help="A fit saved by `monochord fit --save`.", show_default=False)],
    model: Model,
    data: Data = None,
    seed: Seed = None,
    save: Annotated[
        Optional[Path], typer.Option("--save", help="File for the measured fit.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the saved file if it exists.")] = False,
    json: Json = False,
    compile_cache: Cache = True,
) -> None:
    """Measure a saved fit on other data of the same parameters; print the verdict it has there."""
    with guarded(model, json):
        from monochord.cli import _commands

        _commands.refit(saved, model, data, seed=seed, json=json, compile_cache=compile_cache, save=save, force=force)


def spectrum(
    model: Model,
    data: Data = None,
    seed: Seed = None,
    fit: Fit = None,
    metric: Metric = "auto",
    target_accept: Annotated[float, typer.Option(help="Acceptance for which step sizes are given.")] = 0.8,
    at: Annotated[str, typer.Option(help="Where Hessians are taken: fit (averaged over its draws) or mean.")] = "fit",
    report: Report = None,
    json: Json = False,
    progress: Progress = True,
    compile_cache: Cache = True,
) -> None:
    """Show the frequencies under identity, diagonal and fitted metric."""
    with guarded(model, json):
        from monochord.cli import _commands

        _commands.spectrum(
            model, data, seed=seed, metric=metric, target_accept=target_accept, at=at, json=json, progress=progress,
            compile_cache=compile_cache, fit=fit, report=report,
        )  # fmt: skip


def export(
    saved: Annotated[Path, typer.Argument(help="A fit saved by `monochord fit --save`.", show_default=False)],
    to: Annotated[str, typer.Option("--to", help="cmdstan, advanced_hmc (Julia) or plain (NPZ and JSON).")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the files; made if need be.", show_default=False)
    ],
    model: Annotated[
        Optional[Path],
        typer.Option("--model", help="The fit's model file; CmdStan's starts need it.", show_default=False),
    ] = None,
    data: Data = None,
    parameters: Annotated[
        Optional[str],
        typer.Option(
            help="For CmdStan: names in the order of the parameters block, with commas, where it is not the fit's.",
            show_default=False,
        ),
    ] = None,
    chains: Annotated[int, typer.Option(help="Number of starting points.")] = 4,
    seed: Annotated[int, typer.Option(help="Seed of the starting points.")] = 0,
    form: Annotated[str, typer.Option(help="auto, diagonal, dense, or low_rank (plain only).")] = "auto",
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    json: Json = False,
) -> None:
    """Write a saved fit's metric, starts and step size as files for another program."""
    with guarded(model or saved, json):
        from monochord.cli import _commands

        _commands.export(
            saved, to, out, model=model, data=data, parameters=parameters, force=force, json=json,
            options={"chains": chains, "seed": seed, "form": form},
        )  # fmt: skip


def add_to(app: typer.Typer) -> None:
    """Register them, in the order in which help names them."""
    app.command(
        epilog=epilog(
            "monochord fit model.py --data data.json", "monochord fit model.py --metric low_rank --seed 1 --json"
        )
    )(fit)
    app.command(epilog=epilog("monochord refit fit.npz model.py --data new.json"))(refit)
    app.command(
        epilog=epilog(
            "monochord spectrum model.py --data data.json",
            "monochord spectrum model.py --at mean --report spectrum.html",
        )
    )(spectrum)
    app.command(epilog=epilog("monochord export fit.npz --to cmdstan --out stan"))(export)
