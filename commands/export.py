"""`textgenome export`: write a folder that loads without textgenome."""

from pathlib import Path
from typing import Annotated

import typer

from textgenome.commands.console import command
from textgenome.commands.options import Model


Merge = Annotated[
    bool,
    typer.Option("--merge/--adapter", help="Merge LoRA into the base model, or export the adapter alone."),
]
Base = Annotated[
    str | None,
    typer.Option("--base", help="With --adapter: repository of the base model."),
]
BaseRevision = Annotated[
    str | None,
    typer.Option("--base_revision", help="Branch, tag or commit of the base. Defaults to its newest commit."),
]
Metrics = Annotated[
    Path | None,
    typer.Option("--metrics", help="metrics.json for the model card. Defaults to MODEL/evaluation/metrics.json."),
]
LanguageModel = Annotated[
    bool,
    typer.Option(
        "--language-model",
        "--language_model",
        help="Export the language model alone, for an engine such as vLLM that takes the output of get_prompt_embeds.",
    ),
]


@command()
def export(
    model: Model,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="New folder to write.")],
    merge: Merge = True,
    base: Base = None,
    base_revision: BaseRevision = None,
    metrics: Metrics = None,
    revision: Annotated[str | None, typer.Option("--revision", help="Revision of a MODEL on the Hub.")] = None,
    language_model: LanguageModel = False,
) -> None:
    """Write a folder that the Auto classes load with trust_remote_code=True, without textgenome.

    Research use only, not for diagnosis. Example: textgenome export outputs/starter exported
    """
    from textgenome.hub_card import export_checkpoint, export_language_model

    if language_model:
        if not merge or base or base_revision or metrics:
            raise typer.BadParameter("--language-model takes no --adapter, --base, --base_revision or --metrics.")
        folder = export_language_model(model, out, revision)
        typer.echo(f"{folder} loads by AutoModelForCausalLM, or by vllm serve {folder} --enable-prompt-embeds")
        return
    folder = export_checkpoint(model, out, revision, merge, base, base_revision, metrics)
    typer.echo(f"Wrote {folder}. {folder / 'README.md'} shows how to load it.")
