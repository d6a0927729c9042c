"""One look for all plots."""

from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pvc.evaluation.curves import CurveKey

INK, FAINT, GRID, WARNING = "#1d2433", "#667085", "#e4e7ec", "#b42318"
_GREYS = (  # codecs without ROI parameter: the reference lines
    *("#98a2b3", "#475467", "#c4b5a0", "#7a6f5d"),
    *("#8fb3b0", "#a58fb0", "#8f9a4f", "#5b7a99"),
)
_COLOURS = ("#0b6bcb", "#e8590c", "#2b8a3e", "#9c36b5", "#c2255c", "#0c8599", "#e0a100", "#5f3dc4")
_GREY_MARKERS, _MARKERS = "sDvXhpd>", "o^P<*>hp"
PAPER_U_ALPHA = 0.2
"""u_alpha of the spatial-control paper's figure 3 (alpha = 26.5)."""

RC = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#98a2b3",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "savefig.dpi": 160,
    "savefig.facecolor": "white",
}


def shown(keys: Iterable[CurveKey]) -> list[CurveKey]:
    """The curves a plot shows: of a codec with more than three u_alphas, those at 1, next to 0.2 and the smallest."""
    keys = list(keys)
    out = []
    for key in keys:
        own = sorted(k.u_alpha for k in keys if k.codec == key.codec and k.u_alpha is not None)
        wanted = {own[0], own[-1], min(own, key=lambda u: abs(u - PAPER_U_ALPHA))} if own else set()
        if len(own) <= 3 or key.u_alpha in wanted:
            out.append(key)
    return out


def looks(keys: Iterable[CurveKey]) -> dict[CurveKey, dict]:
    """Colour, marker and line of each curve, as keyword arguments of ``Axes.plot``."""
    out, grey, colour = {}, 0, 0
    for key in keys:
        if key.u_alpha is None:
            look = {
                "color": _GREYS[grey % len(_GREYS)],
                "marker": _GREY_MARKERS[grey % len(_GREY_MARKERS)],
                "linestyle": ":" if key.published else "--",
            }
            grey += 1
        else:
            look = {
                "color": _COLOURS[colour % len(_COLOURS)],
                "marker": _MARKERS[colour % len(_MARKERS)],
                "linestyle": "-",
            }
            colour += 1
        out[key] = look | {"linewidth": 1.6, "markersize": 4.5}
    return out


def label(key: CurveKey) -> str:
    """The curve's name with the symbol for u_alpha."""
    return key.label.replace("u_alpha ", "$u_\\alpha$ = ")


def legend_below(sheet: Figure, axes: Axes, columns: int = 4) -> None:
    """One legend for the whole figure, under its panels."""
    handles, labels = axes.get_legend_handles_labels()
    sheet.legend(handles, labels, loc="outside lower center", ncols=min(columns, len(labels)))


def figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches, without display or global state."""
    return Figure(figsize=(width, height), layout="constrained")


def new(rows: int, columns: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of ``rows`` by ``columns`` panels, each ``width`` by ``height`` inches."""
    sheet = figure(columns * width, rows * height + 0.5)
    return sheet, list(sheet.subplots(rows, columns, squeeze=False).flat)
