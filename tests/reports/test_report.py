"""The page: its answers in order, its numbers those of the run, its names inert, and a sentence for what is missing."""

import html.parser
import json
import re

import numpy as np
import pytest

from tests.reports.conftest import HOSTILE, TITLE

VOID = {"meta", "link", "input", "br", "path"}
QUESTIONS = (
    "Can I trust this posterior?", "What did preconditioning do?", "What did it cost?", "What should I change in my model?",
    "How was this made?",
)  # fmt: skip


class Reader(html.parser.HTMLParser):
    """Checks that elements close in order, and keeps headings, addresses and the pictures' names."""

    def __init__(self):
        super().__init__()
        self.open, self.headings, self.addresses, self.unnamed, self.text = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.addresses += [attributes[name] for name in ("src", "href", "action", "srcset") if name in attributes]
        if tag == "svg" and not (attributes.get("aria-label") or attributes.get("aria-hidden") == "true"):
            self.unnamed.append(attributes)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append((int(tag[1]), ""))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open, tag
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and re.fullmatch("h[1-6]", self.open[-1]):
            level, text = self.headings[-1]
            self.headings[-1] = (level, text + data)
        if not {"script", "style"} & set(self.open):
            self.text.append(data)


def read(path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text("utf-8"))
    reader.close()
    assert reader.open == []
    return reader


def text_of(path) -> str:
    return " ".join(" ".join(read(path).text).split())


def test_questions_come_in_order_and_no_heading_level_is_skipped(whole_page):
    headings = read(whole_page).headings
    assert tuple(text for level, text in headings if level == 2) == QUESTIONS
    levels = [level for level, _ in headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False)), headings


def test_nothing_is_loaded_and_every_picture_has_a_name(whole_page):
    """Catches: a font, a script or a picture from a network; a figure that says nothing to who cannot see it."""
    reader = read(whole_page)
    assert all(address.startswith("#") or address == "data:," for address in reader.addresses), reader.addresses
    assert reader.unnamed == []
    assert "http" not in whole_page.read_text("utf-8").replace("http-equiv", "")


def test_names_are_text_everywhere(whole_page):
    """Catches: a parameter's name that becomes an element, in the table, a figure, the title or the data."""
    source = whole_page.read_text("utf-8")
    assert HOSTILE not in source
    assert source.count("<script") == 2  # the page's own and its data
    assert "<img" not in source
    assert "&lt;img src=x onerror=document.title" in source
    assert TITLE in text_of(whole_page)


def test_the_numbers_are_those_of_the_run(run, whole_page):
    import monochord as mc

    _, _, data = run
    attributes, text = data.sample_stats.attrs, text_of(whole_page)
    assert f"verdict on the fit {attributes['verdict']}" in text.lower()
    for stage in ("fit", "warmup", "sampling"):
        assert f"{int(attributes[f'gradients_{stage}']):,}" in text
    rows = mc.summary(data)
    slowest = min(rows, key=lambda row: min(row.ess_bulk, row.ess_tail))
    assert f"the smallest ESS is {min(slowest.ess_bulk, slowest.ess_tail):,.0f}" in text
    entries = json.loads(re.search(r'id="summary-data">(.*?)</script>', whole_page.read_text("utf-8"), re.DOTALL)[1])
    assert [entry[0] for entry in entries] == [row.name for row in rows]
    np.testing.assert_allclose([entry[1] for entry in entries], [row.mean for row in rows], rtol=1e-3)
    assert "monochord sample 'a<b>.py'" in text
    assert all(f"{name} {version}" in text for name, version in json.loads(attributes["versions"]).items())


def test_the_prediction_without_a_metric_is_ess_times_its_cost(run, tmp_path):
    """The same number as the spectrum's own, from the spectrum that was handed over; nothing computed twice."""
    import monochord as mc
    from monochord.reports._words import plain

    target, fit, data = run
    spectrum = mc.spectrum(target, fit, at="mean", seed=0)
    path = mc.report(data, target, fit=fit, spectrum=spectrum, path=tmp_path / "r.html")
    rows = mc.summary(data)
    ess = min(min(row.ess_bulk, row.ess_tail) for row in rows)
    predicted = ess * spectrum["identity"].gradients_per_effective_draw.value
    assert predicted > int(data.sample_stats.attrs["gradients_sampling"])  # unequal scales: a metric saves work
    assert f"predicted, no preconditioning: {plain(predicted)}" in text_of(path)


def test_a_run_read_from_a_file_says_what_needs_the_model(run, tmp_path):
    import monochord as mc
    from monochord._arviz import read_netcdf

    target, _, data = run
    mc.write_netcdf(data, tmp_path / "run.nc")
    kept = read_netcdf(tmp_path / "run.nc")
    text = text_of(mc.report(kept, path=tmp_path / "alone.html"))
    assert text.count("This needs the model, and a file holds draws, not densities.") >= 3
    assert "The fit's ELBO" in text  # the ways of fit and warm-up are in the file
    assert "Step size in warm-up" in text
    whole = text_of(mc.report(kept, target, path=tmp_path / "whole.html"))
    assert "This needs the model" not in whole
    assert "The same trajectory under the fitted metric" in whole


def test_a_fit_alone(run, tmp_path):
    import monochord as mc

    target, fit, _ = run  # its own spectrum is made by `monochord fit --report`, tried there
    spectrum = mc.spectrum(target, fit, at="mean", seed=0)
    text = text_of(mc.report(fit, target, spectrum=spectrum, path=tmp_path / "fit.html"))
    assert "Not sampled yet There are no draws here." in text
    assert "Spectrum before and after" in text
    assert text_of(mc.report(fit, path=tmp_path / "bare.html")).count("This needs the model") >= 2


def test_a_run_without_a_fit_and_without_traces(run, tmp_path):
    """Catches: a crash, or an empty place, where a result holds less."""
    import monochord as mc

    _, _, data = run
    bare = data.copy()
    for group in ("fit_trace", "warmup_trace", "sampler_state", "unconstrained_posterior"):
        del bare[group]
    text = text_of(mc.report(bare, path=tmp_path / "bare.html"))
    for sentence in ("No fit is at hand", "This result kept no way of its warm-up.", "does not hold the metric"):
        assert sentence in text


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"status": "time limit reached before the target ESS"}, "Not yet"),
        ({"advice": json.dumps(["Give `x` a proper prior."])}, "Yes, with a reservation"),
    ],
    ids=["limit", "advice"],
)
def test_the_verdict_follows_the_doubts(run, tmp_path, change, word):
    import monochord as mc
    from monochord._arviz import SummaryRow

    data = run[2].copy()
    data["sample_stats"].attrs.update(change)
    rows = [SummaryRow(row.name, *row[1:5], 900.0, 900.0, 1.001) for row in mc.summary(data)]  # well mixed
    path = mc.report(data, rows=rows, path=tmp_path / "r.html")
    assert f"Can I trust this posterior? {word}" in text_of(path)
    data["sample_stats"].attrs.update(run[2]["sample_stats"].attrs)
    data["sample_stats"]["diverging"][:] = False
    assert "Can I trust this posterior? Yes " in text_of(mc.report(data, rows=rows, path=path))


def test_advice_is_in_the_fourth_answer_as_code_where_it_is_code(run, tmp_path):
    import monochord as mc

    data = run[2].copy()
    data["sample_stats"].attrs["advice"] = json.dumps([f"Give `{HOSTILE}` a proper prior."])
    source = mc.report(data, path=tmp_path / "r.html").read_text("utf-8")
    answer = source.split('<section id="changes"')[1]
    assert "Give <code>&lt;img src=x" in answer
    assert HOSTILE not in source


def test_only_an_earlier_report_is_replaced(run, tmp_path):
    import monochord as mc

    _, fit, _ = run
    path = mc.report(fit, path=tmp_path / "r.html")
    assert mc.report(fit, path=path) == path
    mine = tmp_path / "mine.html"
    mine.write_text("<html>my thesis</html>")
    with pytest.raises(mc.OutputError, match="no report of Monochord"):
        mc.report(fit, path=mine)
    assert mine.read_text() == "<html>my thesis</html>"
    mc.report(fit, path=mine, force=True)


def test_what_is_no_result_and_another_model_are_refused(run, tmp_path):
    import monochord as mc

    _, fit, data = run
    other = mc.target(lambda p: -0.5 * p["y"] ** 2, init={"y": 0.0})
    for wrong in (
        lambda: mc.report(3),
        lambda: mc.report(data, other, path=tmp_path / "r.html"),
        lambda: mc.report(fit, other),
    ):
        with pytest.raises(mc.OptionError):
            wrong()
    assert list(tmp_path.iterdir()) == []


def test_ten_thousand_quantities_stay_small(big_page):
    """Measured: 0.59 MB."""
    path, rows = big_page
    assert path.stat().st_size < 5_000_000
    source = path.read_text("utf-8")
    assert source.count('<th scope="row">beta') == 50  # what is there without scripts: the worst
    least = min(rows, key=lambda row: min(row.ess_bulk, row.ess_tail)).name
    assert f'<tbody><tr><th scope="row">{least}</th>' in source
