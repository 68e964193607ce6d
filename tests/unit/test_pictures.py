"""The pictures of the README and of the other documents."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))
# As a Markdown link or image, or as an <img>.
PICTURE = re.compile(r"""(?:\]\(|src=")([^)"]+\.(?:png|svg))""")


def pictures(document: Path) -> set[Path]:
    """The files that the document shows or links to."""
    found = PICTURE.findall(document.read_text(encoding="utf-8"))
    return {(document.parent / path).resolve() for path in found}


def test_every_picture_that_a_document_has_exists() -> None:
    missing = {
        (document.name, picture.name)
        for document in DOCUMENTS
        for picture in pictures(document)
        if not picture.is_file()
    }
    assert missing == set()


def test_every_picture_is_in_a_document() -> None:
    shown = set().union(*map(pictures, DOCUMENTS))
    assert set((ROOT / "docs" / "pictures").iterdir()) - shown == set()
