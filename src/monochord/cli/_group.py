"""The group of all commands: what the parser refuses, and what is said where nothing is asked for."""

import json
import sys

import typer
from typer.core import TyperGroup

from monochord.cli import _invocation
from monochord.cli._options import NEXT


class Group(TyperGroup):
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
            print(json.dumps({"error": message, "exit_code": 2}))
            print(f"error: {message}", file=sys.stderr)
            code = 2
        sys.exit(code or 0)

    def parse_args(self, ctx, args):
        """Nothing asked for: what to do next, and no error."""
        if not args and not ctx.resilient_parsing:
            print(NEXT, end="")
            ctx.exit(0)
        return super().parse_args(ctx, args)
