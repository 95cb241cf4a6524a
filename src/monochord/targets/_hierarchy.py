"""`Hierarchy`: a parameter whose location and scale are other parameters, and the lines that write it without centring."""

from typing import NamedTuple


class Hierarchy(NamedTuple):
    """A site of the user's model, the parameters that set its location and scale, and what to write in its place."""

    site: str
    parents: tuple[str, ...]
    lines: tuple[str, ...]


def expression(text: str | None, role: str) -> tuple[str, str]:
    """What to write for a location or scale, and a comment where its text is not known: then a word stands for it."""
    return (text, "") if text is not None else (role, f"# {role}: the one that it has now")
