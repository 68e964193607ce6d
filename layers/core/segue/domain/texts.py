"""Many texts in one array of bytes, which can be mapped instead of read."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segue.domain.insertion import Insertion


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts by number, an empty one standing for one that is missing.

    content: (bytes,) uint8, UTF-8, a line for each text. starts: (texts + 1,) int32, where each
    line begins, and at last where the content ends.
    """

    content: NDArray[np.uint8]
    starts: NDArray[np.int32]

    @classmethod
    def of(cls, texts: Iterable[str | None]) -> "Texts":
        """Pack the texts; a line break within one becomes a blank."""
        lines = [f"{(text or '').replace(chr(10), ' ')}\n".encode() for text in texts]
        starts = np.zeros(len(lines) + 1, np.int32)
        np.cumsum([len(line) for line in lines], out=starts[1:])
        return cls(np.frombuffer(b"".join(lines), np.uint8), starts)

    def inserted(self, insertion: Insertion, new: "Texts") -> "Texts":
        """These and new ones between them."""
        starts, content = insertion.ragged(self.starts, self.content, new.starts, new.content)
        return Texts(content, starts)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __iter__(self) -> Iterator[str]:
        return iter(self.content.tobytes().decode().split("\n")[:-1])

    def __getitem__(self, number: int) -> str | None:
        start, end = self.starts[number], self.starts[number + 1] - 1
        return self.content[start:end].tobytes().decode() or None

    def casefolded(self) -> list[str]:
        """Every text, upper case made lower; where there are many, it takes a while."""
        return self.content.tobytes().decode().casefold().split("\n")[:-1]
