"""The `monochord` command: parse, call the public API, print. No mathematics, and nothing heavy imported early.

Exit codes: 0 done; 1 a bug in Monochord; 2 bad input (options, model, data, output path); 3 done and written,
but not to be trusted yet (R̂ above 1.01, or the target ESS not reached); 130 interrupted, draws so far kept.
"""


def main() -> None:
    """Entry point of the console script."""
    from monochord.cli._app import app

    app()
