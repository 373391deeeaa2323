"""Measured numbers and verdicts: what is shown, what is kept, and every refusal."""

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from nbclient import NotebookClient

from lib import evidence, plotting
from lib.evidence import EvidenceError, measure, seeds, verdict

TESTS = Path(__file__).resolve().parent
PAPER = "https://arxiv.org/abs/1706.03762"


@pytest.fixture(autouse=True)
def fresh_kernel(monkeypatch):
    monkeypatch.setattr(evidence, "_measured", {})


@pytest.fixture
def shown(monkeypatch):
    """What is displayed: a list of (bundle, record)."""
    found = []
    monkeypatch.setattr(evidence, "_show", lambda bundle, record: found.append((bundle, record)))
    return found


def text_of(shown):
    return shown[-1][0]["text/plain"]


@pytest.mark.parametrize(
    ("value", "options", "expected"),
    [
        (0.978, {}, "a.b ≈ 0.978"),
        ([0.1, 0.2, 0.3], {"digits": 2}, "a.b ≈ 0.20±0.10 (3 seeds)"),
        (np.array([0.25, 0.75]), {"unit": "s"}, "a.b ≈ 0.500±0.354 s (2 seeds)"),
        (torch.tensor(0.5), {}, "a.b ≈ 0.500"),
        ([0.5, 0.5, 0.5], {"recorded": True}, "a.b ≈ 0.500±0.000 (3 seeds, recorded)"),
        (1.25e-8, {}, "a.b ≈ 1.2e-08"),
        (0.0, {}, "a.b ≈ 0.000"),
        (0.9996, {"digits": 0}, "a.b ≈ 1"),
    ],
)
def test_measure_shows_the_number(shown, value, options, expected):
    assert measure("a.b", value, low=-1, high=1, **options) is None
    assert text_of(shown) == expected


def test_measure_groups_thousands(shown):
    measure("a.b", 12345.6, low=0, high=1e6, digits=1)
    assert text_of(shown) == "a.b ≈ 12,345.6"


def test_measure_keeps_the_record(shown):
    measure("a.b", [0.1, 0.2, 0.3], low=0, high=1, unit="s", digits=2)
    record = shown[-1][1]["measure"]
    assert record["values"] == [0.1, 0.2, 0.3]
    assert (record["mean"], record["spread"]) == (pytest.approx(0.2), pytest.approx(0.1))
    assert {key: record[key] for key in ("name", "n", "low", "high", "unit", "digits", "recorded")} == {
        "name": "a.b", "n": 3, "low": 0.0, "high": 1.0, "unit": "s", "digits": 2, "recorded": False,
    }  # fmt: skip
    json.dumps(record)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.95, "a.b: 0.95 at seed index 0 lies outside the band 0.3 to 0.9"),
        ([0.5, 0.5, 0.2], "a.b: 0.2 at seed index 2 lies outside the band 0.3 to 0.9"),  # the mean lies inside
    ],
)
def test_measure_refuses_each_value_outside_the_band(value, said):
    with pytest.raises(EvidenceError, match=said):
        measure("a.b", value, low=0.3, high=0.9)
    assert "a.b" not in evidence._measured


@pytest.mark.parametrize("value", [0.3, 0.9])
def test_the_band_includes_its_ends(value, shown):
    measure("a.b", value, low=0.3, high=0.9)


@pytest.mark.parametrize(
    ("name", "value", "band", "said"),
    [
        ("a.b", float("nan"), (0, 1), "nan at seed index 0 is not a finite number"),
        ("a.b", [0.1, float("inf")], (0, float("inf")), "inf at seed index 1 is not a finite number"),
        ("a.b", [], (0, 1), "one number per seed, not shape"),
        ("a.b", [[0.1, 0.2]], (0, 1), r"one number per seed, not shape \(1, 2\)"),
        ("a.b", 0.5, (1, 1), "low < high, not low=1 and high=1"),
        ("a.b", 0.5, (0, float("nan")), "low < high"),
        ("a b", 0.5, (0, 1), "words joined by dots, not 'a b'"),
        ("", 0.5, (0, 1), "words joined by dots"),
    ],
)
def test_measure_refuses_nonsense(name, value, band, said):
    with pytest.raises(ValueError, match=said):
        measure(name, value, low=band[0], high=band[1])


def test_running_a_cell_again_overwrites(shown):
    measure("a.b", 0.5, low=0, high=1)
    measure("a.b", 0.7, low=0, high=1)
    assert evidence._measured["a.b"]["mean"] == 0.7


def test_seeds_move_with_the_environment(monkeypatch):
    monkeypatch.delenv("BOOK_SEED", raising=False)
    assert seeds(3) == [0, 1, 2]
    monkeypatch.setenv("BOOK_SEED", "2")
    assert seeds(3) == [200, 201, 202]


@pytest.mark.parametrize("n", [0, 101])
def test_seeds_refuse(n):
    with pytest.raises(ValueError, match=f"1 to 100 seeds, not {n}"):
        seeds(n)


@pytest.fixture
def measured(shown):
    measure("a.share", [0.86, 0.87, 0.88], low=0, high=1)
    measure("a.once", 0.5, low=0, high=1)
    measure("a.twice", [0.5, 0.6], low=0, high=1)
    return shown


def test_verdict_draws_a_card_in_both_languages(measured):
    verdict(
        "4b",
        "qualified",
        en=f"It takes {{a.share:.0%}}, if x < y ([paper]({PAPER})).",
        zh=f"它拿走 {{a.share:.0%}}，只要 x < y（[论文]({PAPER})）。",
        evidence=["a.share", "a.once"],
    )
    card, text = measured[-1][0]["text/html"], text_of(measured)
    assert 'class="claim-card claim-qualified"' in card
    assert 'id="claim-4b"' in card
    english, chinese = card.split('<div lang="zh">')
    assert '<div lang="en">' in english
    shown = '<span style="white-space: nowrap">≈ 87 %</span>'
    for said in ("Qualified", "measured here", f"It takes {shown}, if x &lt; y", f'<a href="{PAPER}">paper</a>'):
        assert said in english
    for said in ("有条件成立", "本书实测", f"它拿走 {shown}，只要 x &lt; y", f'<a href="{PAPER}">论文</a>'):
        assert said in chinese
    assert "a.share ≈ 0.870±0.010 (3 seeds)" in chinese
    assert "有条件成立" in text
    assert "It takes ≈ 87 %" in text


def test_verdict_keeps_the_record(measured):
    verdict("4b", "supported", en="Yes.", zh="是的。", evidence=["a.share"])
    record = measured[-1][1]["verdict"]
    assert (record["claim"], record["decision"], record["basis"]) == ("4b", "supported", "measured")
    assert (record["en"], record["zh"]) == ("Yes.", "是的。")
    assert record["evidence"] == [evidence._measured["a.share"]]
    json.dumps(record)


@pytest.mark.parametrize(
    ("decision", "word", "style"),
    [("supported", "成立", "claim-supported"), ("not supported", "不成立", "claim-not-supported")],
)
def test_decisions_have_their_chinese_and_their_class(measured, decision, word, style):
    verdict("4b", decision, en="So.", zh="如此。", evidence=["a.share"])
    assert f"<strong>{word}</strong>" in measured[-1][0]["text/html"]
    assert style in measured[-1][0]["text/html"]


@pytest.mark.parametrize(
    ("place", "filled"),
    [("{a.share}", "≈ 0.870"), ("{a.share:.1}", "≈ 0.9"), ("{a.share:.1%}", "≈ 87.0 %")],
)
def test_places_are_filled_with_measured_numbers(measured, place, filled):
    verdict("4b", "supported", en=f"It is {place} now.", zh=f"它是 {place} 。", evidence=["a.share"])
    assert f"It is {filled} now." in text_of(measured)


def test_exact_and_published_bases(measured):
    verdict("4a", "supported", en="Counted.", zh="数过了。", evidence=["a.once"], basis="exact")
    assert "exact" in text_of(measured)
    assert "精确" in text_of(measured)
    verdict("4a", "supported", en=f"See [it]({PAPER}).", zh=f"见[此处]({PAPER})。", evidence=[], basis="published")
    assert "未重新测量" in text_of(measured)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"claim": "99z"}, "claim '99z' is not in claims.toml"),
        ({"decision": "true"}, "decision 'true' is none of supported, qualified, not supported"),
        ({"basis": "guessed"}, "basis 'guessed' is none of measured, exact, published"),
        ({"en": " "}, "needed in both languages"),
        ({"zh": ""}, "needed in both languages"),
        ({"evidence": ["b.share"]}, "'b.share' was not measured in this notebook"),
        ({"evidence": "a.share"}, "evidence is a list of names"),
        ({"evidence": []}, "basis 'measured' needs evidence"),
        ({"evidence": [], "basis": "exact"}, "basis 'exact' needs evidence"),
        ({"evidence": ["a.once", "a.twice"]}, "none of the evidence has 3 seeds or more"),
        ({"basis": "published"}, "a published basis needs a link"),
        ({"en": f"[x]({PAPER})"}, "links differ"),
        ({"en": f"[x]({PAPER})", "zh": f"[x]({PAPER}v1)", "basis": "published"}, "links differ"),
        ({"en": "{a.share}"}, "measured numbers differ"),
        ({"en": "{b.share}", "zh": "{b.share}"}, "'b.share' was not measured"),
    ],
)
def test_verdict_refuses(measured, change, said):
    right = {"claim": "4b", "decision": "supported", "en": "Yes.", "zh": "是的。", "evidence": ["a.share"]}
    with pytest.raises(ValueError, match=said):
        verdict(**right | change)


CELLS = [
    "from lib.evidence import measure, verdict\nimport random",
    "noise = random.SystemRandom().uniform(0, 0.4)",
    "measure('a.share', [0.2 + noise, 0.3 + noise, 0.4 + noise], low=0, high=1)",
    "verdict('4b', 'supported', en='Now {a.share}.', zh='现在 {a.share} 。', evidence=['a.share'])",
    "import matplotlib.pyplot as plt\nfrom lib.plotting import style\nstyle()\nplt.plot([1, 2])\nplt.show()",
]


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """A small notebook, executed in a real kernel and stored."""
    path = tmp_path_factory.mktemp("notebook") / "small.ipynb"
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    NotebookClient(made).execute()
    nbformat.write(made, path)
    return path


def test_a_kernel_stores_the_records(notebook):
    cells = nbformat.read(notebook, 4).cells
    record = cells[2].outputs[0].metadata.attention_highlights.measure
    assert record.name == "a.share"
    assert cells[3].outputs[0].metadata.attention_highlights.verdict.evidence == [record]
    assert set(cells[3].outputs[0].data) == {"text/plain", "text/html"}


def test_a_figure_is_as_wide_as_asked_at_twice_the_pixels(notebook):
    output = nbformat.read(notebook, 4).cells[4].outputs[-1]
    assert output.metadata["image/png"] == {"width": 480, "height": 320}


def test_nbval_lets_measured_numbers_differ_and_nothing_else(notebook, tmp_path):
    text = notebook.read_text(encoding="utf-8")  # run again it measures other numbers
    (tmp_path / "same.ipynb").write_text(text, encoding="utf-8")
    (tmp_path / "drifted.ipynb").write_text(text.replace("3 seeds", "4 seeds"), encoding="utf-8")
    options = ["-q", "-c", "/dev/null", "-p", "no:cacheprovider", "--nbval", "--nbval-current-env"]
    command = [sys.executable, "-m", "pytest", *options, f"--nbval-sanitize-with={TESTS / 'nbval_sanitize.cfg'}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert len(failed) == 2, done.stdout  # the measured line and the card
    assert f"2 failed, {2 * len(CELLS) - 2} passed" in done.stdout


def test_heatmap_refuses_labels_that_do_not_fit():
    with pytest.raises(ValueError, match="1 row and 3 column labels for weights of 1 x 2"):
        plotting.heatmap(None, [[0.5, 0.5]], rows=["a"], columns=["b", "c", "d"])
