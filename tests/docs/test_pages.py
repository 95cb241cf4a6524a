"""The pages' code cells run, and their links lead somewhere, without Sphinx being installed."""

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


@pytest.mark.parametrize("page", [page for page in PAGES if _cells(page)], ids=lambda page: page.stem)
def test_every_cell_runs(page):
    """Catches: a statement whose check fails. Each page is one program, as it is when the pages are built."""
    names: dict = {"__name__": page.stem}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        for number, cell in enumerate(_cells(page), start=1):
            exec(compile(cell, f"{page.name}, cell {number}", "exec"), names)
    assert printed.getvalue()


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
    listed = re.findall(r"^([a-z_/]+)$", (DOCS / "index.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert {page.relative_to(DOCS).with_suffix("").as_posix() for page in PAGES} == {*listed, "index"}
