"""The repository as a user finds it: pins, commands that exist, clean code, nothing of the machine it was made on."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
MACHINE = re.compile(r"(?:^|[\s\"'(=:])/(?:home|root|tmp|opt|work|Users)/[\w.-]+", re.M)
PIN = re.compile(r"^([A-Za-z0-9_.-]+)==([0-9A-Za-z.]+)(?: ;.*)?$")


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def tracked():
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        return [path for path in ROOT.rglob("*") if path.is_file() and not set(path.parts) & {".venv", "_build"}]
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in names.split("\0") if name and (ROOT / name).is_file()]


def pins(name):
    lines = [line for line in text(name).splitlines() if line.strip() and not line.lstrip().startswith("#")]
    unpinned = [line for line in lines if not PIN.match(line)]
    assert not unpinned, f"{name}: expected name==version on every line, without options or local versions"
    return dict(PIN.match(line).group(1, 2) for line in lines)


def test_the_reading_set_is_a_small_part_of_the_whole_set():
    everything, book = pins("requirements.txt"), pins("requirements-book.txt")
    assert book.items() <= everything.items()
    assert "torch" in everything
    assert not {"torch", "matplotlib", "jupyterlab", "pytest"} & book.keys()


def test_every_direct_dependency_is_pinned():
    project = tomllib.loads(text("pyproject.toml"))["project"]
    wanted = [project["dependencies"], *project["optional-dependencies"].values()]
    names = {re.match(r"[A-Za-z0-9_.-]+", one)[0].lower() for part in wanted for one in part}
    assert names <= {name.lower() for name in pins("requirements.txt")}


@pytest.mark.parametrize("readme", ["README.md", "README.zh.md", "CONTRIBUTING.md"])
def test_every_make_target_named_exists(readme):
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.M))
    named = set(re.findall(r"`make ([a-z-]+)", text(readme)) + re.findall(r"^make ([a-z-]+)", text(readme), re.M))
    assert named
    assert named <= targets


def test_both_readmes_show_the_same_commands():
    def commands(name):
        fenced = "\n".join(re.findall(r"^```\w*\n(.*?)^```", text(name), re.M | re.S))
        return [line.split("#")[0].strip() for line in fenced.splitlines() if line.split("#")[0].strip()]

    assert commands("README.md") == commands("README.zh.md")


@pytest.mark.parametrize("readme", ["README.md", "README.zh.md"])
def test_every_file_that_a_readme_links_to_exists(readme):
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text(readme))
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]


def test_every_chapter_is_in_the_contents_and_the_other_way_round():
    contents = re.findall(r"file: (chapters/\d\d_\w+)", text("_toc.yml"))
    assert contents == sorted(f"chapters/{path.stem}" for path in (ROOT / "chapters").glob("*.ipynb"))


def test_the_version_is_the_same_everywhere():
    cited = yaml.safe_load(text("CITATION.cff"))
    assert cited["version"] == tomllib.loads(text("pyproject.toml"))["project"]["version"]


def test_nothing_names_the_machine_it_was_made_on():
    found = []
    for path in tracked():
        if path.suffix in {".png", ".woff2"} or path.stat().st_size > 2_000_000 or "katex" in path.parts:
            continue
        lines = path.read_text(encoding="utf-8").splitlines()
        found += [f"{path.relative_to(ROOT)}: {line.strip()[:100]}" for line in lines if MACHINE.search(line)]
    assert not found


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=["lint", "format"])
def test_ruff_has_nothing_to_say(command):
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "."], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr


@pytest.mark.skipif("BOOK_OFFLINE" not in os.environ, reason="only where .ci/run has cut the network off")
def test_the_network_is_really_cut_off():
    with pytest.raises(OSError, match="unreachable"), socket.create_connection(("192.0.2.1", 80), timeout=5):
        pass
