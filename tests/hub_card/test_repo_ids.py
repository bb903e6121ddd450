import pytest
from conftest import TINY_CHECKPOINT
from transformers import TrainingArguments
from typer.testing import CliRunner

from textgenome.commands import app
from textgenome.training.pushing import take_over_push


@pytest.mark.parametrize("repo_id", ["a/../b", "../b", "a/b/c", "a b", "/etc/x", "-x/y", "a/..", "a/b.git", ""])
def test_what_is_not_an_id_is_refused_before_anything_else(tmp_path, monkeypatch, repo_id):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["push", str(TINY_CHECKPOINT), "--", repo_id])
    assert result.exit_code == 1 and "cannot be the id of a repository" in result.output
    with pytest.raises(ValueError, match=r"[Rr]epo"):
        take_over_push(TrainingArguments(push_to_hub=True, hub_model_id=repo_id or "a//b", use_cpu=True))
    assert list(tmp_path.iterdir()) == []
