"""Build the site: `python -m _ext.build [--output FOLDER]`. Warnings are errors, nothing is executed."""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
STRICT = ("-W", "-n", "--keep-going", "-q")


def build(output: Path = ROOT, *, source: Path = ROOT) -> int:
    """Build what has changed into `output/_build/html` and return the exit status.

    After a failure the next build starts afresh, because Sphinx warns only about pages that it reads again.
    """
    start = "from jupyter_book.cli.main import main; main()"
    command = [sys.executable, "-c", start, "build", str(source), "--path-output", str(output)]
    done = subprocess.run([*command, *STRICT], stdout=subprocess.PIPE, text=True, check=False)  # warnings are on stderr
    if done.returncode:
        print(done.stdout, file=sys.stderr)
        shutil.rmtree(output / "_build" / ".doctrees", ignore_errors=True)
    return done.returncode


def main() -> int:
    """Build from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT, help="folder that gets `_build/html`")
    return build(parser.parse_args().output.resolve())


if __name__ == "__main__":
    sys.exit(main())
