"""CmdStan's NUTS under exported metrics, where no Stan program can be compiled: the one that Prophet's wheel carries is run.

With a flat trend Prophet's model is a linear regression, y ~ N(m + Xβ, σ²). X and y are made so that β given σ is normal with
scales from 10⁻³ to 10³ and correlation .95 between neighbours; a T of 400 leaves 3.5 % to σ, and all moments are known.
Draws are in the order of `NAMES`, unconstrained; Stan's own order is another.
"""

import importlib.util
import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np

import monochord as mc
from benchmarks.receiving import Run
from monochord.export import CmdStanExport

SCALE = np.array([1e3, 1e-2, 1.0, 1e-3, 1e2, 1e-1, 1e1])
WIDTH, TIMES, NOISE, WIDE = len(SCALE), 400, 0.3, 1e8
COVARIANCE = 0.95 ** np.abs(np.subtract.outer(np.arange(WIDTH), np.arange(WIDTH))) * np.outer(SCALE, SCALE)
CENTER = SCALE * np.array([-2.0, 1.5, 0.3, 3.0, -0.7, 2.2, -1.1])
ORDER = ["k", "m", "sigma_obs", "beta"]  # of the parameters block; delta, between them, is empty
NAMES = (*(f"beta[{i}]" for i in range(WIDTH)), "k", "m", "sigma_obs")
DIM = len(NAMES)
SMALLEST = float(1e-3 * np.sqrt(np.linalg.eigvalsh(COVARIANCE / np.outer(SCALE, SCALE))[0]))


def data() -> dict[str, np.ndarray]:
    """X with XᵀX = NOISE² Σ⁻¹, and y whose residuals have mean square NOISE² and are orthogonal to X and to 1."""
    rng = np.random.default_rng(0)
    columns = np.column_stack([np.ones(TIMES), rng.standard_normal((TIMES, WIDTH + 1))])
    basis = np.linalg.qr(columns)[0][:, 1:]
    root = np.linalg.inv(np.linalg.cholesky(COVARIANCE))
    X = NOISE * basis[:, :WIDTH] @ root
    return {"X": X, "y": X @ CENTER + NOISE * np.sqrt(TIMES) * basis[:, WIDTH]}


def log_density(params, X, y):
    """Prophet's model with a flat trend and no changepoints; `sigma_obs` is its logarithm."""
    noise = jnp.exp(params["sigma_obs"])
    residuals = (y - params["m"] - X @ params["beta"]) / noise
    return (
        -0.5 * jnp.sum(residuals**2)
        - (TIMES - 1) * params["sigma_obs"]
        - 0.5 * (noise / 0.5) ** 2
        - 0.5 * (params["k"] ** 2 + params["m"] ** 2) / 25.0
        - 0.5 * jnp.sum((params["beta"] / WIDE) ** 2)
    )


def constrain(params, X, y):
    return params | {"sigma_obs": jnp.exp(params["sigma_obs"])}


def target():
    """The model in JAX."""
    init = {"k": 0.0, "m": 0.0, "sigma_obs": 0.0, "beta": np.zeros(WIDTH)}
    return mc.target(log_density, init=init, constrain=constrain, data=data())


def standardised(x: np.ndarray) -> np.ndarray:
    """Independent quantities of mean 0 and variance 1: (β − center) L⁻ᵀ s, k/5, m/sd(m), of which s and sd(m) are by quadrature."""
    square = variance_ratio()
    root = np.linalg.inv(np.linalg.cholesky(COVARIANCE))
    beta = (x[..., :WIDTH] - CENTER) @ root.T / np.sqrt(square)
    spread = NOISE * np.sqrt(square / TIMES)  # the prior's sd of 5 takes 1e-5 off it
    return np.concatenate([beta, x[..., [WIDTH]] / 5.0, x[..., [WIDTH + 1]] / spread], axis=-1)


def variance_ratio() -> float:
    """E[σ²]/NOISE² of the posterior of σ, m and β integrated out."""
    sigma = np.linspace(0.5, 2.0, 20_001) * NOISE
    log_p = -(TIMES - 1 - WIDTH) * np.log(sigma) - 0.5 * TIMES * NOISE**2 / sigma**2 - 0.5 * (sigma / 0.5) ** 2
    p = np.exp(log_p - log_p.max())
    return float((p * sigma**2).sum() / p.sum() / NOISE**2)


def program() -> Path | None:
    """The compiled program in Prophet's wheel, which is not imported; None without it."""
    found = importlib.util.find_spec("prophet")
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / "stan_model" / "prophet_model.bin"
    return path if path.is_file() else None


def version() -> str:
    """Stan's version, as the program says it."""
    path = program()
    assert path is not None
    said = subprocess.run([path, "info"], capture_output=True, text=True, check=True).stdout
    return ".".join(re.findall(r"stan_version_\w+ = (\d+)", said))


def stan_data() -> dict:
    """What Prophet's model calls the data."""
    given, zeros = data(), [0.0] * TIMES
    return {
        "T": TIMES, "K": WIDTH, "S": 0, "t": zeros, "cap": zeros, "t_change": [], "tau": 1.0, "trend_indicator": 2,
        "X": given["X"].tolist(), "y": given["y"].tolist(), "sigmas": [WIDE] * WIDTH, "s_a": [1.0] * WIDTH,
        "s_m": [0.0] * WIDTH,
    }  # fmt: skip


def export(fit, **options) -> CmdStanExport:
    """The metric in Stan's order."""
    return mc.export.to_cmdstan(fit, target(), parameters=ORDER, **options)


def ours(fit, draws: int, seed: int, step_size: float) -> Run:
    """Monochord's own NUTS under the fit's metric at a fixed step size."""
    tree = mc.sample(
        target(), fit=fit, metric=fit.gaussian.metric, kernel="nuts", step_size=step_size, draws=draws, seed=seed, progress=False
    )  # fmt: skip
    return Run(tree["unconstrained_posterior"]["x"].values, float(tree["sample_stats"]["n_steps"].mean()), step_size)


def run(fit, draws: int, seed: int, *, parameters=None, **options) -> Run:
    """CmdStan in a folder of the written files, with the arguments as they are printed."""
    made = mc.export.to_cmdstan(fit, target(), parameters=parameters or ORDER, **options)
    arguments = made.arguments.replace("method=sample", f"method=sample num_samples={draws}")
    with tempfile.TemporaryDirectory(prefix="monochord-") as folder:
        files = written(made, f"{arguments} random seed={seed}", folder)
        return joined([columns(file) for file in files], made.step_size)


def written(made: CmdStanExport, arguments: str, folder: str | os.PathLike) -> list[Path]:
    """Run the program in `folder`; the CSV files that it wrote, one a chain."""
    path, folder = program(), Path(folder)
    assert path is not None
    made.write(folder)
    (folder / "data.json").write_text(json.dumps(stan_data()))
    line = f"{arguments} data file=data.json output file=out.csv"
    done = subprocess.run([path, *line.split()], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stdout[-500:] + done.stderr[-500:])
    return sorted(folder.glob("out*.csv"))


def reported_metric(made: CmdStanExport, arguments: str) -> np.ndarray:
    """The inverse mass matrix in the comments of CmdStan's CSV."""
    with tempfile.TemporaryDirectory(prefix="monochord-") as folder:
        lines = written(made, arguments, folder)[0].read_text().splitlines()
    head = next(place for place, line in enumerate(lines) if line.startswith("# Elements of inverse mass matrix"))
    rows = [line[1:].split(",") for line in lines[head + 1 : head + 1 + DIM]]
    return np.array([[float(value) for value in row] for row in rows])


def columns(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Columns of a CmdStan CSV by name."""
    lines = [line for line in Path(path).read_text().splitlines() if line and not line.startswith("#")]
    table = np.array([[float(value) for value in line.split(",")] for line in lines[1:]])
    return dict(zip(lines[0].split(","), table.T, strict=True))


def joined(chains: list[dict[str, np.ndarray]], step_size: float) -> Run:
    """Draws in the order of `NAMES` and leapfrogs of chains' columns."""
    wanted = [*(f"beta.{i + 1}" for i in range(WIDTH)), "k", "m"]
    draws = [np.column_stack([*(c[name] for name in wanted), np.log(c["sigma_obs"])]) for c in chains]
    return Run(np.stack(draws), float(np.mean([c["n_leapfrog__"].mean() for c in chains])), step_size)
