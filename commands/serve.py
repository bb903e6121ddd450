"""`textgenome serve`: a model behind HTTP."""

from typing import Annotated

import typer

from textgenome.commands.console import command
from textgenome.commands.options import Dtype, Model, Revision
from textgenome.serving.limits import Limits


DEFAULTS = Limits()


@command()
def serve(
    model: Model,
    host: Annotated[str, typer.Option("--host", help="Address to listen on; 0.0.0.0 lets others in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="0 takes a free one.")] = 8000,
    revision: Revision = "main",
    dtype: Dtype = "auto",
    api_key: Annotated[
        str | None,
        typer.Option("--api_key", envvar="TEXTGENOME_API_KEY", help="What clients must send as bearer token."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option("--allow_origin", help="Another site whose pages may ask; may be repeated.")
    ] = None,
    max_body_bytes: Annotated[
        int, typer.Option("--max_body_bytes", min=1, help="Of a request.")
    ] = DEFAULTS.body_bytes,
    max_bases: Annotated[int, typer.Option("--max_bases", min=1, help="Of a sequence.")] = DEFAULTS.bases,
    max_sequences: Annotated[int, typer.Option("--max_sequences", min=1, help="Of a request.")] = DEFAULTS.sequences,
    max_tokens: Annotated[
        int, typer.Option("--max_tokens", min=1, help="Of prompt and answer together, at most what the model takes.")
    ] = DEFAULTS.tokens,
    max_queue: Annotated[
        int, typer.Option("--max_queue", min=1, help="Requests that wait; more get 429.")
    ] = DEFAULTS.queue,
    max_seconds: Annotated[
        float, typer.Option("--max_seconds", min=0, help="For a request, the time it waits included.")
    ] = DEFAULTS.seconds,
    batch_size: Annotated[
        int, typer.Option("--batch_size", min=1, help="Requests answered together.")
    ] = DEFAULTS.batch_size,
) -> None:
    """Answer questions about DNA over HTTP: as OpenAI's chat completions, as POST /predict, and on a page at /.

    What is asked is neither stored nor logged. Research use only, not for diagnosis.

    Example: textgenome serve outputs/starter --port 8000
    """
    try:
        from textgenome.serving.running import run_service
    except ModuleNotFoundError as error:
        raise ValueError(f"The service needs {error.name}: pip install 'textgenome[serve]'.") from error

    limits = Limits(
        body_bytes=max_body_bytes,
        bases=max_bases,
        sequences=max_sequences,
        tokens=max_tokens,
        queue=max_queue,
        seconds=max_seconds,
        batch_size=batch_size,
    )
    run_service(model, limits, host, port, revision, dtype, api_key, tuple(allow_origin or ()))
