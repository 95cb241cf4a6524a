"""The page: landmarks, five questions in order, figures, and a policy that lets nothing in but its own script and style."""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from html import escape
from importlib import resources

import numpy as np

from monochord.reports import _cost, _energy, _ess, _fit, _orbits, _ranks, _spectrum, _warmup, _words
from monochord.reports._material import Material
from monochord.reports._table import summary_table

GENERATOR = "Monochord report"
SECTIONS = (
    ("trust", "Can I trust this posterior?"), ("preconditioning", "What did preconditioning do?"), ("cost", "What did it cost?"),
    ("changes", "What should I change in my model?"), ("repeat", "How was this made?"),
)  # fmt: skip


def page(material: Material) -> str:
    """The whole document."""
    style, script = (
        resources.files("monochord.reports").joinpath(f"assets/report.{kind}").read_text("utf-8")
        for kind in ("css", "js")
    )
    policy = f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    answers: dict[str, Callable[[Material], str]] = {
        "trust": _trust, "preconditioning": _preconditioning, "cost": _costs, "changes": _changes, "repeat": _repeat
    }  # fmt: skip
    links = "".join(f'<li><a href="#{name}">{words}</a></li>' for name, words in SECTIONS)
    body = "".join(
        f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{words}</h2>{answers[name](material)}</section>'
        for name, words in SECTIONS
    )
    title = escape(material.title)
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="generator" content="{GENERATOR}">
<meta name="color-scheme" content="light dark"><title>{title}</title><link rel="icon" href="data:,"><style>{style}</style></head>
<body><a class="skip" href="#trust">To the verdict</a>
<header><h1>{title}</h1><nav aria-label="Questions"><ul>{links}</ul></nav></header>
<main>{body}</main>
<footer>Made by Monochord. This file stands alone: it loads nothing.</footer>
<script>{script}</script></body></html>
"""


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _trust(material: Material) -> str:
    kind, word, sentence = _words.verdict(material)
    facts = "".join(f"<dt>{escape(term)}</dt><dd>{escape(value)}</dd>" for term, value in _words.facts(material))
    parts = [
        f'<div class="verdict {kind}"><strong>{escape(word)}</strong><p>{_sentence(sentence)}</p></div>',
        f"<dl>{facts}</dl>",
    ]
    if material.doubts:
        parts.append(f"<h3>Doubts</h3>{_list(material.doubts)}")
    parts.append(f"<p>{_words.BLIND}</p>")
    if material.data is None:
        return "".join(parts)
    parts += [
        "<h3>Summary</h3>",
        summary_table(material.rows),
        "<h3>How the chains ran</h3>",
        f'<div class="figures">{_chains(material)}</div>',
    ]
    return "".join(parts)


def _chains(material: Material) -> str:
    data, stats = material.data, material.data["sample_stats"]
    parts = [_ranks.rank_figures(data, material.rows)]
    slow = _words.slowest(material)
    parts.append(_ess.ess_figure(data, slow) if slow is not None else "<p>No quantity has an ESS.</p>")
    parts.append(_energy.energy_figure(np.asarray(stats["energy"].values, np.float64)))
    if "unconstrained_posterior" in data.children:
        group = data["unconstrained_posterior"]
        names = [str(name) for name in group["coordinate"].values]
        parts.append(
            _energy.divergence_figure(
                np.asarray(group["x"].values, np.float64), np.asarray(stats["diverging"].values), names
            )
        )
    return "".join(parts)


def _preconditioning(material: Material) -> str:
    parts = []
    if material.spectrum is not None:
        parts += [
            f"<p>{escape(_words.saving(material))}</p><h3>Spectrum</h3>",
            '<div class="figures">',
            _spectrum.spectrum_figure(material.spectrum),
            "</div>",
        ]
        parts.append(_spectrum.spectrum_table(material.spectrum))
    else:
        parts.append(_lack("Spectrum", material, "spectrum"))
    if material.orbits is not None:
        parts += [
            "<h3>One trajectory, twice</h3>",
            '<div class="figures">',
            _orbits.orbit_figures(material.orbits),
            "</div>",
        ]
    else:
        parts.append(_lack("Trajectories", material, "orbits"))
    parts.append("<h3>The way of the fit</h3>")
    if material.fit_trace:
        parts += ['<div class="figures">', _fit.fit_figures(material.fit_trace), "</div>"]
    else:
        parts.append("<p>No fit is at hand: none was made, or this result did not keep its steps.</p>")
    if material.data is not None:
        acceptance = np.asarray(material.data["sample_stats"]["acceptance_rate"].values, np.float64)
        figures = _warmup.warmup_figures(material.warmup_trace, acceptance, material.value("step_size"))
        parts += ["<h3>Step size and acceptance</h3>", f'<div class="figures">{figures}</div>']
    return "".join(parts)


def _lack(what: str, material: Material, name: str) -> str:
    return f"<h3>{what}</h3><p>{_sentence(material.missing.get(name, 'It was not asked for.'))}</p>"


def _costs(material: Material) -> str:
    parts = [
        '<h3>Gradients and seconds</h3><div class="figures">',
        _cost.cost_figure(material),
        "</div>",
        _cost.cost_table(material),
    ]
    if material.spectrum is None:
        parts.append("<p>Without a spectrum nothing can be said of the cost without preconditioning.</p>")
    elif not material.spectrum.is_reliable:
        parts.append(
            "<p>The cost without preconditioning is not predicted: no linear metric fits this posterior, and the law does not hold.</p>"
        )
    return "".join(parts)


def _changes(material: Material) -> str:
    found, hard = _words.changes(material), _words.hard(material)
    parts = [_list(found) if found else "<p>Nothing: no evidence here asks for a change.</p>"]
    if hard:
        parts.append(
            f"<h3>What the fit found hard</h3>{_list(hard)}<p>A posterior closer to a Gaussian would cost less.</p>"
        )
    if material.findings is None:
        parts.append(
            f"<p>The checks of the model were not made. {_sentence(material.missing.get('findings', 'They were not asked for.'))}</p>"
        )
    return "".join(parts)


def _repeat(material: Material) -> str:
    attributes = material.attributes
    command = material.command or attributes.get("command") or attributes.get("call")
    parts = []
    if command:
        parts.append(f"<h3>Command</h3><pre><code>{escape(str(command))}</code></pre>")
    else:
        parts.append("<p>The command that made this is not known.</p>")
    seed = attributes.get("seed", material.fit.seed if material.fit is not None else None)
    parts.append(f"<dl><dt>Seed</dt><dd>{'unknown' if seed is None else int(seed)}</dd></dl>")
    versions = json.loads(attributes.get("versions", "{}"))
    if not versions:
        return "".join([*parts, "<p>The versions of the packages are not in this result.</p>"])
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(str(text))}</td></tr>' for name, text in versions.items()
    )
    head = '<thead><tr><th scope="col">Package</th><th scope="col">Version</th></tr></thead>'
    table = f"<table><caption>Versions</caption>{head}<tbody>{rows}</tbody></table>"
    return "".join([*parts, f'<div class="scroll" role="region" aria-label="Versions" tabindex="0">{table}</div>'])


def _list(sentences: list[str]) -> str:
    return f"<ul>{''.join(f'<li>{_with_lines(sentence)}</li>' for sentence in sentences)}</ul>"


def _with_lines(text: str) -> str:
    """A sentence, and the lines of code below it where there are some."""
    sentence, *lines = text.split("\n")
    code = "\n".join(line.strip() for line in lines)
    return _sentence(sentence) + (f"<pre><code>{escape(code)}</code></pre>" if lines else "")


def _sentence(text: str) -> str:
    """A sentence escaped, with what stands between backticks as code."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(text))
