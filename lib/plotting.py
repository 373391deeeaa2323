"""Figures that a phone can show: one style, eight colours that everyone can tell apart, and a heat map of weights."""

import matplotlib.pyplot as plt
from cycler import cycler
from IPython.core.interactiveshell import InteractiveShell
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

# Okabe and Ito (2008), Color Universal Design, https://jfly.uni-koeln.de/color/
COLORS = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "red": "#D55E00",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "yellow": "#F0E442",
    "black": "#000000",
}


def style() -> None:
    """Set the book's look: white, 4.8 inches wide, letters of 11 points, twice the pixels of an ordinary screen."""
    plt.rcParams.update(
        {
            "figure.figsize": (4.8, 3.2),
            "figure.dpi": 100,
            "figure.facecolor": "white",
            "savefig.facecolor": "white",
            "figure.constrained_layout.use": True,
            "font.size": 11,
            "axes.titlesize": 11,
            "axes.labelsize": 11,
            "xtick.labelsize": 11,
            "ytick.labelsize": 11,
            "legend.fontsize": 11,
            "legend.frameon": False,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": cycler(color=list(COLORS.values())),
            "lines.linewidth": 2,
        }
    )
    if InteractiveShell.initialized():
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("retina", bbox_inches=None)  # the width on the page is the width asked for


def heatmap(axis: Axes, weights, *, rows, columns) -> AxesImage:
    """Draw attention weights between 0 and 1: a row a query, a column a key, the darker the more.

    Args:
        axis: where to draw.
        weights: (T, S), each in [0, 1].
        rows: T labels, of the queries.
        columns: S labels, of the keys.

    Returns:
        The image, for a colour bar. Up to 8 columns each cell shows its number.

    Raises:
        ValueError: when the labels do not match the weights, by their numbers.

    Example:
        >>> figure, axis = plt.subplots()
        >>> image = heatmap(axis, [[0.2, 0.8]], rows=["it"], columns=["cat", "mat"])
        >>> [text.get_text() for text in axis.texts]
        ['0.20', '0.80']
        >>> plt.close(figure)
    """
    if (len(rows), len(columns)) != (len(weights), len(weights[0])):
        raise ValueError(
            f"{len(rows)} row and {len(columns)} column labels for weights of {len(weights)} x {len(weights[0])}"
        )
    image = axis.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axis.set_xticks(range(len(columns)), columns)
    axis.set_yticks(range(len(rows)), rows)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    if len(columns) <= 8:
        for row, line in enumerate(weights):
            for column, weight in enumerate(line):
                colour = "white" if weight > 0.55 else "black"
                axis.text(column, row, f"{weight:.2f}", ha="center", va="center", color=colour)
    return image
