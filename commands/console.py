"""The app to which each command adds itself, and what all commands have in common."""

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import metadata
from typing import Annotated

import typer
from typer.core import TyperCommand


app = typer.Typer(
    help="Hugging Face models that read DNA. Research use only, not for diagnosis.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"textgenome {metadata.version('textgenome')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


# What the libraries say that write weights, tokenizers and the state of an optimizer, where the system refuses.
NOT_WRITTEN = ("(os error ", "inline_container.cc")


@contextmanager
def errors_without_traceback() -> Iterator[None]:
    """Tell the user what went wrong, not where, and exit with the status 1."""
    try:
        yield
    except Exception as error:
        is_told = isinstance(error, OSError | ValueError)
        if not is_told and not any(words in str(error) for words in NOT_WRITTEN):
            raise
        from textgenome.genome.intervals import printable

        message = str(error) if is_told else f"A file could not be written. Is the disk full? {error}"
        print(f"Error: {printable(message)}", file=sys.stderr)
        raise SystemExit(1) from error


class Command(TyperCommand):
    """A command that takes the model by `--model` or as first argument, and tells users what went wrong, not where."""

    def collect_usage_pieces(self, ctx: typer.Context) -> list[str]:
        options, *arguments = super().collect_usage_pieces(ctx)
        return [options, "[MODEL]", *arguments] if "--model" in self._options() else [options, *arguments]

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:
        rest = super().parse_args(ctx, self._name_model(args))
        for param in self.params:
            value = ctx.params.get(param.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise typer.BadParameter(f"{value} is not a finite number.", ctx, param)
        return rest

    def invoke(self, ctx: typer.Context) -> None:
        if ctx.obj is not None:
            ctx.obj()  # the import of the package, which the console script put off
        with errors_without_traceback():
            super().invoke(ctx)

    def _options(self) -> dict:
        return {name: each for each in self.params for name in (*each.opts, *each.secondary_opts)}

    def _name_model(self, args: list[str]) -> list[str]:
        """Put `--model` before the first argument, unless the model is named by it already."""
        options = self._options()
        if "--model" not in options or any(word.split("=")[0] == "--model" for word in args):
            return args
        words = iter(enumerate(args))
        for position, word in words:
            if not word.startswith("-"):
                return ["--model", word, *args[:position], *args[position + 1 :]]
            if word in options and not options[word].is_flag:
                next(words, None)
        return args


command = partial(app.command, cls=Command)
# For a command that hands all its flags on, --help among them.
handing_on = partial(
    command,
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)

__all__ = ["Command", "app", "command", "errors_without_traceback", "handing_on"]
