import json

import pytest

from textgenome.inference.predictions import Predictions


GOOD = {"condition": "as_is", "row": 0, "output": "Answer: x", "tokens": 3}


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "12",
        '"text"',
        "null",
        "{}",
        '{"row": 1}',
        '{"condition": "as_is", "row": "1"}',
        '{"condition": "as_is", "row": 1, "output": null, "tokens": 1}',
        '{"condition": "as_is", "row": 1, "output": "no number of tokens"}',
        '{"condition": "as_is", "row": 1, "scores": [0.5]}',
        '{"condition": "as_is", "row": 1, "scores": {}}',
        '{"condition": "as_is", "row": 1, "scores": {"a": "b"}}',
    ],
)
def test_a_line_that_is_no_prediction_is_named(tmp_path, line):
    (tmp_path / "predictions.jsonl").write_text(f"{json.dumps(GOOD)}\n{line}\n")
    with pytest.raises(ValueError, match=r"predictions\.jsonl, line 2 is not a prediction"):
        Predictions(tmp_path)


def test_a_line_that_a_kill_cut_off_is_asked_again(tmp_path):
    (tmp_path / "predictions.0.part.jsonl").write_bytes(json.dumps(GOOD).encode() + b'\n{"condition": "as_is", "\xc3')
    predictions = Predictions(tmp_path)
    assert predictions.missing("as_is", 2, "output") == [1]
    predictions.write([{**GOOD, "row": 1}])
    predictions.merge()
    assert [record["row"] for record in Predictions(tmp_path).of("as_is")] == [0, 1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["predictions.jsonl"]


def test_outputs_of_any_letters_are_kept(tmp_path):
    first, text = Predictions(tmp_path), "one\u2028two\u0085three\rfour\nfive"
    first.write([{"condition": "as_is", "row": 0, "output": text, "tokens": 1}])
    first.merge()
    assert Predictions(tmp_path).of("as_is")[0]["output"] == text
