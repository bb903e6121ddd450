"""`textgenome serve`: serve a model over HTTP."""

import os
from pathlib import Path
from typing import Annotated

import typer

from textgenome.commands.console import command
from textgenome.commands.options import Dtype, Model, Revision
from textgenome.serving.limits import Limits


DEFAULTS = Limits()
Host = Annotated[
    str, typer.Option("--host", help="Address to listen on; 0.0.0.0 accepts connections from other machines.")
]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 takes a free one.")]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api_key",
        help="Bearer token that clients must send. Set it in TEXTGENOME_API_KEY to hide it from other users.",
    ),
]
AllowHost = Annotated[
    list[str] | None,
    typer.Option("--allow_host", help="Additional host name of the service, such as a proxy's; can be repeated."),
]
AllowOrigin = Annotated[
    list[str] | None, typer.Option("--allow_origin", help="Site whose pages may send requests; can be repeated.")
]
MaxSeconds = Annotated[
    float, typer.Option("--max_seconds", min=0, help="Maximum number of seconds for a request, waiting included.")
]


def at_least_1(name: str, meaning: str):
    return typer.Option(name, min=1, help=meaning)


@command()
def serve(
    model: Model,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    revision: Revision = "main",
    dtype: Dtype = "auto",
    fasta: Annotated[
        Path | None,
        typer.Option("--fasta", help="The genome: then the page takes a handful of variants as a VCF file."),
    ] = None,
    api_key: ApiKey = None,
    allow_host: AllowHost = None,
    allow_origin: AllowOrigin = None,
    max_body_bytes: Annotated[
        int, at_least_1("--max_body_bytes", "Maximum size of a request, in bytes.")
    ] = DEFAULTS.body_bytes,
    max_waiting_bytes: Annotated[
        int,
        at_least_1(
            "--max_waiting_bytes", "Maximum size of all requests that are read or wait, in bytes; more get 429."
        ),
    ] = DEFAULTS.waiting_bytes,
    max_bases: Annotated[int, at_least_1("--max_bases", "Maximum number of bases of a sequence.")] = DEFAULTS.bases,
    max_sequences: Annotated[
        int, at_least_1("--max_sequences", "Maximum number of sequences of a request.")
    ] = DEFAULTS.sequences,
    max_tokens: Annotated[
        int, at_least_1("--max_tokens", "Maximum number of tokens of prompt and answer together.")
    ] = DEFAULTS.tokens,
    max_queue: Annotated[
        int, at_least_1("--max_queue", "Maximum number of waiting requests; more get 429.")
    ] = DEFAULTS.queue,
    max_connections: Annotated[
        int, at_least_1("--max_connections", "Maximum number of connected clients; more get 503.")
    ] = DEFAULTS.connections,
    max_seconds: MaxSeconds = DEFAULTS.seconds,
    batch_size: Annotated[
        int, at_least_1("--batch_size", "Number of requests to answer together.")
    ] = DEFAULTS.batch_size,
) -> None:
    """Answer questions about DNA over HTTP: OpenAI's chat completions, POST /predict, and a page at /.

    Models with a head predict at POST /dna and on the same page. With --fasta the page takes VCF files.

    Requests are neither stored nor logged. Research use only, not for diagnosis.

    Example: textgenome serve outputs/starter --port 8000
    """
    try:
        from textgenome.serving.running import run_service
    except ModuleNotFoundError as error:
        raise ValueError(f"The service needs {error.name}: pip install 'textgenome[serve]'.") from error

    limits = Limits(
        body_bytes=max_body_bytes,
        waiting_bytes=max_waiting_bytes,
        bases=max_bases,
        sequences=max_sequences,
        tokens=max_tokens,
        queue=max_queue,
        connections=max_connections,
        seconds=max_seconds,
        batch_size=batch_size,
    )
    # Read here and not by the option, which takes an empty variable for none.
    key = os.environ.get("TEXTGENOME_API_KEY") if api_key is None else api_key
    names = tuple(allow_host or ()), tuple(allow_origin or ())
    run_service(model, limits, host, port, revision, dtype, key, *names, fasta)
