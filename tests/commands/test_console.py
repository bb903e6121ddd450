import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from textgenome.commands import app
from textgenome.commands.console import errors_without_traceback


COMMANDS = get_command(app).commands


def run_script(*words: str, then: str) -> list[str]:
    """Run the console script in a fresh process, and then code in the same process: the lines of both."""
    return run_scripts([words], then)


def run_scripts(calls: list[Sequence[str]], then: str) -> list[str]:
    """As `run_script`, several times in one process, which takes less time: the code follows each."""
    code = f"""
import sys
from textgenome_console import main
for words in {[*map(list, calls)]!r}:
    sys.argv = ["textgenome", *words]
    try:
        main()
    except SystemExit as error:
        assert not error.code
    {then}
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


# The help of these is that of their scripts, which explains what transformers and TRL read.
TRAINING = ("dna", "grpo", "sft")


def test_help_imports_neither_torch_nor_transformers():
    pages = [[], *([name] for name in COMMANDS if name not in TRAINING)]
    pages += [["build", name] for name in COMMANDS["build"].commands]
    then = "print('IMPORTED', *{'torch', 'transformers'} & sys.modules.keys())"
    lines = run_scripts([[*words, "--help"] for words in pages], then)
    told = [line.strip() for line in lines if line.startswith(("Usage: ", "IMPORTED"))]
    usages = [" ".join(["Usage: textgenome", *words, "[OPTIONS]"]) for words in pages]
    assert len(told) == 2 * len(pages) and {*told[1::2]} == {"IMPORTED"}
    assert [line[: len(usage)] for line, usage in zip(told[::2], usages)] == usages


def test_the_version_is_told_by_the_script_the_module_and_the_package():
    told = f"textgenome {metadata.version('textgenome')}"
    assert run_script("--version", then="print('torch' in sys.modules)") == [told, "False"]
    code = "import runpy, sys, textgenome; print('textgenome', textgenome.__version__); sys.argv[1:] = ['--version']; "
    code += "runpy.run_module('textgenome', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [told, told]


def test_a_command_runs_where_the_models_are_registered():
    then = "from transformers import AutoConfig; print(type(AutoConfig.for_model('textgenome')).__name__)"
    lines = run_script("env", then=then)
    assert lines[0].startswith("- python: ") and lines[-1] == "TextGenomeConfig"


@pytest.mark.parametrize(
    "name, words",
    [
        ("ask", ["--question", "What?", "--batch_size", "8"]),
        ("evaluate", ["--dataset_name", "starter", "--output_dir", "out", "--baselines"]),
        ("export", ["out", "--adapter", "--base", "me/base"]),
        ("push", ["me/starter", "--private"]),
        ("serve", ["--port", "0"]),
    ],
)
def test_the_first_argument_and_model_mean_the_same(name, words):
    def parse(*words):
        return COMMANDS[name].make_context(name, list(words)).params

    options, arguments = (words, []) if words[0].startswith("-") else (words[1:], words[:1])
    parsed = parse("--model", "outputs/starter", *words)
    assert parsed["model"] == "outputs/starter"
    assert parse("outputs/starter", *words) == parsed
    assert parse(*options, "outputs/starter", *arguments) == parsed
    assert parse(*options, "--", "outputs/starter", *arguments) == parsed
    assert parse(*arguments, "--model=outputs/starter", *options) == parsed


def test_a_model_that_is_named_twice_or_not_at_all_is_refused():
    for words, message in (
        (["serve", "one", "--model", "two"], "Got unexpected extra argument"),
        (["serve"], "Missing option '--model'"),
        (["export", "one"], "Missing argument 'OUT'"),
    ):
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 2 and message in result.output
    assert "serve [OPTIONS] [MODEL]\n" in CliRunner().invoke(app, ["serve", "--help"]).output


@pytest.mark.parametrize("name", TRAINING)
def test_training_commands_take_the_flags_of_their_scripts(name, tmp_path):
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0 and result.output.startswith(f"usage: textgenome {name}")
    assert "--dna_model" in result.output and f"textgenome {name} --config starter" in result.output
    result = CliRunner().invoke(app, [name, "--config", "no_such_recipe"])
    assert result.exit_code == 1 and "Error: no_such_recipe is neither a file nor" in result.output
    result = CliRunner().invoke(app, [name, "--config", "starter", "--dna_window", "-1", "--no_such_flag"])
    assert result.exit_code == 1 and "['--no_such_flag']" in result.output


@pytest.mark.parametrize(
    "error, told",
    [
        (ValueError("the rows are bad"), "Error: the rows are bad\n"),
        (OSError(28, "No space left on device"), "Error: [Errno 28] No space left on device\n"),
        (Exception("I/O error: No space left on device (os error 28)"), "Is the disk full? I/O error"),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 52 vs 51"), "Is the disk full?"),
    ],
)
def test_what_goes_wrong_is_one_line_and_a_status(capsys, error, told):
    with pytest.raises(SystemExit) as end, errors_without_traceback():
        raise error
    assert end.value.code == 1
    assert told in capsys.readouterr().err


def test_a_fault_of_ours_keeps_its_traceback():
    with pytest.raises(RuntimeError, match="size mismatch"), errors_without_traceback():
        raise RuntimeError("size mismatch")
