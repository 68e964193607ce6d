"""The page, written into a folder together with its pictures.

It needs nothing from any other address, and is for light and dark screens, phones and desks.
"""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import matplotlib as mpl

from training.evaluation.answer import resampled
from training.evaluation.likeness import in_words
from training.evaluation.report.figures import Picture, pictures
from training.evaluation.report.style import SETTINGS, themed, variables
from training.protocol.lists import VIEWS

Answer = Mapping[str, Any]
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Section:
    """A heading, and pictures with their captions; a picture is the text of an SVG."""

    title: str
    pictures: Sequence[tuple[str, str]]


_COLUMNS = {
    "hit": "hit",
    "ndcg": "nDCG",
    "recall": "recall",
    "map": "MAP",
    "coverage": "coverage",
    "novelty": "novelty (bits)",
    "diversity": "diversity",
    "popularity": "popularity",
    "gini": "Gini",
}
_ABSENT = "-"
_WHAT_NDCG_IS = (
    "nDCG says how many of the tracks that were then played stand in the list, and how high: from "
    "0 to 1."
)
_WHERE = {
    "any": "Where every track counts",
    "new": "Where only tracks not heard before count",
}
_TITLES = {"any": "Every track counts", "new": "Only tracks not heard before"}

_STYLE = """
:root{color-scheme:light dark;%(light)s}
@media(prefers-color-scheme:dark){:root{%(dark)s}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
 font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:76rem;margin:0 auto;padding:1.5rem 1rem 4rem}
h1{font-size:1.7rem;line-height:1.2;margin:.5rem 0}
h2{font-size:1.15rem;margin:2.5rem 0 .5rem;border-top:1px solid var(--grid);padding-top:1.2rem}
h3{font-size:1rem;margin:1.2rem 0 .3rem}
p{max-width:45rem}
.muted,figcaption{color:var(--muted)}
.pictures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%%,26rem),1fr));
 gap:1.5rem;align-items:start}
figure{margin:0}
figure svg{width:100%%;height:auto;display:block;max-width:36rem}
figcaption{font-size:.85rem;max-width:36rem}
.lead{font-size:1.1rem}
.unseen{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%%)}
/* Shades at the sides, wherever there is more to scroll to. */
.scroll{overflow-x:auto;background:
 linear-gradient(to right,var(--paper) 60%%,transparent) 0 0/2.5rem 100%% no-repeat local,
 linear-gradient(to left,var(--paper) 60%%,transparent) 100%% 0/2.5rem 100%% no-repeat local,
 linear-gradient(to right,var(--grid),transparent) 0 0/1rem 100%% no-repeat scroll,
 linear-gradient(to left,var(--grid),transparent) 100%% 0/1rem 100%% no-repeat scroll}
:focus-visible{outline:2px solid var(--own0);outline-offset:2px}
table{border-collapse:collapse;font-size:.85rem;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .5rem;text-align:right;white-space:nowrap;
 vertical-align:baseline;border-bottom:1px solid var(--grid)}
thead th{font-weight:600;color:var(--muted)}
th:first-child{text-align:left;position:sticky;left:0;background:var(--paper)}
tbody th{font-weight:400}
tr.ours :is(th,td){font-weight:600}
tr.references :is(th,td){color:var(--muted)}
td.best{text-decoration:underline;text-underline-offset:.2em}
td small{display:block;font-weight:400;color:var(--muted)}
@media(max-width:40rem){th:first-child{white-space:normal;min-width:7rem}}
pre{overflow-x:auto;font-size:.8rem}
"""


def write_report(answer: Answer, folder: Path) -> Path:
    """Write the page, and every picture as .svg and .png; answers the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    sections = []
    with mpl.rc_context(SETTINGS):  # type: ignore[arg-type]
        for title, found in pictures(answer):
            drawn = [(_write(picture, folder), picture.caption) for picture in found]
            sections.append(Section(title, drawn))
    page = folder / "index.html"
    page.write_text(_render(answer, sections), encoding="utf-8")
    return page


def _write(picture: Picture, folder: Path) -> str:
    """Writes both files of the picture; answers its SVG."""
    text = io.StringIO()
    # Ids within a picture follow from its name, so that they are the same on every run, and no
    # two pictures of a page share one.
    with mpl.rc_context({"svg.hashsalt": picture.name}):
        picture.figure.savefig(text, format="svg", metadata={"Date": None})
    (folder / f"{picture.name}.svg").write_text(text.getvalue(), encoding="utf-8")
    picture.figure.savefig(folder / f"{picture.name}.png", dpi=160)
    return text.getvalue()


def _render(answer: Answer, sections: Sequence[Section]) -> str:
    style = _STYLE % {"light": variables(dark=False), "dark": variables(dark=True)}
    body = "\n".join(_body(answer, sections))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f"<title>Evaluation</title>\n<style>{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _body(answer: Answer, sections: Sequence[Section]) -> Iterator[str]:
    yield "<h1>How good the recommendations are</h1>"
    for view in VIEWS:
        yield f'<p class="lead">{_conclusion(answer, view)}</p>'
    yield f'<p class="muted">{_WHAT_NDCG_IS} {escape(_what(answer))}</p>'
    yield from _verdicts(answer)
    for section in sections:
        yield f'<h2>{escape(section.title)}</h2>\n<div class="pictures">'
        for svg, caption in section.pictures:
            yield _picture(svg, caption)
        yield "</div>"
    yield from _sources(answer)
    yield from _examples(answer)
    yield from _cold(answer)
    yield "<h2>All figures</h2>"
    yield (
        '<p class="muted">Means with 95 % intervals of a bootstrap that resamples '
        f"{resampled(answer)}. "
        "Coverage and Gini have none: they belong to all lists of a cut-off together. The best of "
        "ours and of the peers is underlined.</p>"
    )
    for view in VIEWS:
        yield f"<h3>{_TITLES[view]}</h3>\n{_table(answer, view)}"
    yield from _details(answer)


def _conclusion(answer: Answer, view: str) -> str:
    """Who won in a view, by how much, and whether that is sure."""
    ndcg = {
        row["model"]: row["ndcg"]
        for row in answer["rows"]
        if row["view"] == view and row["ndcg"] is not None
    }
    ours = [name for name in answer["ours"] if name in ndcg]
    if not ours:
        return f"{_WHERE[view]}, nobody could be judged."
    best = max(ours, key=lambda name: ndcg[name])
    found = [
        row
        for row in answer["best_peers"]
        if (row["model"], row["view"], row["metric"]) == (best, view, "ndcg")
        and row["mean"] is not None
    ]
    if not found:
        return (
            f"{_WHERE[view]}, <b>{escape(best)} is the best of ours</b>, with an nDCG of "
            f"{ndcg[best]:.3f}. There is no peer to compare it with."
        )
    (row,) = found
    return f"{_WHERE[view]}, {_against_peer(row, ndcg[row['peer']])}"


def _against_peer(row: Row, peer_ndcg: float) -> str:
    """How the best of ours does against the best peer; row: see ``answer.best_peer_rows``."""
    ours, peer, more = escape(row["model"]), escape(row["peer"]), row["mean"]
    size = f"by {abs(more) / peer_ndcg:.1%}" if peer_ndcg else f"by {abs(more):.4f}"
    if row["verdict"] == "better":
        return (
            f"<b>{ours} wins</b>: it is ahead of the best peer, {peer}, {size} in nDCG. That is "
            f"sure: {_interval(row)} lies above 0."
        )
    if row["verdict"] == "worse":
        return (
            f"<b>{peer} wins</b>: the best of ours, {ours}, is behind it {size} in nDCG. That is "
            f"sure: {_interval(row)} lies below 0."
        )
    place = "ahead of" if more > 0 else "behind"
    return (
        f"<b>nobody wins for sure</b>: {ours} is {place} the best peer, {peer}, {size} in nDCG, "
        f"and that may be chance: {_interval(row)} holds 0."
    )


def _interval(row: Row) -> str:
    return f"the 95 % interval of the difference, {row['low']:+.4f} to {row['high']:+.4f},"


def _what(answer: Answer) -> str:
    data, cutoffs = answer["data"], [cutoff[:10] for cutoff in answer["cutoffs"]]
    when = {1: f"at {cutoffs[0]}"}.get(
        len(cutoffs), f"at {len(cutoffs)} cut-offs from {cutoffs[0]} to {cutoffs[-1]}"
    )
    where = "on the split that the data came with" if answer["split"] == "given" else when
    first = answer["rows"][0]
    return (
        f"{first['evaluations']:,} evaluations of {first['users']:,} listeners {where}: lists of "
        f"{answer['k']}, judged by what was fully played. The data: {data['tracks']:,} tracks, "
        f"{data['listeners']:,} listeners, {data['plays']:,} plays, {data['completed_share']:.0%} "
        f"of them to the end. {_seeds(answer)}."
    )


def _seeds(answer: Answer) -> str:
    first, last = answer["seed"], answer["seed"] + answer["seeds"] - 1
    return (
        f"Seed {first}" if first == last else f"Our models are trained with seeds {first} to {last}"
    )


def _verdicts(answer: Answer) -> Iterator[str]:
    items = [
        _verdict(row, row["model"], f"the best peer, {row['peer']}")
        for row in answer["best_peers"]
        if row["metric"] == "ndcg" and row["mean"] is not None
    ]
    items += [
        _verdict(row, "hybrid", f"its best single source, {row['source']}")
        for row in answer["best_sources"]
    ]
    if items:
        yield f"<ul>{''.join(items)}</ul>"
    if answer["leaks"] is not None:
        found = ", ".join(answer["leaks"])
        told = f"these lists changed: {found}" if found else "no list changed"
        yield f"<p>With garbage for all that came after the last cut-off, {escape(told)}.</p>"


def _verdict(row: Row, ours: str, other: str) -> str:
    words = {"better": "beats", "worse": "falls short of", "open": "cannot be told from"}
    return (
        f"<li><b>{escape(ours)}</b> {words[row['verdict']]} {escape(other)}, in nDCG "
        f"({_TITLES[row['view']].lower()}): {row['mean']:+.4f} "
        f"<small>[{row['low']:+.4f}, {row['high']:+.4f}]</small></li>"
    )


def _picture(svg: str, caption: str) -> str:
    drawing = themed(svg[svg.index("<svg") :])
    label = escape(caption, quote=True)
    drawing = drawing.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
    return f"<figure>{drawing}<figcaption>{escape(caption)}</figcaption></figure>"


def _scrolling(caption: str, headings: Sequence[str], rows: Sequence[str]) -> str:
    """A table that scrolls by itself, by keyboard, too; rows: see ``_row``."""
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in headings)
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="{escape(caption)}"><table>'
        f'<caption class="unseen">{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _row(name: str, cells: str, css: str = "") -> str:
    start = f'<tr class="{css}">' if css else "<tr>"
    return f'{start}<th scope="row">{escape(name)}</th>{cells}</tr>'


def _table(answer: Answer, view: str) -> str:
    rows = [row for row in answer["rows"] if row["view"] == view]
    oracle = "share_of_oracle" in rows[0]
    rivals = [row for row in rows if row["model"] not in answer["references"]]
    lines = []
    for role in ("ours", "peers", "references"):
        for row in (row for row in rows if row["model"] in answer[role]):
            cells = "".join(_cell(row, measure, rivals) for measure in _COLUMNS)
            share = f"<td>{_percent(row['share_of_oracle'])}</td>" if oracle else ""
            lines.append(_row(row["model"], cells + share, role))
    headings = ["model", *_COLUMNS.values(), *(["of the oracle"] if oracle else [])]
    return _scrolling(_TITLES[view], headings, lines)


def _cell(row: Row, measure: str, rivals: Sequence[Row]) -> str:
    value = row[measure]
    if value is None:
        return f"<td>{_ABSENT}</td>"
    digits = 2 if measure == "novelty" else 3
    low, high = row.get(f"{measure}_low"), row.get(f"{measure}_high")
    bounds = "" if low is None else f" <small>{low:.{digits}f} to {high:.{digits}f}</small>"
    competes = measure in ("hit", "ndcg", "recall", "map") and row in rivals
    best = competes and value == max(rival[measure] or 0 for rival in rivals)
    start = '<td class="best">' if best else "<td>"
    return f"{start}{value:.{digits}f}{bounds}</td>"


def _percent(share: float | None) -> str:
    return _ABSENT if share is None else f"{share:.0%}"


def _sources(answer: Answer) -> Iterator[str]:
    """The nDCG of each source of the hybrid alone, in both views; the best are underlined."""
    if not answer["sources"]:
        return
    title = "The sources of the hybrid, each alone"
    yield f"<h2>{title}</h2>"
    yield (
        '<p class="muted">The hybrid mixes these sources. Here each makes the lists by itself, out '
        "of the tracks of which it has a share: nDCG, for the hybrid as its first seed has it. A "
        "mixture that is no better than its best source is not worth its work.</p>"
    )
    of = {view: [row for row in answer["sources"] if row["view"] == view] for view in VIEWS}
    rows = sorted(zip(*of.values(), strict=True), key=lambda row: row[0]["ndcg"] or 0, reverse=True)
    hybrid = {row["view"]: row["hybrid"] for row in answer["best_sources"]}
    cells = "".join(_cell({"ndcg": hybrid.get(view)}, "ndcg", ()) for view in VIEWS)
    lines = [_row("hybrid", cells, "ours")]
    for row in rows:
        cells = "".join(_cell(one, "ndcg", of[one["view"]]) for one in row)
        lines.append(_row(row[0]["source"], cells))
    yield _scrolling(title, ["source", *(_TITLES[view] for view in VIEWS)], lines)


def _examples(answer: Answer) -> Iterator[str]:
    """Lists of neighbours by name, for a person to judge."""
    if not answer["examples"]:
        return
    yield "<h2>What lies near what</h2>"
    for row in answer["likeness"]:
        yield f'<p class="muted">{escape(in_words(row))}</p>'
    yield '<div class="pictures">'
    for example in answer["examples"]:
        nearest = "".join(f"<li>{_track(track)}</li>" for track in example["nearest"])
        yield f"<div><h3>{_track(example['track'])}</h3><ol>{nearest}</ol></div>"
    yield "</div>"


def _track(track: Mapping[str, Any]) -> str:
    artist = f" - {escape(track['artist'])}" if track["artist"] else ""
    genres = f" <small>{escape(', '.join(track['genres']))}</small>" if track["genres"] else ""
    return f"{escape(track['name'])}{artist}{genres}"


def _cold(answer: Answer) -> Iterator[str]:
    cold = answer["cold"]
    if cold is None:
        return
    title = "Tracks that nobody has played"
    yield f"<h2>{title}</h2>"
    yield (
        f'<p class="muted">{cold["tracks"]:,} of {cold["all"]:,} tracks were held out of all plays '
        "before the last cut-off. Accuracy is of lists of these alone; the rank is the share of "
        "all tracks that scored less than one that was then played; the last column is the share "
        "of full lists that these tracks take.</p>"
    )
    columns = {name: _COLUMNS[name] for name in ("hit", "ndcg", "recall")}
    columns |= {"percentile": "rank among all", "in_lists": "share of full lists"}
    lines = [
        _row(row["model"], "".join(_cell(row, measure, ()) for measure in columns))
        for row in cold["rows"]
    ]
    yield _scrolling(title, ["model", *columns.values()], lines)


def _details(answer: Answer) -> Iterator[str]:
    if answer["tuning"]:
        text = escape(json.dumps(answer["tuning"], indent=2))
        summary = "<summary>Settings, and failures</summary>"
        yield "<h2>What the peers chose</h2>"
        yield f"<details>{summary}<pre>{text}</pre></details>"
