import os

import pytest

from textgenome.data.files import read_json, write_json, write_rows, written_whole


@pytest.mark.parametrize("content", ['{"seed": 1, "la', "", "\x00\x00", "[1]", "null", '"text"'])
def test_a_json_file_that_is_cut_off_or_holds_no_object_is_named(tmp_path, content):
    (tmp_path / "settings.json").write_text(content)
    with pytest.raises(ValueError, match=r"settings\.json (cannot be read, it may|holds no JSON object)"):
        read_json(tmp_path / "settings.json")


def test_a_json_file_is_replaced_at_once(tmp_path):
    write_json(tmp_path / "a.json", {"a": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": {1, 2}})
    assert read_json(tmp_path / "a.json") == {"a": 1}
    assert read_json(tmp_path / "b.json") is None


def test_of_two_that_write_a_folder_the_second_is_refused(tmp_path):
    (tmp_path / "new" / "out.unfinished").mkdir(parents=True)
    with written_whole(tmp_path / "new" / "out") as first:
        (first / "file").write_text("first")
        with pytest.raises(OSError, match=f"out: process {os.getpid()} on "):
            with written_whole(tmp_path / "new" / "out"):
                pass
    assert (tmp_path / "new" / "out" / "file").read_text() == "first"
    assert (tmp_path / "new" / "out").stat().st_mode == (tmp_path / "new").stat().st_mode
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"out", "out.unfinished"}


def test_of_two_that_write_a_file_the_second_is_refused(tmp_path):
    def rows():
        yield {"row": 1}
        with pytest.raises(OSError, match="writes to it"):
            write_rows([{"row": 3}], tmp_path / "rows.jsonl")
        yield {"row": 2}

    assert write_rows(rows(), tmp_path / "rows.jsonl") == 2
    assert (tmp_path / "rows.jsonl").read_text() == '{"row": 1}\n{"row": 2}\n'
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_what_is_not_finished_is_gone_and_what_a_kill_left_is_swept(tmp_path):
    for left in (".out.unfinished-abc", ".out.unfinished-def"):
        (tmp_path / left / "out").mkdir(parents=True)
        (tmp_path / left / "out" / "train.parquet").touch()
    (tmp_path / ".out.lock").touch()
    others = [".out.backup", ".other.unfinished-abc"]
    for name in others:
        (tmp_path / name).mkdir()
    with pytest.raises(RuntimeError):
        with written_whole(tmp_path / "out"):
            raise RuntimeError
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_there_is_not_overwritten_but_an_empty_folder_is_filled(tmp_path, kind):
    if kind == "file":
        (tmp_path / "out").touch()
    elif kind == "folder":
        (tmp_path / "out" / "more").mkdir(parents=True)
    else:
        (tmp_path / "out").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError, match="out is there already"):
        with written_whole(tmp_path / "out"):
            pass
    (tmp_path / "empty").mkdir()
    with written_whole(tmp_path / "empty") as folder:
        (folder / "file").touch()
    assert (tmp_path / "empty" / "file").exists()


class RustError(Exception):
    pass


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        RustError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
    ids=["system", "Rust"],
)
def test_a_full_disk_is_told_with_the_place(tmp_path, error):
    with pytest.raises(OSError, match=r"out could not be written: .*No space left on device"):
        with written_whole(tmp_path / "out"):
            raise error
    assert not list(tmp_path.iterdir())


def test_another_error_stays_what_it_is(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"^There is no such model"):
        with written_whole(tmp_path / "out"):
            raise FileNotFoundError("There is no such model")
