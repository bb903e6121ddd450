import json

import pytest

from textgenome.data.settings import read_settings, remember_settings


def test_the_same_settings_are_accepted_and_kept(tmp_path):
    for _ in range(2):
        remember_settings({"seed": 0, "labels": ("a", "b")}, tmp_path / "run", "training")
    assert read_settings(tmp_path / "run", "training") == {"job": "training", "seed": 0, "labels": ["a", "b"]}


def test_other_settings_are_refused_by_name(tmp_path):
    remember_settings({"seed": 0, "rate": 1.0, "rows": 3}, tmp_path, "training")
    with pytest.raises(ValueError, match=r"other settings \(rate, seed\)"):
        remember_settings({"seed": 1, "rate": 2.0, "rows": 4}, tmp_path, "training", free={"rows"})
    remember_settings({"seed": 0, "rows": 4}, tmp_path, "training", free={"rows"})
    assert read_settings(tmp_path, "training")["rows"] == 4


def test_a_folder_of_another_job_is_refused_and_left_alone(tmp_path):
    remember_settings({"seed": 0}, tmp_path, "training")
    before = (tmp_path / "settings.json").read_text()
    with pytest.raises(ValueError, match=r"another job \(training\). Name another output_dir"):
        remember_settings({"controls": ["x"]}, tmp_path, "evaluation")
    assert (tmp_path / "settings.json").read_text() == before
    assert read_settings(tmp_path, "evaluation") == {}
    assert json.loads(before)["job"] == "training"
