"""The pages' links lead somewhere and the theory's code runs, without Sphinx being installed; nightly, all code."""

import contextlib
import io
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def _cells(page: Path) -> list[str]:
    """The source of each cell, without its `:tags:` lines."""
    found = CELL.findall(page.read_text(encoding="utf-8"))
    return [re.sub(r"\A(:[a-z-]+:[^\n]*\n)+", "", cell) for cell in found]


def _with_cells():
    """Pages with cells; the theory is cheap and needs nothing else, the others take minutes together."""
    for page in PAGES:
        if _cells(page):
            marks = () if page.parent.name == "theory" else (pytest.mark.nightly,)
            yield pytest.param(page, id=page.relative_to(DOCS).with_suffix("").as_posix(), marks=marks)


@pytest.mark.parametrize("page", list(_with_cells()))
def test_every_cell_runs(page, monkeypatch):
    """Catches: a statement whose check fails. Each page is one program, as it is when the pages are built."""
    for folder in (DOCS, DOCS.parent):  # as the pages' kernels have it
        monkeypatch.syspath_prepend(str(folder))
    names: dict = {"__name__": page.stem}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        for number, cell in enumerate(_cells(page), start=1):
            exec(compile(cell, f"{page.name}, cell {number}", "exec"), names)
    assert printed.getvalue() or "tables" in names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page):
    """Catches: a page or label that has moved. Addresses on the web are left alone."""
    text = page.read_text(encoding="utf-8")
    for link in LINK.findall(CELL.sub("", text)):
        if re.match(r"https?://", link):
            continue
        file, _, label = link.partition("#")
        goal = (page.parent / file).resolve() if file else page
        assert goal.is_file(), (page.name, link)
        assert not label or f"({label})=" in goal.read_text(encoding="utf-8"), (page.name, link)


def test_every_page_is_in_the_contents():
    """Catches: a page that nobody finds."""
    listed = re.findall(r"^([a-z0-9_/]+)$", (DOCS / "index.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert {page.relative_to(DOCS).with_suffix("").as_posix() for page in PAGES} == {*listed, "index"}


def test_python_that_is_no_cell_says_so_and_parses():
    """Catches: an example that nobody runs and that the reader takes for one that was run."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in re.finditer(r"^```python\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE):
            assert "*Not executed" in text[: found.start()].rstrip().rpartition("\n\n")[2], (page.name, found[1][:60])
            compile(found[1], page.name, "exec")


@pytest.mark.parametrize(
    "name",
    ["fits_by_algorithm", "verdicts_of_default", "structures_chosen", "predicted_costs", "kernels", "chosen_by_auto"],
)
def test_tables_are_made_of_the_committed_rows(name, monkeypatch):
    """Catches: a column that the rows no longer have, a table without lines."""
    monkeypatch.syspath_prepend(str(DOCS))
    import tables

    head, rule, *lines = getattr(tables, name)().splitlines()
    assert len(lines) >= 3
    assert {line.count("|") for line in (head, rule, *lines)} == {head.count("|")}
