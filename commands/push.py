"""`textgenome push`: upload a model to the Hub."""

from typing import Annotated

import typer

from textgenome.commands.console import command
from textgenome.commands.export import Base, BaseRevision, Merge, Metrics
from textgenome.commands.options import Model


@command()
def push(
    model: Model,
    repo_id: Annotated[str, typer.Argument(metavar="REPO_ID", help="USER/NAME; created if it does not exist.")],
    private: Annotated[bool, typer.Option("--private", help="Only you, or your organisation, can see it.")] = False,
    revision: Annotated[str | None, typer.Option("--revision", help="Branch to commit to. Defaults to main.")] = None,
    create_pr: Annotated[bool, typer.Option("--create-pr", "--create_pr", help="Open a pull request.")] = False,
    merge: Merge = True,
    base: Base = None,
    base_revision: BaseRevision = None,
    metrics: Metrics = None,
) -> None:
    """Export a model, upload it in one commit, and check that a new process gets the same answers from the Hub.

    Log in with `hf auth login`, or set HF_TOKEN. Run the same command again to upload changes only. Before you push,
    consider whose DNA the model was trained on: weights can reveal it. Research use only, not for diagnosis.

    Example: textgenome push outputs/starter me/starter --private
    """
    from textgenome import hub_card

    options = {"merge": merge, "base": base, "base_revision": base_revision, "metrics": metrics}
    pushed = hub_card.push(model, repo_id, private or None, revision, create_pr, **options)
    typer.echo(f"{pushed.repo_id} at {pushed.commit}: a new process gets the same answers from it.")
    if pushed.pull_request:
        typer.echo(f"Pull request: {pushed.pull_request}")
    typer.echo(f"\n{pushed.snippet}")
