"""Which boards are forgotten: pure marks, and the file that keeps them."""

import json

import pytest

from tinyprof_collector import forgotten as module
from tinyprof_collector.forgotten import Forgotten, ForgottenFailed

A, B = ("lab.pi", "a"), ("lab.pi", "b")


def kept(marks: Forgotten) -> None:
    data = marks.to_write()
    if data is not None:
        marks.write(data)


def test_a_mark_covers_what_was_said_before_it_and_goes_with_a_newer_word(tmp_path):
    marks = Forgotten(tmp_path / "f.json")
    marks.forget(A, 100)
    assert (marks.covers(A, 100), marks.covers(A, 101), marks.covers(B, 1)) == (True, False, False)
    marks.heard(A)
    assert not marks.covers(A, 1)


def test_marks_outlive_their_process_and_the_broker_is_told_again(tmp_path):
    marks = Forgotten(tmp_path / "f.json")
    marks.forget(A, 100)
    marks.forget(B, 200)
    assert marks.take_to_clear() == [A, B]
    assert marks.take_to_clear() == []
    marks.uncleared([B])
    assert marks.take_to_clear() == [B]
    kept(marks)
    again = Forgotten(tmp_path / "f.json")
    assert (again.covers(A, 100), again.covers(B, 200)) == (True, True)
    assert again.take_to_clear() == [A, B]
    again.heard(B)
    kept(again)
    assert len(Forgotten(tmp_path / "f.json")) == 1


def test_the_file_is_written_only_when_something_changed(tmp_path):
    marks = Forgotten(tmp_path / "f.json")
    assert marks.to_write() is None
    marks.heard(A)
    assert marks.to_write() is None
    marks.forget(A, 1)
    assert marks.to_write() is not None
    assert marks.to_write() is None


def test_there_is_a_bound_and_what_hits_it_is_counted(monkeypatch):
    monkeypatch.setattr(module, "MAX_FORGOTTEN", 2)
    marks = Forgotten()
    for number in range(5):
        marks.forget(("lab.pi", f"b{number}"), number)
    assert len(marks) == 2
    assert marks.covers(("lab.pi", "b4"), 1)
    assert marks.counts == {"forgotten_over_bound": 3}


@pytest.mark.parametrize("text", ["", "{}", '[["a"]]', "[1]", "\xff", json.dumps([["a", "b", "x"]])])
def test_a_file_that_is_none_of_ours_is_an_error_and_stays(tmp_path, text):
    path = tmp_path / "f.json"
    path.write_text(text)
    with pytest.raises(ForgottenFailed, match=r"f\.json is no list"):
        Forgotten(path)
    assert path.read_text() == text


def test_what_cannot_be_written_is_written_later(tmp_path):
    folder = tmp_path / "gone"
    folder.mkdir()
    marks = Forgotten(folder / "f.json")
    marks.forget(A, 1)
    folder.rmdir()
    with pytest.raises(ForgottenFailed, match="No such file"):
        kept(marks)
    folder.mkdir()
    kept(marks)
    assert Forgotten(folder / "f.json").covers(A, 1)
