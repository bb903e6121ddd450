"""`textgenome build starter_genome`."""

from typer.testing import CliRunner

from textgenome.commands import app


def test_the_command_writes_it(tmp_path):
    result = CliRunner().invoke(app, ["build", "starter_genome", "--output_dir", str(tmp_path / "genome")])
    assert result.exit_code == 0 and "files in" in result.output
    assert (tmp_path / "genome" / "genome.fa").exists() and (tmp_path / "genome" / "bigwig" / "binding.bw").exists()
