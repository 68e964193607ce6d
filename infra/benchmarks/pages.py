"""What a command writes into a page of the documentation, and people write around."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Section:
    """What stands in a page between these two marks."""

    begin: str
    end: str

    def read(self, page: Path) -> str:
        """What the page has of it. Raises ValueError for a page without the marks."""
        return self._parts(page)[1]

    def write(self, page: Path, text: str) -> None:
        """Put the text in its place. Raises as ``read`` does."""
        before, _, after = self._parts(page)
        page.write_text(before + text + after, encoding="utf-8")

    def _parts(self, page: Path) -> tuple[str, str, str]:
        """The page as far as the first mark, between the marks, and from the second one on."""
        text = page.read_text(encoding="utf-8")
        start = text.index(self.begin) + len(self.begin)
        end = text.index(self.end, start)
        return text[:start], text[start:end], text[end:]
