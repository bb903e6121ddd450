"""Runs commands of textgenome that come in by a line of JSON each, `[[arguments], {environment}]`."""

import json
import sys

from huggingface_hub.utils import _http
from typer.testing import CliRunner

from textgenome.commands import app


_http.time.sleep = lambda seconds: None  # between its attempts the client waits for up to 8 s
answers, sys.stdout = sys.stdout, sys.stderr
for line in sys.stdin:
    arguments, environment = json.loads(line)
    result = CliRunner().invoke(app, arguments, env=environment)
    output = result.output
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        output += f"{type(result.exception).__name__}: {result.exception}"
    print(json.dumps({"exit_code": result.exit_code, "output": output}), file=answers, flush=True)
