"""Experiments too long for a notebook: run once over five seeds, stored with their circumstances, read back guarded.

An experiment is a module `lib/experiments/NAME.py` with `ARMS: tuple[str, ...]` and `run(arm, seed) -> dict` of finite
numbers, "steps" and "parameters" among them. `python -m lib.evidence run NAME` writes `chapters/recorded/NAME.json`.
"""

import argparse
import ast
import hashlib
import html
import importlib
import json
import os
import platform
import statistics
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display
from tqdm import tqdm

FOLDER = Path(__file__).resolve().parents[1] / "chapters" / "recorded"
SEEDS = (0, 1, 2, 3, 4)


class EvidenceError(Exception):
    """A live result has left the range in which its claim holds."""


def spread(values: list[float]) -> float:
    """Give the sample standard deviation; of a single value, 0.

    Example:
        >>> spread([1.0, 2.0, 3.0])
        1.0
    """
    return statistics.stdev(values) if len(values) > 1 else 0.0


def run(name: str, folder: Path = FOLDER) -> Path:
    """Run every arm of an experiment over five seeds and store the rows in `folder`.

    Each finished row is kept at once in NAME.partial: when the run is interrupted, the next one goes on behind the
    last finished row. A partial file of other source, versions or processor is begun anew.

    Args:
        name: a module of `lib.experiments`, or a dotted name, imported as it is.
        folder: where NAME.json goes.

    Returns:
        The path of NAME.json.

    Raises:
        ValueError: when `run(arm, seed)` gives no "steps" or "parameters", or a metric that is not a finite number.
    """
    experiment = importlib.import_module(_module(name))
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{_stem(name)}.partial"
    circumstances = {
        "name": name,
        "source": source_hash(name),
        "arms": list(experiment.ARMS),
        "seeds": list(SEEDS),
        "versions": {"python": platform.python_version(), "numpy": version("numpy"), "torch": version("torch")},
        "processor": _processor(),
    }
    rows = _resume(partial, circumstances)
    done = {(row["arm"], row["seed"]) for row in rows}
    wanted = [(arm, seed) for arm in experiment.ARMS for seed in SEEDS]
    for arm, seed in tqdm([one for one in wanted if one not in done], desc=name, unit="run"):
        rows.append(_row(experiment, arm, seed))
        with partial.open("a", encoding="utf-8") as file:
            file.write(json.dumps(rows[-1]) + "\n")
            file.flush()
            os.fsync(file.fileno())
    rows.sort(key=lambda row: wanted.index((row["arm"], row["seed"])))
    target = partial.with_suffix(".json")
    unfinished = partial.with_suffix(".json.unfinished")
    unfinished.write_text(_readable(circumstances, rows), encoding="utf-8")
    unfinished.replace(target)
    partial.unlink()
    return target


def recorded(name: str, folder: Path = FOLDER) -> "Recorded":
    """Read what `python -m lib.evidence run NAME` has stored, and refuse it when it no longer fits its experiment.

    Raises:
        FileNotFoundError: when nothing is recorded under this name.
        ValueError: when the experiment's source has changed since, or an arm has not all its seeds.
    """
    again = f"python -m lib.evidence run {name}"
    path = folder / f"{_stem(name)}.json"
    if not path.exists():
        raise FileNotFoundError(f"nothing is recorded for {name!r}: {again}")
    stored = json.loads(path.read_text(encoding="utf-8"))
    if stored["source"] != source_hash(name):
        raise ValueError(f"the source of {name!r} has changed since {path.name} was recorded: {again}")
    for arm in stored["arms"]:
        found = sorted(row["seed"] for row in stored["rows"] if row["arm"] == arm)
        if found != list(SEEDS):
            raise ValueError(f"{path.name}: arm {arm!r} has the seeds {found}, not {list(SEEDS)}: {again}")
    return Recorded(stored)


class Recorded:
    """The rows of a recorded experiment.

    Attributes:
        rows: a dict for each arm and seed: arm, seed, seconds, and the experiment's metrics.
    """

    def __init__(self, stored: dict):
        self._stored = stored
        self.rows: list[dict] = stored["rows"]

    def values(self, arm: str, metric: str) -> list[float]:
        """Give a metric of an arm, one value per seed; ValueError names what there is."""
        rows = [row for row in self.rows if row["arm"] == arm]
        if not rows:
            raise ValueError(f"no arm {arm!r}; there are {', '.join(self._stored['arms'])}")
        if metric not in rows[0]:
            raise ValueError(f"no metric {metric!r}; there are {', '.join(rows[0])}")
        return [row[metric] for row in rows]

    def check(self, arm: str, metric: str, live: float) -> None:
        """Refuse a live value outside the recorded range, widened on both sides by six times the spread.

        Five values say little about their spread: one more of the same kind, drawn from a normal distribution, leaves
        their range widened by a single spread once in 9 times, by three spreads once in 50, by six once in 360. The
        book has some 25 such checks; with three, every second run with another seed would stop at one of them.

        Raises:
            EvidenceError: when it lies outside, or is no number.
        """
        values = self.values(arm, metric)
        low, high = min(values) - 6 * spread(values), max(values) + 6 * spread(values)
        if not low <= live <= high:
            raise EvidenceError(
                f"{arm}.{metric}: {live:.6g} lies outside the recorded range {low:.6g} to {high:.6g}"
                f" ({min(values):.6g} to {max(values):.6g}, widened by 6 spreads)"
            )

    def table(self, metrics: list[str], *, digits: int = 3) -> None:
        """Show mean and spread of the metrics, an arm a line, labelled as recorded in both languages."""
        lines = []
        for arm in self._stored["arms"]:
            columns = [self.values(arm, metric) for metric in metrics]
            lines.append([arm, *(_summary(column, digits) for column in columns)])
        made = f"{self._stored['processor']}, torch {self._stored['versions']['torch']}"
        en = f"Recorded, not run in this notebook: mean ± spread over {len(SEEDS)} seeds ({made})"
        zh = f"预先记录，未在本笔记本中运行：{len(SEEDS)} 个随机种子的均值 ± 标准差（{made}）"
        widths = [max(map(len, column)) for column in zip(["arm", *metrics], *lines, strict=True)]
        text = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in (["arm", *metrics], *lines)
        ]
        if not InteractiveShell.initialized():
            print("\n".join([en, zh, *text]))
            return
        bundle = {"text/plain": "\n".join([en, zh, *text]), "text/html": _table_html(en, zh, metrics, lines)}
        display(bundle, raw=True, metadata={"attention_highlights": {"recorded": self._stored["name"]}})


def source_hash(name: str) -> str:
    """Give the SHA-256 of an experiment's source and of that of the siblings it imports.

    Docstrings and empty lines do not count: they explain what was run, and change nothing of it.
    """
    digest = hashlib.sha256()
    for module in _with_imported(_module(name), []):
        digest.update(_without_docstrings(Path(find_spec(module).origin).read_text(encoding="utf-8")).encode())
    return digest.hexdigest()


def _without_docstrings(source: str) -> str:
    """Give the lines of a module without docstrings that have lines of their own, and without empty lines of code."""
    source = source.replace("\r\n", "\n")
    lines, inside = source.split("\n"), set()
    nodes = list(ast.walk(ast.parse(source)))
    for node in nodes:
        if isinstance(node, ast.Constant | ast.JoinedStr):
            inside.update(range(node.lineno, node.end_lineno))  # an empty line in a string is no empty line of code
    for node in nodes:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if ast.get_docstring(node, clean=False) is None:
                continue
            text, first = node.body[0], node.body[0].lineno - 1
            before, after = lines[first][: text.col_offset], lines[text.end_lineno - 1].encode()[text.end_col_offset :]
            if not before.strip() and not after.strip():
                lines[first : text.end_lineno] = [""] * (text.end_lineno - first)
                inside.difference_update(range(first + 1, text.end_lineno))
    return "".join(f"{line}\n" for number, line in enumerate(lines) if line.strip() or number in inside)


def _with_imported(module: str, found: list[str]) -> list[str]:
    """Name a module and those of its package that it imports, directly or not: each once, the module itself first."""
    package, spec = module.rpartition(".")[0], find_spec(module)
    if spec is None:
        raise ValueError(f"there is no experiment {module}")
    found.append(module)
    for node in ast.walk(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            if name.rpartition(".")[0] == package and name not in found and find_spec(name):
                _with_imported(name, found)
    return found


def main() -> None:
    """Run `python -m lib.evidence run NAME [--folder FOLDER]`."""
    parser = argparse.ArgumentParser(prog="python -m lib.evidence")
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("run", help="run every arm of lib/experiments/NAME.py over five seeds and store it")
    command.add_argument("name")
    command.add_argument("--folder", type=Path, default=FOLDER, help="where NAME.json goes")
    chosen = parser.parse_args()
    print(f"wrote {run(chosen.name, chosen.folder).name}")


def _module(name: str) -> str:
    return name if "." in name else f"lib.experiments.{name}"


def _stem(name: str) -> str:
    return name.rpartition(".")[2]


def _resume(partial: Path, circumstances: dict) -> list[dict]:
    """Give the finished rows of a partial file; begin it anew when it is of other circumstances or missing."""
    rows = []
    if partial.exists():
        for line in partial.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:  # killed while writing this line
                break
        if rows and rows[0] == circumstances:
            print(f"{partial.name}: goes on behind {len(rows) - 1} finished rows")
        else:
            print(f"{partial.name}: is of other source, versions or processor; begun anew")
            rows = []
    rows = rows or [circumstances]
    unfinished = partial.with_suffix(".partial.unfinished")
    unfinished.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    unfinished.replace(partial)
    return rows[1:]


def _row(experiment, arm: str, seed: int) -> dict:
    started = time.perf_counter()
    metrics = experiment.run(arm, seed)
    row = {"arm": arm, "seed": seed, "seconds": round(time.perf_counter() - started, 3)}
    if missing := {"steps", "parameters"} - metrics.keys():
        raise ValueError(f"run({arm!r}, {seed}) gives no {' and no '.join(sorted(missing))}")
    if taken := row.keys() & metrics.keys():
        raise ValueError(f"run({arm!r}, {seed}): {', '.join(sorted(taken))} is the recorder's own name")
    for name, value in metrics.items():
        number = value if isinstance(value, int) else float(value)
        if abs(number) == float("inf") or number != number:
            raise ValueError(f"run({arm!r}, {seed}): {name} is {number}")
        row[name] = number
    return row


def _readable(circumstances: dict, rows: list[dict]) -> str:
    """Write JSON with a line a row, so that a diff shows what changed."""
    head = [f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in circumstances.items()]
    lines = ",\n".join(f"  {json.dumps(row)}" for row in rows)
    return "{\n" + ",\n".join(head) + ',\n "rows": [\n' + lines + "\n ]\n}\n"


def _summary(values: list[float], digits: int) -> str:
    if all(isinstance(value, int) for value in values) and len(set(values)) == 1:
        return f"{values[0]:,}"
    return f"{statistics.mean(values):,.{digits}f} ± {spread(values):,.{digits}f}"


def _table_html(en: str, zh: str, metrics: list[str], lines: list[list[str]]) -> str:
    head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in ["arm", *metrics])
    body = "".join(
        f'<tr><th scope="row">{html.escape(arm)}</th>' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
        for arm, *cells in lines
    )
    return (
        f'<div class="recorded"><div lang="en">{html.escape(en)}</div><div lang="zh">{html.escape(zh)}</div>'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _processor() -> str:
    """Name the kind of processor, not the machine."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor()
    return f"{platform.machine()} {model}".strip()
