"""An evaluation at the terminal: a table for each view, and what came of the comparisons."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console

from training.evaluation.answer import resampled
from training.evaluation.likeness import in_words

Answer = Mapping[str, Any]
Row = Mapping[str, Any]

_WITH_INTERVALS = {"hit": "hit", "ndcg": "nDCG"}
_PLAIN = {
    "recall": "recall",
    "map": "MAP",
    "coverage": "coverage",
    "novelty": "novelty",
    "diversity": "diversity",
}
_COLD = {"recall": "recall", "percentile": "rank among all", "in_lists": "share of full lists"}
_TITLES = {
    "any": "every track counts",
    "new": "only tracks that the listener had not heard",
}
_ABSENT = "-"


def show(answer: Answer, terminal: Console) -> None:
    """Print it. The best of ours and of the peers bears a star in each column of accuracy."""
    for view, title in _TITLES.items():
        rows = [row for row in answer["rows"] if row["view"] == view]
        terminal.print(f"\nView {view!r}: {title}")
        for line in _aligned(list(_cells(rows, answer))):
            terminal.print(line)
    if answer["cold"] is not None:
        _show_cold(answer, terminal)
    terminal.print()
    for line in _lines(answer):
        terminal.print(line)


def _show_cold(answer: Answer, terminal: Console) -> None:
    cold = answer["cold"]
    terminal.print(
        f"\nCold: {cold['tracks']:,} of {cold['all']:,} tracks, held out of all plays before "
        f"{answer['cutoffs'][-1][:10]}; lists of these alone, and how they do among all"
    )
    cells = [["", *(_WITH_INTERVALS | _COLD).values()]]
    for row in cold["rows"]:
        accuracy = [_interval(row, measure, set()) for measure in _WITH_INTERVALS]
        cells.append([row["model"], *accuracy, *(_number(row, name, set()) for name in _COLD)])
    for line in _aligned(cells):
        terminal.print(line)


def _cells(rows: Sequence[Row], answer: Answer) -> Iterator[list[str]]:
    """A heading, then ours, the peers and the references, with a blank row between."""
    with_oracle = "share_of_oracle" in rows[0]
    headings = [
        *_WITH_INTERVALS.values(),
        *_PLAIN.values(),
        *(["of oracle"] if with_oracle else []),
    ]
    best = _best(rows, answer)
    yield ["", *headings]
    for role in ("ours", "peers", "references"):
        named = [row for row in rows if row["model"] in answer[role]]
        for row in named:
            cells = [row["model"]]
            cells += [_interval(row, measure, best) for measure in _WITH_INTERVALS]
            cells += [_number(row, measure, best) for measure in _PLAIN]
            yield cells + ([_share(row["share_of_oracle"])] if with_oracle else [])
        if named and role != "references":
            yield [""] * (len(headings) + 1)


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    # Not a table of Rich's: that one cuts columns short where the terminal is narrow.
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        numbers = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        yield "  ".join([name.ljust(widths[0]), *numbers]).rstrip()


def _best(rows: Sequence[Row], answer: Answer) -> set[tuple[str, str]]:
    """Names and measures of accuracy in which they lead; references do not compete."""
    found = set()
    for measure in (*_WITH_INTERVALS, "recall", "map"):
        known = [
            row
            for row in rows
            if row["model"] not in answer["references"] and row[measure] is not None
        ]
        highest = max((row[measure] for row in known), default=None)
        found |= {(row["model"], measure) for row in known if row[measure] == highest}
    return found


def _number(row: Row, measure: str, best: set[tuple[str, str]]) -> str:
    if row[measure] is None:
        return _ABSENT
    digits = 2 if measure == "novelty" else 3
    star = "*" if (row["model"], measure) in best else ""
    return f"{row[measure]:.{digits}f}{star}"


def _interval(row: Row, measure: str, best: set[tuple[str, str]]) -> str:
    if row[measure] is None:
        return _ABSENT
    bounds = f"{_short(row[f'{measure}_low'])} {_short(row[f'{measure}_high'])}"
    return f"{_number(row, measure, best)} [{bounds}]"


def _short(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


def _share(value: float | None) -> str:
    return _ABSENT if value is None else f"{value:.0%}"


def _lines(answer: Answer) -> Iterator[str]:
    row = next(row for row in answer["rows"] if row["view"] == "any")
    yield (
        f"{row['evaluations']:,} evaluations of {row['users']:,} listeners at "
        f"{_moments(answer['cutoffs'])}; k = {answer['k']}; 95 % intervals resample "
        f"{resampled(answer)}."
    )
    words = {"better": "beats", "worse": "falls short of", "open": "is not told apart from"}
    for found in answer["best_peers"]:
        if found["metric"] == "ndcg":
            yield (
                f"{found['model']} {words[found['verdict']]} the best peer, {found['peer']}, in "
                f"nDCG of view {found['view']!r}: {_signed(found['mean'])} "
                f"[{_signed(found['low'])}, {_signed(found['high'])}]"
            )
    for found in answer["best_sources"]:
        yield (
            f"the hybrid's best single source in view {found['view']!r} is {found['source']}: nDCG "
            f"{_short(found['ndcg'])}; the hybrid {_signed(found['mean'])} "
            f"[{_signed(found['low'])}, {_signed(found['high'])}]"
        )
    for cutoff, failures in answer["tuning"].get("failures", {}).items():
        for peer, reason in failures.items():
            yield f"{peer} gave no lists at {cutoff}: {reason}"
    yield from map(in_words, answer["likeness"])
    if answer["leaks"] is not None:
        found = ", ".join(answer["leaks"]) or "no list changes"
        yield f"With garbage for everything after the last cut-off: {found}."


def _moments(cutoffs: Sequence[str]) -> str:
    days = [cutoff[:10] for cutoff in cutoffs]
    return days[0] if len(days) == 1 else f"{len(days)} cut-offs, {days[0]} to {days[-1]}"


def _signed(value: float | None) -> str:
    return _ABSENT if value is None else f"{value:+.4f}"
