"""Hierarchies of a Stan program, read off its text, and the declarations that write them without centring.

Stan does it by a declaration alone: `vector<offset=mu, multiplier=tau>[J] theta;` (Stan Reference Manual, "Affinely
transformed real"), and the statement `theta ~ normal(mu, tau)` stays as it is.
"""

import re

from monochord.targets._hierarchy import Hierarchy

FAMILIES = {"normal": 0, "student_t": 1, "cauchy": 0, "double_exponential": 0, "logistic": 0, "gumbel": 0}
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
DECLARATION = re.compile(
    r"(?P<type>(?:array\s*\[[^\]]*\]\s*)?(?:real|vector|row_vector|matrix))\s*(?P<bounds><[^;]*?>)?\s*(?P<size>\[[^\];]*\])?\s*"
    r"(?P<name>[A-Za-z]\w*)\s*;"
)
STATEMENT = re.compile(r"(?P<name>[A-Za-z]\w*)\s*(?P<index>\[[^\]]*\])?\s*~\s*(?P<family>[a-z_]+)\s*\(")


def stan_hierarchies(program: str) -> tuple[Hierarchy, ...]:
    """One for each unbounded parameter with a location–scale statement whose scale names another parameter."""
    text = re.sub(r"transformed\s+", "transformed ", COMMENT.sub(" ", program))
    declared = {found["name"]: found for found in DECLARATION.finditer(_block(text, "parameters"))}
    derived = {found["name"] for found in DECLARATION.finditer(_block(text, "transformed parameters"))}
    model, found = _block(text, "model"), []
    for statement in STATEMENT.finditer(model):
        name, family = statement["name"], statement["family"]
        declaration = declared.get(name)
        if declaration is None or declaration["bounds"] or family not in FAMILIES:
            continue
        parts = _arguments(model, statement.end())
        if len(parts) != FAMILIES[family] + 2:
            continue
        location, scale = parts[-2:]
        loop = _identifiers(statement["index"] or "")
        if loop & (_identifiers(location) | _identifiers(scale)):  # each entry has its own: no one declaration says it
            continue
        known = (set(declared) | derived) - {name}
        drivers = [word for part in (location, scale) for word in _in_order(part) if word in known]
        if not _identifiers(scale) & known:
            continue
        declared_now = f"{declaration['type']}{declaration['size'] or ''} {name};"
        new = f"{declaration['type']}<offset={location}, multiplier={scale}>{declaration['size'] or ''} {name};"
        after = ", ".join(dict.fromkeys(drivers))
        found.append(
            Hierarchy(name, tuple(dict.fromkeys(drivers)), (f"{new}  // for `{declared_now}`, declared after {after}",))
        )
    return tuple(found)


def _block(text: str, name: str) -> str:
    """The inside of a block; empty where there is none. Both kinds of `parameters` are told apart by the word before."""
    before = r"(?<!transformed )" if name == "parameters" else ""
    head = re.search(before + r"\b" + name + r"\s*\{", text)
    if head is None:
        return ""
    depth = 1
    for place in range(head.end(), len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[head.end() : place]
    return ""


def _arguments(text: str, start: int) -> list[str]:
    """Arguments of a call whose parenthesis opened before `start`."""
    depth, parts, begin = 1, [], start
    for place in range(start, len(text)):
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(text[place], 0)
        if depth == 0 or (depth == 1 and text[place] == ","):
            parts.append(" ".join(text[begin:place].split()))
            begin = place + 1
        if depth == 0:
            return parts
    return []


def _in_order(text: str) -> list[str]:
    return re.findall(r"[A-Za-z]\w*", text)


def _identifiers(text: str) -> set[str]:
    return set(_in_order(text))
