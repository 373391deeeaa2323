"""Pages of the book that are made from its chapters: which chapters there are, and when such a page is made again."""

import re
from pathlib import Path

CHAPTER = re.compile(r"(?:.*/)?(\d\d)_\w+")
MADE = re.compile(r"^```\{(?:claims-table|reference-list)\}|\{chapter\}`", re.M)


def written(env, folder: Path) -> dict[int, Path]:
    """Return the notebooks of the chapters that the book holds, by number."""
    found = {int(match[1]): name for name in env.found_docs if (match := CHAPTER.fullmatch(name))}
    return {number: folder / f"{Path(found[number]).name}.ipynb" for number in sorted(found)}


def _made_again(app, env, _added, _changed, _removed) -> list[str]:
    """A page that lists the chapters is read whenever the book is built: a chapter may have come or gone."""
    return [name for name in env.found_docs if MADE.search(_text(app, name))]


def _text(app, name: str) -> str:
    path = Path(app.srcdir, f"{name}.md")
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def setup(app) -> None:
    """Register the rule."""
    app.connect("env-get-outdated", _made_again)
