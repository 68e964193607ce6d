"""Pieces of HTML that the report's page is put together from. What they are given is HTML."""

import re
from collections.abc import Mapping, Sequence

EVERY_LOOK, ONE_LOOK = "right at every look", "right for one look"
# Of figures that are asymptotic.
EVERY_LOOK_OF_MANY = "right at every look, with many users"


def section(title: str, note: str, *content: str, looks: str = "", wide: bool = False) -> str:
    """A part of the page: its heading, a line under it, and what it shows.

    ``looks``: one of the texts above, which says how often its figures may be looked at.
    """
    css = ' class="wide"' if wide else ""
    tag = f'<p class="looks">{looks}</p>' if looks else ""
    head = f'<div class="head"><h2>{title}</h2>{tag}</div><p class="note">{note}</p>'
    return f"<section{css}>{head}{''.join(content)}</section>"


def table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table, which scrolls by itself where it is wider than its place.

    The first cell of each row is its heading. The caption is for who cannot see where it stands.
    """
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
        for first, *cells in rows
    )
    # Focusable, so that it can be scrolled by keyboard, too.
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="{_text(caption)}">'
        f'<table><caption class="unseen">{caption}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def facts(values: Mapping[str, str]) -> str:
    """Names and values beside each other."""
    pairs = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in values.items())
    return f'<dl class="facts">{pairs}</dl>'


def link(address: str, text: str, *, current: bool = False) -> str:
    """A link; the current one is that of the page on which it stands."""
    here = ' aria-current="page"' if current else ""
    return f'<a href="{address}"{here}>{text}</a>'


def document(title: str, style: str, body: str) -> str:
    """A whole page that needs nothing from anywhere else."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{style}</style></head>"
        f"<body><main>{body}</main></body></html>"
    )


def _text(html: str) -> str:
    return re.sub("<[^>]*>", "", html)
