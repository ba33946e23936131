"""The operator's wildcard lists: files of words, and what the model knows."""

from __future__ import annotations

from pathlib import Path

from bot import lists
from engine.fake import FAKE_MODEL


def test_a_file_is_a_list_of_its_lines(tmp_path: Path):
    (tmp_path / "Animal.txt").write_bytes("\ufeff# what lives here\r\nfox\r\n\r\n  red owl \n".encode())
    (tmp_path / "notes.md").write_text("not a list")
    assert lists.of_folder(tmp_path) == {"animal": ("fox", "red owl")}


def test_what_cannot_be_read_is_left_out(tmp_path: Path):
    (tmp_path / "broken.txt").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "empty.txt").write_text("# nothing\n")
    assert lists.of_folder(tmp_path) == {} and lists.of_folder(tmp_path / "not there") == {}


def test_what_the_model_knows_is_a_list_too():
    assert lists.of_model(FAKE_MODEL)["thing"] == FAKE_MODEL.words["things"]
    assert set(lists.of_model(FAKE_MODEL)) == {"thing", "place", "style", "colour"}
