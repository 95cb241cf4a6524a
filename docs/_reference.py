"""A Sphinx extension: the reference of public names, made from `__all__` and docstrings, and the checks that keep it whole.

Pages hold directives. ``{reference} monochord`` writes every name of the module's `__all__`, modules among them with their
own names, so that a new name appears by itself. ``{values}`` writes classes named one a line. Docstrings are Markdown, as
the pages are. `make docs` makes warnings errors, so each of these ends the build:

- a public name, method or property without a docstring, and a public name that no page holds;
- a name in backticks that begins with ``mc.``, in a page or a docstring, and is not in the reference;
- Python in a page that is no cell, does not parse, or is not marked as not executed.
"""

import ast
import enum
import importlib
import inspect
import re
import textwrap
from types import ModuleType
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

log = logging.getLogger(__name__)
PUBLIC_MODULES = ("monochord", "monochord.testing", "monochord.spectra")
SHORT = "mc."  # how pages call the package
LONGEST_DEFAULT = 70  # characters; a note of several sentences is no signature
NOT_RUN = "*Not executed"  # how the line before Python that is no cell begins
MODULE_PATH = re.compile(r"\b(?:[a-z_]\w*\.)+(?=[A-Za-z_])")  # monochord.fits._base.FitResult → FitResult


def public_names(module: str) -> dict[str, Any]:
    """Full name to object of everything in `__all__`, of the modules in it too."""
    found: dict[str, Any] = {}
    home = importlib.import_module(module)
    for name in home.__all__:
        value = getattr(home, name)
        found |= public_names(value.__name__) if isinstance(value, ModuleType) else {f"{module}.{name}": value}
    return found


class Reference(SphinxDirective):
    """``{reference} module``: its public names by kind, then those of its public modules."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes(_module_text(self.arguments[0]), allow_section_headings=True)


class Values(SphinxDirective):
    """``{values}`` with a full name on each line: classes that come back from calls, or are subclassed."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        texts = []
        for line in self.content:
            module, _, name = line.strip().rpartition(".")
            texts.append(_entry(line.strip(), getattr(importlib.import_module(module), name)))
        return self.parse_text_to_nodes("\n\n".join(texts), allow_section_headings=True)


def _module_text(module: str) -> str:
    home = importlib.import_module(module)
    own = {name: getattr(home, name) for name in home.__all__}
    parts = []
    for title, members in _by_kind(own).items():
        parts += [f"## {title}", *(_entry(f"{module}.{name}", value) for name, value in sorted(members.items()))]
    for value in own.values():
        if isinstance(value, ModuleType):
            parts += [
                f"## {value.__name__}",
                f"```{{py:module}} {value.__name__}\n```",
                _markdown(inspect.getdoc(value) or ""),
            ]
            parts += [_entry(f"{value.__name__}.{inner}", getattr(value, inner)) for inner in sorted(value.__all__)]
    return "\n\n".join(parts)


def _by_kind(own: dict[str, Any]) -> dict[str, dict[str, Any]]:
    kinds: dict[str, dict[str, Any]] = {"Functions": {}, "Classes": {}, "Errors": {}, "Constants": {}}
    for name, value in own.items():
        if isinstance(value, ModuleType):
            continue
        if inspect.isclass(value):
            kinds["Errors" if issubclass(value, BaseException) else "Classes"][name] = value
        else:
            kinds["Functions" if callable(value) else "Constants"][name] = value
    return {title: members for title, members in kinds.items() if members}


def _entry(full: str, value: Any) -> str:
    module, _, name = full.rpartition(".")
    if inspect.isclass(value):
        return _class_entry(module, name, value)
    if callable(value):
        return _directive("function", name + _signature(value, full), module, _doc(value, full))
    return _directive("data", name, module, f"Value {value!r}. {_comment_of(full, value)}", fence=3)


def _class_entry(module: str, name: str, cls: type) -> str:
    full = f"{module}.{name}"
    body = [_doc(cls, full)]
    if isinstance(cls, enum.EnumType):
        body.append("\n".join(f"- `{member.name}`: {member.value}" for member in cls))
        return _directive("class", name, module, "\n\n".join(body))
    for label, member in sorted(vars(cls).items()):
        if label.startswith("_") or isinstance(member, type):
            continue
        if isinstance(member, property):
            inner = _doc_of_member(cls, label, full)
            body.append(_directive("property", f"{name}.{label}", module, inner, fence=3))
        elif inspect.isfunction(getattr(cls, label, None)) or isinstance(member, staticmethod | classmethod):
            inner = _doc_of_member(cls, label, full)
            call = f"{name}.{label}" + _signature(getattr(cls, label), f"{full}.{label}")
            body.append(_directive("method", call, module, inner, fence=3))
    is_plain = isinstance(cls, enum.EnumType) or issubclass(cls, BaseException)
    signature = "" if is_plain else _signature(cls, full)
    return _directive("class", name + signature, module, "\n\n".join(body), fence=5)


def _directive(kind: str, signature: str, module: str, body: str, fence: int = 4) -> str:
    ticks = "`" * (fence + 1)
    return f"{ticks}{{py:{kind}}} {signature}\n:module: {module}\n\n{body}\n{ticks}"


def _doc(value: Any, full: str) -> str:
    text = inspect.getdoc(value) if not inspect.isclass(value) else inspect.cleandoc(value.__doc__ or "")
    generated = inspect.isclass(value) and text.startswith(f"{value.__name__}(")  # what a dataclass writes by itself
    if not text or generated:
        log.warning("the public name %s has no docstring", full)
        return "No docstring."
    return _markdown(text)


def _doc_of_member(cls: type, label: str, full: str) -> str:
    text = inspect.getdoc(getattr(cls, label))
    if not text:
        log.warning("the public method %s.%s has no docstring", full, label)
        return "No docstring."
    return _markdown(text)


def _markdown(text: str) -> str:
    """A docstring as the pages' Markdown: its single backticks with letters inside stay code, as they are there."""
    return textwrap.dedent(text).strip()


def _comment_of(full: str, value: Any) -> str:
    """The comment behind the assignment of a constant, which has no docstring of its own."""
    name = full.rpartition(".")[2]
    for module in _modules_that_define(name):
        found = re.search(rf"^{name}\b[^=\n]*=[^#\n]*#\s*(.+)$", module, flags=re.MULTILINE)
        if found:
            return f"{found[1][0].upper()}{found[1][1:]}."
    log.warning("the public constant %s has no comment beside it", full)
    return ""


def _modules_that_define(name: str) -> list[str]:
    import sys

    sources = []
    for module in [m for key, m in sorted(sys.modules.items()) if key.startswith("monochord") and m is not None]:
        if name in vars(module):
            try:
                sources.append(inspect.getsource(module))
            except OSError:
                continue
    return sources


def _signature(value: Any, full: str) -> str:
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        log.warning("the signature of %s cannot be read", full)
        return "()"
    parameters = [
        p.replace(default=_Shown(p.default)) if p.default is not p.empty else p for p in signature.parameters.values()
    ]
    if parameters and parameters[0].name in ("self", "cls"):
        parameters = parameters[1:]
    text = str(signature.replace(parameters=parameters, return_annotation=signature.return_annotation))
    return MODULE_PATH.sub("", text)


class _Shown:
    """A default as the reader would write it."""

    def __init__(self, value: Any):
        self.value = value

    def __repr__(self) -> str:
        if callable(self.value) or not isinstance(self.value, str | int | float | bool | tuple | type(None)):
            return "..."
        shown = repr(self.value)
        return shown if len(shown) <= LONGEST_DEFAULT else "..."


class LinkNames(SphinxTransform):
    """Code that begins with ``mc.name`` becomes a reference to that name; one that leads nowhere is a warning."""

    default_priority = 400

    def apply(self, **_: Any) -> None:
        for literal in list(self.document.findall(nodes.literal)):
            text = literal.astext()
            found = re.match(r"(?:mc|monochord)((?:\.\w+)+)", text)
            if not found or isinstance(literal.parent, addnodes.pending_xref):
                continue
            path = found[1].rstrip("_") if text[found.end() :].startswith(("…", "*")) else found[1]
            if path.rpartition(".")[2] == "to":  # `mc.export.to_…` stands for all of them
                path = path.rpartition(".")[0]
            if text.startswith(SHORT) or "monochord" + path in public_names("monochord"):
                self._link(literal, "monochord" + path)

    def _link(self, literal: nodes.literal, goal: str) -> None:
        node = addnodes.pending_xref(
            "", refdomain="py", reftype="obj", reftarget=goal, refexplicit=True, refwarn=True, refdoc=self.env.docname
        )
        node.source, node.line = literal.source or self.document["source"], literal.line
        literal.replace_self(node)
        node += literal


def check_blocks(app: Any, docname: str, source: list[str]) -> None:
    """Python that is no cell must parse, and the line before it must say that it is not executed."""
    if not str(app.env.doc2path(docname)).endswith(".md"):
        return
    for found in re.finditer(
        r"^```(?:python|\{code-block\} python)\n(.*?)^```$", source[0], flags=re.DOTALL | re.MULTILINE
    ):
        where = f"{docname}, line {source[0].count(chr(10), 0, found.start()) + 1}"
        before = source[0][: found.start()].rstrip().splitlines()
        if not before or NOT_RUN not in before[-1] and not any(NOT_RUN in line for line in before[-3:]):
            log.warning("%s: Python that does not run. Make it a cell, or say '%s' above it", where, NOT_RUN)
        try:
            ast.parse(found[1])
        except SyntaxError as error:
            log.warning("%s: the Python does not parse: %s", where, error)


def check_complete(app: Any, env: Any) -> None:
    """Every public name is on a page."""
    written = set(env.get_domain("py").objects)
    for module in PUBLIC_MODULES:
        for full in public_names(module):
            if full not in written:
                log.warning("the public name %s is on no page of the reference", full)


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("reference", Reference)
    app.add_directive("values", Values)
    app.add_transform(LinkNames)
    app.connect("source-read", check_blocks)
    app.connect("env-check-consistency", check_complete)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
