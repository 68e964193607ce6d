"""The pictures, each from the plain answer of an evaluation. All are as wide as a phone is."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure

from training.evaluation.report.style import GRID, INK, MARKERS, MUTED, PEER, colour
from training.protocol.lists import VIEWS

Answer = Mapping[str, Any]
Row = Mapping[str, Any]

WIDTH = 5.4
_ROW = 0.23
_LABELS = {"ndcg": "nDCG", "hit": "hit rate", "recall": "recall", "map": "MAP"}
_SHOWN = ("ndcg", "hit")


@dataclass(frozen=True)
class Picture:
    """A figure, the name of its file, and what it shows, in words."""

    name: str
    caption: str
    figure: Figure


def pictures(answer: Answer) -> Iterator[tuple[str, list[Picture]]]:
    """Section by section; what the answer has nothing about is left out."""
    drawn: dict[str, Callable[[Answer, str], Picture | None]] = {
        "How good the lists are": _standings,
        "Against the best peer": _best_peers,
        "By how much a listener had played": _activity,
        "By kind of listener": _kinds,
        "Popularity": _popularity,
        "Diversity against accuracy": _tradeoff,
    }
    for title, draw in drawn.items():
        found = [picture for view in VIEWS if (picture := draw(answer, view))]
        if found:
            yield title, found
    if losses := [_curve(name, curve) for name, curve in answer["curves"].items()]:
        yield "Training at the last cut-off", losses
    if answer["data"].get("sessions"):
        yield "The data", [_sessions(answer)]


def _standings(answer: Answer, view: str) -> Picture:
    rows = sorted(_of(answer["rows"], view), key=lambda row: row["ndcg"] or 0)
    figure = _figure(1.0 + _ROW * len(rows))
    left, right = figure.subplots(1, 2, sharey=True)
    for axis, measure in zip((left, right), _SHOWN, strict=True):
        for place, row in enumerate(rows):
            _dot(axis, row, measure, place, answer)
        axis.locator_params(axis="x", nbins=4)
        axis.set(title=f"{_LABELS[measure]}@{answer['k']}", xlim=(0, None), ylim=(-0.7, None))
        axis.grid(axis="x")
    _names(left, [row["model"] for row in rows], answer)
    return Picture(
        f"standings-{view}",
        f"{_view(view)} Means over all evaluations, with 95 % intervals. Ours are coloured; peers "
        "and, paler, the bounds are grey.",
        figure,
    )


def _best_peers(answer: Answer, view: str) -> Picture | None:
    found = _of(answer["best_peers"], view)
    if not found:
        return None
    models = list(reversed(answer["ours"]))
    figure = _figure(1.15 + 0.3 * len(models))
    left, right = figure.subplots(1, 2, sharey=True)
    for axis, measure in zip((left, right), _SHOWN, strict=True):
        rows = {row["model"]: row for row in found if row["metric"] == measure}
        for place, name in enumerate(models):
            if name in rows:
                _dot(axis, rows[name], "mean", place, answer, low="low", high="high")
        peer = next((row["peer"] for row in rows.values()), "")
        axis.axvline(0, color=INK, linewidth=0.8)
        axis.set(title=f"{_LABELS[measure]} less that of\n{peer}", ylim=(-0.7, len(models) - 0.3))
        axis.grid(axis="x")
        axis.locator_params(axis="x", nbins=5)
    _names(left, models, answer)
    return Picture(
        f"best-peer-{view}",
        f"{_view(view)} The difference to the peer that is best in that measure, in the same "
        "evaluations. Where the whole interval is right of 0, ours is better.",
        figure,
    )


def _activity(answer: Answer, view: str) -> Picture:
    picture = _groups(answer, view, answer["by_activity"], "plays")
    caption = f"{_view(view)} Hit rate by the number of plays before the cut-off, in quarters."
    return Picture(f"activity-{view}", caption, picture)


def _kinds(answer: Answer, view: str) -> Picture:
    picture = _groups(answer, view, answer["by_kind"], "kind")
    caption = (
        f"{_view(view)} Hit rate by kind. Chart: at least 80 % of the plays are of the 100 most "
        "played tracks. Genre: the entropy of the genres played is at most 0.7 of that of all "
        "plays. Few plays: less than 20."
    )
    return Picture(f"kinds-{view}", caption, picture)


def _groups(answer: Answer, view: str, rows: Sequence[Row], key: str) -> Figure:
    """Hit rates of ours and the best peer, group by group, side by side."""
    names = [*answer["ours"], *_best_names(answer, view, "hit")]
    groups = list(dict.fromkeys(row[key] for row in rows))
    sizes = {row[key]: row["evaluations"] for row in _of(rows, view)}
    figure = _figure(2.6)
    axis = figure.subplots()
    for number, name in enumerate(names):
        own = {row[key]: row for row in _of(rows, view) if row["model"] == name}
        shift = (number - (len(names) - 1) / 2) * min(0.14, 0.7 / len(names))
        shown = [(place, own[group]) for place, group in enumerate(groups) if group in own]
        known = [(place, row) for place, row in shown if row["hit"] is not None]
        axis.errorbar(
            [place + shift for place, _ in known],
            [row["hit"] for _, row in known],
            yerr=np.array([_error(row, "hit") for _, row in known]).reshape(-1, 2).T,
            fmt=_marker(name, answer),
            color=colour(name, answer["ours"], answer["references"]),
            markersize=4.5,
            linewidth=1.1,
            label=name,
        )
    axis.set_xticks(range(len(groups)), [f"{group}\n({sizes.get(group, 0):,})" for group in groups])
    axis.set(ylim=(0, None), ylabel="hit rate", xlim=(-0.6, len(groups) - 0.4))
    axis.grid(axis="y")
    _legend(figure, axis)
    return figure


def _popularity(answer: Answer, view: str) -> Picture:
    rows = [row for row in _of(answer["rows"], view) if row["popularity"] is not None]
    rows.sort(key=lambda row: row["popularity"])
    figure = _figure(1.0 + _ROW * len(rows))
    axis = figure.subplots()
    for played in _of(answer["played"], view):
        if played["popularity"] is not None:
            axis.axvspan(
                played["popularity_low"], played["popularity_high"], color=GRID, linewidth=0
            )
            axis.axvline(played["popularity"], color=INK, linewidth=1)
            axis.annotate(
                "really played",
                (played["popularity"], 1),
                (3, 1),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                fontsize=8,
                va="bottom",
            )
    for place, row in enumerate(rows):
        _dot(axis, row, "popularity", place, answer)
    axis.set(xlim=(0, 1), ylim=(-0.7, None), xlabel="share of plays that went to lesser tracks")
    axis.grid(axis="x")
    _names(axis, [row["model"] for row in rows], answer)
    return Picture(
        f"popularity-{view}",
        f"{_view(view)} How popular the recommended tracks are: the share of all plays that went "
        "to tracks played less, 1/2 for the average play. What is far right of the line that "
        "marks what these listeners then played follows the crowd more than they do.",
        figure,
    )


def _tradeoff(answer: Answer, view: str) -> Picture | None:
    rows = [row for row in _of(answer["tradeoff"], view) if row["ild"] is not None]
    if not rows:
        return None
    figure = _figure(2.8)
    axis = figure.subplots()
    for name in answer["ours"]:
        line = [row for row in rows if row["model"] == name]
        shade = colour(name, answer["ours"], ())
        ilds, ndcgs = [row["ild"] for row in line], [row["ndcg"] for row in line]
        axis.plot(ilds, ndcgs, f"-{_marker(name, answer)}", color=shade, markersize=4, label=name)
        for row in line[:1] + line[-1:]:
            at = (row["ild"], row["ndcg"])
            axis.annotate(
                f"{row['diversity']:g}", at, (4, 4), textcoords="offset points", fontsize=7.5
            )
    axis.set(xlabel="intra-list diversity", ylabel=f"nDCG@{answer['k']}", ylim=(0, None))
    axis.margins(x=0.1)
    axis.grid()
    _legend(figure, axis)
    caption = (
        f"{_view(view)} What is lost and won as the field `diversity` goes from 0 to 1, at the "
        "last cut-off alone."
    )
    return Picture(f"tradeoff-{view}", caption, figure)


def _curve(name: str, curve: Mapping[str, Any]) -> Picture:
    figure = _figure(2.3)
    axis = figure.subplots()
    epochs = range(1, len(curve["train"]) + 1)
    axis.plot(epochs, curve["train"], color=PEER, label="training")
    axis.plot(epochs, curve["validation"], color=INK, label="validation")
    axis.axvline(curve["kept"] + 1, color=MUTED, linewidth=0.8, linestyle=":", label="kept")
    axis.set(xlabel="epoch", ylabel="loss")
    axis.grid(axis="y")
    _legend(figure, axis)
    return Picture(f"losses-{name}", f"Losses of {name} by epoch.", figure)


def _sessions(answer: Answer) -> Picture:
    days = np.array(list(answer["data"]["sessions"]), "datetime64[D]")
    counts = np.array(list(answer["data"]["sessions"].values()))
    figure = _figure(2.2)
    axis = figure.subplots()
    axis.fill_between(days, counts, color=GRID, linewidth=0)
    axis.plot(days, counts, color=MUTED, linewidth=0.8)
    for cutoff in answer["cutoffs"]:
        at = date2num(np.datetime64(cutoff[:10]))  # type: ignore[no-untyped-call]
        axis.axvline(at, color=INK, linewidth=0.6, linestyle=":")
    axis.set(ylim=(0, None), ylabel="sessions a day")
    locator = AutoDateLocator(maxticks=7)  # type: ignore[no-untyped-call]
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axis.grid(axis="y")
    return Picture("sessions", "Sessions by day; dotted lines are the cut-offs.", figure)


def _figure(height: float) -> Figure:
    return Figure(figsize=(WIDTH, height), layout="constrained")


def _dot(
    axis: Axes,
    row: Row,
    measure: str,
    place: float,
    answer: Answer,
    low: str = "",
    high: str = "",
) -> None:
    if row[measure] is None:
        return
    name = row["model"]
    bounds = [row[low or f"{measure}_low"], row[high or f"{measure}_high"]]
    shade = colour(name, answer["ours"], answer["references"])
    weight = 1.8 if name in answer["ours"] else 1
    axis.plot(bounds, [place, place], color=shade, linewidth=weight, solid_capstyle="butt")
    axis.plot(row[measure], place, _marker(name, answer), color=shade, markersize=4 + weight)


def _marker(name: str, answer: Answer) -> str:
    ours = list(answer["ours"])
    return MARKERS[ours.index(name) % len(MARKERS)] if name in ours else "."


def _names(axis: Axes, names: Sequence[str], answer: Answer) -> None:
    axis.set_yticks(range(len(names)), names)
    for label, name in zip(axis.get_yticklabels(), names, strict=True):
        label.set_color(INK if name in answer["ours"] else MUTED)
        label.set_fontweight("bold" if name in answer["ours"] else "normal")


def _legend(figure: Figure, axis: Axes) -> None:
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=4, handlelength=1.2)


def _of(rows: Sequence[Row], view: str) -> list[Row]:
    return [row for row in rows if row["view"] == view]


def _best_names(answer: Answer, view: str, metric: str) -> list[str]:
    found = (row for row in _of(answer["best_peers"], view) if row["metric"] == metric)
    return list(dict.fromkeys(row["peer"] for row in found))


def _error(row: Row, measure: str) -> tuple[float, float]:
    mean = row[measure]
    return max(mean - row[f"{measure}_low"], 0), max(row[f"{measure}_high"] - mean, 0)


def _view(view: str) -> str:
    return {"any": "Every track counts.", "new": "Only tracks not heard before."}[view]
