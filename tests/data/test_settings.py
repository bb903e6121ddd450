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


def test_what_may_change_is_kept_with_the_step(tmp_path):
    remember_settings({"rate": 1.0, "seed": 0}, tmp_path, "training")
    with pytest.raises(ValueError, match=r"other settings \(seed\)"):
        remember_settings({"rate": 2.0, "seed": 1}, tmp_path, "training", allowed={"rate"}, step=10)
    assert read_settings(tmp_path, "training") == {"job": "training", "rate": 1.0, "seed": 0}
    remember_settings({"rate": 2.0, "seed": 0}, tmp_path, "training", allowed={"rate"}, step=10)
    remember_settings({"rate": 3.0, "seed": 1}, tmp_path, "training", allowed={"rate", "seed"}, step=20)
    settings = read_settings(tmp_path, "training")
    assert (settings["rate"], settings["seed"]) == (3.0, 1)
    first, second = {"rate": 1.0}, {"rate": 2.0, "seed": 0}
    assert settings["changes"] == [{"step": 10, "before": first}, {"step": 20, "before": second}]


def test_settings_that_were_cut_off_are_named(tmp_path):
    (tmp_path / "settings.json").write_text('{"job": "trai')
    with pytest.raises(ValueError, match=r"settings\.json cannot be read.*Name another output_dir"):
        remember_settings({"seed": 0}, tmp_path, "training")
    with pytest.raises(ValueError, match=r"settings\.json cannot be read"):
        read_settings(tmp_path, "training")
