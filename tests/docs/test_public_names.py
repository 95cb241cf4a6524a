"""Every public name is described, and the documents name no other; `make docs` asks the same of each page."""

import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
PUBLIC = ("monochord", "monochord.testing", "monochord.spectra")


def _members(module: str):
    home = importlib.import_module(module)
    for name in home.__all__:
        value = getattr(home, name)
        if isinstance(value, ModuleType):
            yield from _members(value.__name__)
        elif callable(value):
            yield f"{module}.{name}", value


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_function_and_class_has_a_docstring(module):
    """Catches: a public name without a word; a dataclass whose docstring is its own signature."""
    for full, value in _members(module):
        text = value.__doc__ or ""
        assert text.strip() and not text.startswith(f"{full.rpartition('.')[2]}("), full


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_documents_name_what_exists(document):
    """Catches: a call that was renamed or never written."""
    import monochord as mc

    for found in set(re.findall(r"\bmc\.([a-z]\w*[a-zA-Z0-9])\b(?!_)", (ROOT / document).read_text(encoding="utf-8"))):
        assert found in mc.__all__ or (ROOT / "src" / "monochord" / found).is_dir(), found
