"""Commands and their options."""

import json as json_module
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer
from typer.core import TyperGroup

from monochord.cli import _invocation
from monochord.cli._guard import guarded
from monochord.cli._options import (
    DOCTOR_EXIT_CODES,
    EXIT_CODES,
    NEXT,
    Block,
    Cache,
    Data,
    Force,
    Json,
    Keep,
    Metric,
    Model,
    Output,
    Progress,
    Report,
    Seed,
    Store,
    epilog,
)


class _Group(TyperGroup):
    """Keeps the command line, and says what the parser refuses as JSON too, where that was asked for."""

    def main(self, *args, **options):
        given = options.get("args") or (args[0] if args else None)
        _invocation.remember(given)
        if "--json" not in (sys.argv[1:] if given is None else given):
            return super().main(*args, **options)
        try:
            code = super().main(*args, **{**options, "standalone_mode": False})
        except typer.Abort:
            code = 130
        except Exception as error:
            if not hasattr(error, "format_message"):  # typer's and click's usage errors share it and no public base
                raise
            message = error.format_message()  # pyright: ignore[reportAttributeAccessIssue]
            print(json_module.dumps({"error": message, "exit_code": 2}))
            print(f"error: {message}", file=sys.stderr)
            code = 2
        sys.exit(code or 0)

    def parse_args(self, ctx, args):
        """Nothing asked for: what to do next, and no error."""
        if not args and not ctx.resilient_parsing:
            print(NEXT, end="")
            ctx.exit(0)
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_Group,
    help="Hamiltonian Monte Carlo made fast by a variational metric.",
    epilog=epilog(
        "monochord demo",
        "monochord sample model.py --data data.json --output run.nc --report run.html",
        "monochord report run.nc model.py --data data.json",
    ),
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command(
    epilog=epilog(
        "monochord sample model.py --data data.json --output run.nc",
        "monochord sample model.py --report run.html --target-ess 1000 --max-time 600",
        "monochord sample model.py --chains 8 --draws 1000 --kernel nuts --seed 1 --json",
    )
)
def sample(
    model: Model,
    data: Data = None,
    output: Output = None,
    report: Report = None,
    force: Force = False,
    chains: Annotated[int, typer.Option(help="Number of chains.")] = 4,
    draws: Annotated[
        Optional[int],
        typer.Option(
            help="A fixed number of draws a chain; without it the run stops when the ESS is enough.", show_default=False
        ),
    ] = None,
    seed: Seed = None,
    metric: Metric = "auto",
    kernel: Annotated[
        str, typer.Option(help="auto (chosen by evidence), nuts, or hmc with jittered trajectory length.")
    ] = "auto",
    target_ess: Annotated[
        Optional[float],
        typer.Option(
            help="Stop when the smallest of bulk and tail ESS reaches it; 400 where --draws is left out.",
            show_default=False,
        ),
    ] = None,
    max_draws: Annotated[
        Optional[int], typer.Option(help="Most draws a chain of a run that waits for its ESS.", show_default=False)
    ] = None,
    max_gradients: Annotated[
        Optional[float], typer.Option(help="Most gradients of warm-up and sampling.", show_default=False)
    ] = None,
    max_time: Annotated[
        Optional[float], typer.Option(help="Most seconds of warm-up and sampling.", show_default=False)
    ] = None,
    no_fit: Annotated[
        bool, typer.Option("--no-fit", help="Begin with the identity metric instead of a fit, and learn.")
    ] = False,
    target_accept: Annotated[
        Optional[float],
        typer.Option(
            help="Wanted mean acceptance; without it .8, and more where the verdict asks for it.", show_default=False
        ),
    ] = None,
    step_size: Annotated[Optional[float], typer.Option(help="Fix the step size.", show_default=False)] = None,
    max_tree_depth: Annotated[int, typer.Option(help="At most 2**depth - 1 leapfrogs a draw.")] = 10,
    store: Store = None,
    keep: Keep = None,
    thin: Annotated[int, typer.Option(help="Store every so many draws; ESS is judged on all.")] = 1,
    block: Block = None,
    chain_method: Annotated[
        str, typer.Option(help="How chains share the machine: auto, threads or vectorised.")
    ] = "auto",
    json: Json = False,
    progress: Progress = True,
    compile_cache: Cache = True,
) -> None:
    """Check, fit, tune and sample a model; print a summary."""
    with guarded(model, json):
        from monochord.cli import _runs

        _runs.sample(
            model, data, output=output, force=force, json=json, progress=progress, compile_cache=compile_cache, seed=seed,
            options={
                "chains": chains, "draws": draws, "metric": metric, "kernel": kernel, "target_ess": target_ess,
                "target_accept": target_accept, "step_size": step_size, "max_tree_depth": max_tree_depth,
                "max_draws": max_draws, "max_gradients": max_gradients, "max_time": max_time, "chain_method": chain_method,
            },
            no_fit=no_fit, report=report, store={"store": store, "keep": keep, "thin": thin, "block": block},
        )  # fmt: skip


@app.command(epilog=epilog("monochord resume run.zarr", "monochord resume run.zarr --output run.nc --report run.html"))
def resume(
    store: Annotated[Path, typer.Argument(help="Folder that --store was given.", show_default=False)],
    output: Output = None,
    report: Report = None,
    force: Force = False,
    model: Annotated[
        Optional[Path],
        typer.Option(help="The model file, where it is no longer where it was.", show_default=False),
    ] = None,
    data: Data = None,
    json: Json = False,
    progress: Progress = True,
    compile_cache: Cache = True,
) -> None:
    """Go on with a run whose process was killed or interrupted, to the end it would have had."""
    with guarded(model or store, json):
        from monochord.cli import _runs

        _runs.resume(
            store, model, data, output=output, force=force, json=json, progress=progress, compile_cache=compile_cache,
            report=report,
        )  # fmt: skip


@app.command(
    epilog=epilog("monochord fit model.py --data data.json", "monochord fit model.py --metric low_rank --seed 1 --json")
)
def fit(
    model: Model,
    data: Data = None,
    seed: Seed = None,
    metric: Metric = "auto",
    report: Report = None,
    json: Json = False,
    progress: Progress = True,
    compile_cache: Cache = True,
) -> None:
    """Fit the Gaussian whose covariance is the metric; print its verdict."""
    with guarded(model, json):
        from monochord.cli import _commands

        _commands.fit(
            model, data, seed=seed, metric=metric, json=json, progress=progress, compile_cache=compile_cache, report=report
        )  # fmt: skip


@app.command(
    epilog=epilog(
        "monochord spectrum model.py --data data.json", "monochord spectrum model.py --at mean --report spectrum.html"
    )
)
def spectrum(
    model: Model,
    data: Data = None,
    seed: Seed = None,
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
            compile_cache=compile_cache, report=report,
        )  # fmt: skip


@app.command(epilog=DOCTOR_EXIT_CODES)
def doctor(
    model: Model,
    data: Data = None,
    seed: Annotated[int, typer.Option(help="Seed of the points looked at.")] = 0,
    json: Json = False,
    compile_cache: Cache = True,
) -> None:
    """Ten named checks of a model, a tick or a cross and advice each."""
    with guarded(model, json):
        from monochord.cli import _commands

        _commands.doctor(model, data, seed=seed, json=json, compile_cache=compile_cache)


@app.command(epilog=EXIT_CODES)
def compare(
    model: Model,
    data: Data = None,
    seeds: Annotated[int, typer.Option(help="Number of seeds, from --seed on.")] = 3,
    seed: Seed = None,
    chains: Annotated[int, typer.Option(help="Number of chains.")] = 4,
    target_accept: Annotated[float, typer.Option(help="Wanted mean acceptance.")] = 0.8,
    output: Annotated[
        Optional[Path], typer.Option("--output", "-o", help="CSV file for the rows.", show_default=False)
    ] = None,  # fmt: skip
    figure: Annotated[
        Optional[Path],
        typer.Option("--figure", help="Image file for the figure (needs matplotlib).", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace output files that exist.")] = False,
    json: Json = False,
    progress: Progress = True,
    compile_cache: Cache = True,
) -> None:
    """Identity, diagonal and variational start side by side on this model: spectrum, stable step, early mixing."""
    with guarded(model, json):
        from monochord.cli import _commands

        _commands.compare(
            model, data, seeds=seeds, seed=seed, chains=chains, target_accept=target_accept, output=output, figure=figure,
            force=force, json=json, progress=progress, compile_cache=compile_cache,
        )  # fmt: skip


@app.command(epilog=epilog("monochord demo", "monochord demo --output demo.nc --report demo.html"))
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="netCDF file to write; replaced if it exists.")] = Path(
        "posterior.nc"
    ),  # fmt: skip
    report: Report = None,
    seed: Annotated[int, typer.Option(help="Seed.")] = 0,
    json: Json = False,
    progress: Progress = True,
    compile_cache: Cache = True,
) -> None:
    """The main job on real data: a collinear logistic regression (needs scikit-learn and numpyro)."""
    from monochord.cli._model_file import demo_file

    model = demo_file()
    with guarded(model, json):
        from monochord.cli import _runs

        _runs.sample(
            model, None, output=output, force=True, json=json, progress=progress, compile_cache=compile_cache,
            show_spectrum=True, seed=seed, report=report,
        )  # fmt: skip


@app.command(
    epilog=epilog("monochord report run.nc", "monochord report run.nc model.py --data data.json --output run.html")
)
def report(
    run: Annotated[
        Path,
        typer.Argument(help="netCDF file of `monochord sample --output` or `mc.write_netcdf`.", show_default=False),
    ],
    model: Annotated[
        Optional[Path],
        typer.Argument(
            help="The run's model file: the page then has the spectrum, trajectories and checks.", show_default=False
        ),
    ] = None,
    data: Data = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="HTML file to write; an earlier report is replaced.")
    ] = Path("report.html"),
    force: Annotated[bool, typer.Option("--force", help="Replace the output file even if it is no report.")] = False,
    json: Json = False,
    compile_cache: Cache = True,
) -> None:
    """Write one HTML page about a run that was kept."""  # fmt: skip
    with guarded(model or run, json):
        from monochord.cli import _commands

        _commands.report(run, model, data, output=output, force=force, json=json, compile_cache=compile_cache)
