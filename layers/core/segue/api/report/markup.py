"""Pieces of HTML that the report's page is put together from. What they are given is HTML."""

from collections.abc import Mapping, Sequence


def section(title: str, note: str, *content: str, wide: bool = False) -> str:
    """A part of the page with its heading and a line under it."""
    css = ' class="wide"' if wide else ""
    return f"<section{css}><h2>{title}</h2><p>{note}</p>{''.join(content)}</section>"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table, which scrolls by itself where it is wider than its place."""
    head = "".join(f'<th scope="col">{it}</th>' for it in heads)
    body = "".join(f"<tr>{''.join(f'<td>{it}</td>' for it in row)}</tr>" for row in rows)
    filled = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    # Focusable, so that it can be scrolled by keyboard, too.
    return f'<div class="scroll" tabindex="0">{filled}</div>'


def facts(values: Mapping[str, str]) -> str:
    """Names and values beside each other."""
    pairs = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in values.items())
    return f'<dl class="facts">{pairs}</dl>'


def document(title: str, style: str, body: str) -> str:
    """A whole page that needs nothing from anywhere else."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{style}</style></head>"
        f"<body><main>{body}</main></body></html>"
    )
