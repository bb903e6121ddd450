import json

import pytest
from conftest import variant_row
from transformers.utils import logging

from textgenome.data.rows import list_splits, load_rows


@pytest.fixture
def log(caplog):
    logging.enable_propagation()
    yield caplog
    logging.disable_propagation()


def fill(folder, *names):
    """A file for each name, whose row asks for it."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(variant_row(question=name)))
    return str(folder)


def read(folder, split):
    return [row["question"] for row in load_rows(folder, split).to_list()]


@pytest.mark.parametrize(
    "train, validation",
    [
        ("train.json", "val.json"),
        ("Train.json", "Val.json"),
        ("TRAIN.JSON", "DEV.JSON"),
        ("my_train.json", "my_valid.json"),
        ("TrainData.json", "ValidationData.json"),
        ("data/train-00000-of-00001.json", "data/validation-00000-of-00001.json"),
        ("train/part.json", "validation/part.json"),
        ("data/Train/part.json", "data/Dev/part.json"),
        ("train.jsonl", "latest.val.jsonl"),
    ],
)
def test_splits_are_told_by_words_in_any_case(tmp_path, train, validation):
    folder = fill(tmp_path, train, validation)
    assert list_splits(folder) == ["train", "validation"]
    assert (read(folder, "train"), read(folder, "val")) == ([train], [validation])


def test_what_is_read_and_what_is_left_out_is_said(tmp_path, log):
    others = ["train_old/train.json", "train.txt", "notes.md", "split.json", "train.json.bz2", "data/notes.txt"]
    folder = fill(tmp_path, "train.json", "test.json", ".train.json", ".cache/train.json", *others)
    assert list_splits(folder) == ["train", "test"]
    assert read(folder, "train") == ["train.json"]
    left_out = "data/notes.txt, notes.md, train.json.bz2, train.txt, train_old/, split.json"
    assert f"{folder}: train is read from train.json; left out: {left_out}" in log.text
    log.clear()
    assert read(folder, "test") == ["test.json"]
    assert f"{folder}: test is read from test.json" in log.text


def test_parts_of_a_split_differ_in_a_number_or_are_alone_in_its_folder(tmp_path, log):
    parts = ["train-0.json", "train-1.jsonl", "train-2.json"]
    assert read(fill(tmp_path / "a", *parts), "train") == parts
    assert "train is read from train-0.json, train-1.jsonl, train-2.json" in log.text
    parts = ["train/chr1/a.json", "train/chrX.json", "train/more.json"]
    assert read(fill(tmp_path / "b", *parts), "train") == parts
    assert read(fill(tmp_path / "c", "part-0.json", "part-1.json"), "train") == ["part-0.json", "part-1.json"]
    assert read(fill(tmp_path / "d", "rows.json"), "train") == ["rows.json"]


@pytest.mark.parametrize(
    "names",
    [
        ["train_test.json"],
        ["TrainVal.json", "test.json"],
        ["train/val.json"],
        ["train/test/part.json"],
        ["train.json", "train_old.json"],
        ["train.json", "train-1.json"],
        ["train.json", "train.jsonl"],
        ["train.json", "Train.json"],
        ["train.jsonl", "train.jsonl.gz"],
        ["train.json", "train/part.json"],
        ["train.json", "data/train.json"],
        ["train/a.json", "train/a.jsonl"],
        ["train/a.json", "training/b.json"],
        ["train.json", "val.json", "validation.json"],
        ["rows.json", "more.json"],
    ],
    ids=" ".join,
)
def test_what_is_not_clear_is_refused(tmp_path, names):
    folder = fill(tmp_path, *names)
    for look in (list_splits, lambda name: load_rows(name, "train")):
        with pytest.raises(ValueError, match=r"[nN]ame one file"):
            look(folder)


def test_a_folder_without_a_readable_file_says_what_it_holds(tmp_path):
    folder = fill(tmp_path, "train.xlsx", "train_old/train.json")
    with pytest.raises(ValueError, match=r"no files that can be read, only .*There is train.xlsx, train_old/"):
        list_splits(folder)
