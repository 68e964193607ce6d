"""What the local stack notes of the data folder that it has imported."""

from pathlib import Path

import pytest

from infra.local.imported import fingerprint, last_import, note_import
from infra.local.journal import StateDamaged


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "state" / "tables").mkdir(parents=True)
    return tmp_path / "state"


def test_nothing_is_noted_before_an_import(state: Path) -> None:
    assert last_import(state) is None


def test_what_is_noted_comes_back(state: Path) -> None:
    for _ in range(2):
        noted = fingerprint(state)
        note_import(state, noted)
        assert last_import(state) == noted


def test_the_note_of_an_earlier_version_is_read(state: Path) -> None:
    (state / "tables" / "imported.json").write_text('{"folder": "data", "files": {}}')
    assert last_import(state) == {"folder": "data", "files": {}}


def test_a_note_of_which_any_byte_is_another_is_damaged(state: Path) -> None:
    """Were it taken for none, the data would come again, and with them whoever was erased."""
    note_import(state, fingerprint(state))
    file = state / "tables" / "imported.json"
    content = file.read_bytes()
    for place in range(len(content)):
        file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(StateDamaged, match=r"imported\.json"):
            last_import(state)


@pytest.mark.parametrize("left", [0, 1, 20])
def test_a_note_that_is_cut_short_is_damaged(state: Path, left: int) -> None:
    note_import(state, fingerprint(state))
    file = state / "tables" / "imported.json"
    file.write_bytes(file.read_bytes()[:left])
    with pytest.raises(StateDamaged, match=r"imported\.json"):
        last_import(state)
