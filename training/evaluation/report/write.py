"""Puts the report into a folder: one page that needs nothing else, and every picture as a file."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

from training.evaluation.report.figures import Picture, pictures
from training.evaluation.report.page import Section, render
from training.evaluation.report.style import SETTINGS

PAGE = "index.html"


def write_report(answer: Mapping[str, Any], folder: Path) -> Path:
    """Write the page and its pictures, .svg and .png; answers the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    sections = []
    with mpl.rc_context(SETTINGS):  # type: ignore[arg-type]
        for title, found in pictures(answer):
            drawn = [(_write(picture, folder), picture.caption) for picture in found]
            sections.append(Section(title, drawn))
    page = folder / PAGE
    page.write_text(render(answer, sections), encoding="utf-8")
    return page


def _write(picture: Picture, folder: Path) -> str:
    """The picture as SVG text."""
    text = io.StringIO()
    # The ids within a picture follow from its name: the same on every run, and others' in no page.
    with mpl.rc_context({"svg.hashsalt": picture.name}):
        picture.figure.savefig(text, format="svg", metadata={"Date": None})
    (folder / f"{picture.name}.svg").write_text(text.getvalue(), encoding="utf-8")
    picture.figure.savefig(folder / f"{picture.name}.png", dpi=160)
    return text.getvalue()
