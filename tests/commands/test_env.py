from typer.testing import CliRunner

from textgenome.commands import app


def test_env_prints_what_a_bug_report_needs():
    result = CliRunner().invoke(app, ["env"])
    assert result.exit_code == 0
    for name in ("textgenome", "transformers", "torch", "python", "CUDA", "GPUs", "compilers"):
        assert f"- {name}" in result.output


def test_help_says_what_it_is_for():
    result = CliRunner().invoke(app, ["--help"])
    assert "Research use only, not for diagnosis" in result.output
    assert "env" in result.output
