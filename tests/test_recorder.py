"""The recorder on a tiny experiment: it resumes after a kill, and what no longer fits is refused."""

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lib import recorder
from lib.recorder import EvidenceError, recorded

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENT = '''
"""Tiny: says when it runs, and waits for a file when told to."""

import time
from pathlib import Path

ARMS = ("small", "large")


def run(arm, seed):
    here = Path(__file__).parent
    with (here / "log").open("a") as log:
        log.write(f"{arm} {seed}\\n")
    while (here / "wait").exists() and (arm, seed) == ("large", 2):
        time.sleep(0.01)
    return {"loss": 0.1 * seed + (arm == "small"), "steps": 10, "parameters": 100 if arm == "small" else 200}
'''


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The folder of the experiment `tiny.arms`, importable under this dotted name here and in subprocesses."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "arms.py").write_text(EXPERIMENT, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.startswith("tiny")]:
        monkeypatch.delitem(sys.modules, name)
    return folder


def command(folder):
    return [sys.executable, "-m", "lib.evidence", "run", "tiny.arms", "--folder", str(folder / "recorded")]


def environment(folder):
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(folder.parent), str(ROOT)])}


def run(folder):
    return subprocess.run(command(folder), env=environment(folder), capture_output=True, text=True, check=False)


def log(folder):
    return (folder / "log").read_text().splitlines()


def stored(folder):
    return folder / "recorded" / "arms.json"


def change(path, edit):
    found = json.loads(path.read_text(encoding="utf-8"))
    edit(found)
    path.write_text(json.dumps(found), encoding="utf-8")


def test_a_run_stores_rows_and_circumstances(tiny):
    done = run(tiny)
    assert done.returncode == 0, done.stderr
    assert "10/10" in done.stderr  # the progress bar
    found = json.loads(stored(tiny).read_text(encoding="utf-8"))
    assert [(row["arm"], row["seed"]) for row in found["rows"]] == [
        (a, s) for a in ("small", "large") for s in range(5)
    ]
    assert set(found["rows"][0]) == {"arm", "seed", "seconds", "loss", "steps", "parameters"}
    assert len(found["source"]) == 64
    assert set(found["versions"]) == {"python", "numpy", "torch"}
    assert found["processor"]
    assert platform.node() not in stored(tiny).read_text(encoding="utf-8")
    assert [path.name for path in stored(tiny).parent.iterdir()] == ["arms.json"]


def test_killed_half_way_it_goes_on_behind_the_last_row(tiny):
    (tiny / "wait").touch()
    process = subprocess.Popen(command(tiny), env=environment(tiny), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until = time.monotonic() + 60
    while not ((tiny / "log").exists() and "large 2" in log(tiny)):
        assert time.monotonic() < until
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert process.returncode != 0
    assert not stored(tiny).exists()
    partial = stored(tiny).with_suffix(".partial")
    partial.write_text(partial.read_text() + '{"arm": "large", "se')  # as if killed while writing

    (tiny / "wait").unlink()
    done = run(tiny)
    assert done.returncode == 0, done.stderr
    assert "goes on behind 7 finished rows" in done.stdout
    assert len(log(tiny)) == 11  # ten runs, and the one that was killed
    assert log(tiny).count("large 2") == 2
    assert len(json.loads(stored(tiny).read_text(encoding="utf-8"))["rows"]) == 10
    assert not partial.exists()


def test_a_partial_file_of_other_source_is_begun_anew(tiny, capsys):
    recorder.run("tiny.arms", tiny / "recorded")
    lines = [json.dumps({"source": "of another"}), json.dumps({"arm": "small", "seed": 0, "loss": 99.0})]
    stored(tiny).with_suffix(".partial").write_text("\n".join(lines) + "\n")
    recorder.run("tiny.arms", tiny / "recorded")
    assert "begun anew" in capsys.readouterr().out
    assert 99.0 not in recorded("tiny.arms", tiny / "recorded").values("small", "loss")


@pytest.fixture
def made(tiny):
    recorder.run("tiny.arms", tiny / "recorded")
    return tiny


def test_values_and_range(made):
    found = recorded("tiny.arms", made / "recorded")
    assert len(found.rows) == 10
    assert found.values("large", "loss") == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    found.check("large", "loss", 0.2)
    found.check("large", "loss", 0.4 + 0.948)  # the spread is 0.1581
    found.check("large", "loss", 0.0 - 0.158)


@pytest.mark.parametrize("live", [1.35, -0.95, float("nan")])
def test_a_live_value_outside_the_range_is_refused(made, live):
    with pytest.raises(EvidenceError, match=r"large.loss: .* outside the recorded range -0.948683 to 1.34868"):
        recorded("tiny.arms", made / "recorded").check("large", "loss", live)


def test_changed_source_is_refused(made):
    with (made / "arms.py").open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    with pytest.raises(ValueError, match=r"source of 'tiny.arms' has changed .* python -m lib.evidence run tiny.arms"):
        recorded("tiny.arms", made / "recorded")


@pytest.mark.parametrize("line", ["import tiny.other", "from tiny import other", "from tiny.other import SIZE"])
def test_changed_source_of_an_imported_experiment_is_refused(tiny, line):
    (tiny / "other.py").write_text("from tiny.third import SIZE\n", encoding="utf-8")
    (tiny / "third.py").write_text("SIZE = 1\n", encoding="utf-8")
    (tiny / "arms.py").write_text(f"{line}\n{EXPERIMENT}", encoding="utf-8")
    recorder.run("tiny.arms", tiny / "recorded")
    assert recorded("tiny.arms", tiny / "recorded").rows
    (tiny / "third.py").write_text("SIZE = 2\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"source of 'tiny.arms' has changed"):
        recorded("tiny.arms", tiny / "recorded")


def test_a_docstring_is_no_change_and_a_string_is_one(made):
    path = made / "arms.py"
    code = path.read_text(encoding="utf-8")
    explained = code.replace("def run(arm, seed):\n", 'def run(arm, seed):\n    """Run.\n\n    As told.\n    """\n\n')
    assert explained != code
    path.write_text(explained.replace('"""Tiny: says', '"""Tiny, with two arms: says'), encoding="utf-8")
    assert recorded("tiny.arms", made / "recorded").rows
    path.write_text(code.replace('"steps"', '"step"'), encoding="utf-8")
    with pytest.raises(ValueError, match=r"source of 'tiny.arms' has changed"):
        recorded("tiny.arms", made / "recorded")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('def f(): "said"; return 1\n', 'def f(): "said"; return 2\n'),
        ('class One(Exception): "said"\n', 'class Two(Exception): "said"\n'),
        ('DATA = """one\n\ntwo"""\n', 'DATA = """one\ntwo"""\n'),
        ('"""Said."""\nA = 1\n', '"""Said."""\nA = 1  # why\n'),
    ],
)
def test_code_beside_a_docstring_and_empty_lines_of_data_count(one, other):
    assert recorder._without_docstrings(one) != recorder._without_docstrings(other)


def test_other_line_ends_are_no_change(made):
    (made / "arms.py").write_bytes((made / "arms.py").read_bytes().replace(b"\n", b"\r\n"))
    assert recorded("tiny.arms", made / "recorded").rows


@pytest.mark.parametrize(
    "edit",
    [
        lambda found: found["rows"].pop(3),
        lambda found: found["rows"].__setitem__(3, found["rows"][2]),
        lambda found: found.update(rows=[row for row in found["rows"] if row["arm"] != "small"]),
    ],
    ids=["a row lost", "a row twice", "an arm lost"],
)
def test_missing_seeds_are_refused(made, edit):
    change(stored(made), edit)
    with pytest.raises(ValueError, match=r"arms.json: arm 'small' has the seeds \[.*\], not \[0, 1, 2, 3, 4\]"):
        recorded("tiny.arms", made / "recorded")


def test_what_is_not_there_is_named(made):
    with pytest.raises(FileNotFoundError, match=r"python -m lib\.evidence run other"):
        recorded("other", made / "recorded")
    with pytest.raises(ValueError, match=r"no experiment lib\.experiments\.other"):
        recorder.source_hash("other")
    found = recorded("tiny.arms", made / "recorded")
    with pytest.raises(ValueError, match="no arm 'medium'; there are small, large"):
        found.values("medium", "loss")
    with pytest.raises(ValueError, match="no metric 'gain'; there are arm, seed, seconds, loss"):
        found.values("small", "gain")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"steps": 10, ', "", "gives no steps"),
        ('"steps": 10, "parameters": 100 if arm == "small" else 200', "", "gives no parameters and no steps"),
        ('"loss": 0.1 * seed', '"loss": float("nan") + 0.1 * seed', "loss is nan"),
        ('"loss"', '"seconds"', "seconds is the recorder's own name"),
    ],
)
def test_unusable_metrics_are_refused(tiny, old, new, said):
    (tiny / "arms.py").write_text(EXPERIMENT.replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError, match=said):
        recorder.run("tiny.arms", tiny / "recorded")


def test_the_table_is_labelled_as_recorded_in_both_languages(made, capsys):
    recorded("tiny.arms", made / "recorded").table(["loss", "parameters"], digits=2)
    english, chinese, head, small, large = capsys.readouterr().out.strip().splitlines()
    assert "Recorded, not run in this notebook" in english
    assert "预先记录，未在本笔记本中运行" in chinese
    assert head.split() == ["arm", "loss", "parameters"]
    assert small.split() == ["small", "1.20", "±", "0.16", "100"]
    assert large.split() == ["large", "0.20", "±", "0.16", "200"]


@pytest.mark.parametrize("path", sorted(recorder.FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_what_the_book_has_recorded_fits_its_experiment(path):
    assert recorded(path.stem).rows
