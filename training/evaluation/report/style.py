"""Colours and type: ours stressed, peers muted, told apart without hue as well.

The pictures are drawn in the light colours. On the page each of them is a CSS variable, so that one
picture serves a light and a dark screen.
"""

from collections.abc import Sequence

INK, MUTED, GRID, PAPER = "#1b1f24", "#6b7480", "#e1e5ea", "#ffffff"
# Okabe and Ito's palette, which the colour-blind tell apart, and lighter kin for dark screens.
OURS = ("#0072b2", "#d55e00", "#009e73", "#b0568f", "#8a6d00")
_OURS_DARK = ("#56b4e9", "#f0883e", "#3fc79a", "#e39bc6", "#d9b93b")
MARKERS = ("o", "s", "^", "D", "v")
PEER, REFERENCE = "#87919c", "#b4bcc5"

_NAMED = {
    "ink": (INK, "#e6e9ed"),
    "muted": (MUTED, "#9aa4af"),
    "grid": (GRID, "#2c333b"),
    "paper": (PAPER, "#14181d"),
    "peer": (PEER, "#8b96a2"),
    "reference": (REFERENCE, "#5d6772"),
} | {f"own{n}": pair for n, pair in enumerate(zip(OURS, _OURS_DARK, strict=True))}

SETTINGS = {
    "font.family": "sans-serif",
    "font.size": 9,
    "svg.fonttype": "none",
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8.5,
    "ytick.labelcolor": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "savefig.facecolor": PAPER,
}


def colour(name: str, ours: Sequence[str], references: Sequence[str]) -> str:
    """Of a contender, the same in every picture."""
    if name in ours:
        return OURS[list(ours).index(name) % len(OURS)]
    return REFERENCE if name in references else PEER


def variables(dark: bool) -> str:
    """The colours as CSS variables."""
    return "".join(f"--{name}:{pair[dark]};" for name, pair in _NAMED.items())


def themed(svg: str) -> str:
    """The picture with variables in the place of colours."""
    for name, (light, _) in _NAMED.items():
        svg = svg.replace(light, f"var(--{name})")
    return svg
