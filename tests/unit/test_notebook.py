"""docs/day.ipynb as it is kept: run from beginning to end, without a fault, on any machine.

That it still runs, tests/e2e/test_notebook.py checks.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).parents[2] / "docs/day.ipynb"
# A path from the root: a slash behind which another one follows, and nothing before it.
ABSOLUTE = re.compile(r"""(?:^|[\s"'(=,\[])/[\w.~-]+/""", re.MULTILINE)


def code_cells() -> list[dict[str, Any]]:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def texts(cell: dict[str, Any]) -> Iterator[str]:
    """The cell's code, and what it shows but for pictures."""
    yield "".join(cell["source"])
    for output in cell["outputs"]:
        yield "".join(output.get("text", ()))
        for kind, content in output.get("data", {}).items():
            yield "".join(content) if kind.startswith("text/") else ""


def test_every_cell_was_run_once_in_order() -> None:
    cells = code_cells()
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))


def test_no_cell_shows_a_fault() -> None:
    for cell in code_cells():
        for output in cell["outputs"]:
            assert output["output_type"] in ("stream", "execute_result", "display_data")
            assert output.get("name") != "stderr"
            assert not any(line.startswith("segue: ") for line in output.get("text", ()))


def test_it_says_nothing_of_the_machine_that_it_was_run_on() -> None:
    for cell in code_cells():
        for text in texts(cell):
            assert not ABSOLUTE.search(text), text
        assert cell["metadata"] == {}


def test_it_shows_tables_and_pictures() -> None:
    kinds = [kind for cell in code_cells() for it in cell["outputs"] for kind in it.get("data", ())]
    assert kinds.count("image/png") >= 2
    assert kinds.count("text/html") >= 5
