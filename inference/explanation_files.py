"""An explanation as a picture, a page or a table."""

import math
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup

from textgenome.data.files import refuse_unknown_table, write_table
from textgenome.genome.annotating import NOTICE
from textgenome.genome.intervals import printable
from textgenome.genome.logo import Row, plot_bases
from textgenome.genome.plot import as_svg
from textgenome.inference.mutagenesis import Explanation


PICTURES = (".png", ".svg", ".pdf")
PAGE = ".html"
LISTED = 20  # changes on a page
PICTURED = 12  # outputs on a page
NAMED = 80  # characters of an answer
TEMPLATE = Path(__file__).parent / "explanation.html.jinja"


def plot_explanation(explanation: Explanation, output: str | None = None):
    """Draw an explanation: a logo, gradient times input where there is one, and a heat map of all changes.

    A letter is as high as the score falls, on average, when its base is changed. Needs matplotlib.

    Args:
        explanation: See `explain`.
        output: Which label, class or track; by default the one with the highest score.

    Returns:
        A figure of matplotlib.
    """
    output = output or explanation.shown
    rows = [Row("mean fall\nwhen changed", explanation.importance(output))]
    if explanation.gradients is not None and output == explanation.shown:
        rows.append(Row("gradient\n× input", explanation.gradients))
    return plot_bases(
        explanation.sequence,
        explanation.start,
        rows,
        explanation.effect_of(output),
        explanation.changed,
        f"{_headline(explanation, output)}\n{NOTICE}",
        f"change of\n{explanation.unit}",
    )


def _headline(explanation: Explanation, output: str) -> str:
    score = explanation.scores[explanation.outputs.index(output)]
    told = f"probability {math.exp(score):.3f}" if "probability" in explanation.unit else f"{score:.3g}"
    return f"{_short(output)}: {told}" if explanation.unit != "ln likelihood ratio" else "Likelihood of the sequence"


def _short(output: str) -> str:
    """A name, or an answer that was written, in a line that fits above a picture."""
    line = printable(" ".join(output.split()))
    return line if len(line) <= NAMED else f"{line[:NAMED]}…"


def check_output(output: Path) -> None:
    """Refuse a file that is there, or of a format that no explanation is written in."""
    if output.suffix not in (*PICTURES, PAGE):
        refuse_unknown_table(output)
    elif output.exists():
        raise ValueError(f"{output} is there already. Remove it, or name another file.")


def write_explanation(explanation: Explanation, output: str | Path, shown: str | None = None) -> None:
    """Write a picture (.png, .svg, .pdf), a page (.html) or a table with a row for each change and output.

    All of them hold the bases of the stretch that was changed.

    Args:
        explanation: See `explain`.
        output: A new file.
        shown: Which output a picture shows, see `plot_explanation`.

    Raises:
        OSError: If matplotlib is missing.
        ValueError: If the file is there, or its format is unknown.
    """
    output = Path(output)
    check_output(output)
    if output.suffix in PICTURES:
        plot_explanation(explanation, shown).savefig(output, dpi=150)
    elif output.suffix == PAGE:
        output.write_text(render_page(explanation, shown), encoding="utf-8")
    else:
        write_table(list(explanation.rows()), output)


def render_page(explanation: Explanation, shown: str | None = None) -> str:
    """A page that needs nothing else: the picture of each output, the chosen one first, and the largest effects."""
    chosen = shown or explanation.shown
    scores = dict(zip(explanation.outputs, explanation.scores))
    names = sorted(explanation.outputs, key=lambda name: (name != chosen, -scores[name]))[:PICTURED]
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        TEMPLATE.read_text(encoding="utf-8")
    )
    rows = sorted(_rows_of(explanation, chosen), key=lambda row: -abs(row["effect"]))
    return template.render(
        headline=_headline(explanation, chosen),
        sentence=describe(explanation, chosen),
        notice=NOTICE,
        unit=explanation.unit,
        pictures=[(name, _as_svg(explanation, name)) for name in names],
        rows=rows[:LISTED],
    )


def _as_svg(explanation: Explanation, output: str) -> Markup:
    return Markup(as_svg(plot_explanation(explanation, output)))


def _rows_of(explanation: Explanation, output: str) -> list[dict]:
    return [row for row in explanation.rows() if row["output"] == output]


def describe(explanation: Explanation, output: str | None = None) -> str:
    """A sentence on the change that lowers the score of an output most."""
    output = output or explanation.shown
    effects = _rows_of(explanation, output)
    worst = min(effects, key=lambda row: row["effect"], default={"effect": 0})
    if worst["effect"] >= 0:
        return f"No change of one base lowers the score of {_short(output)}."
    return (
        f"Changing {worst['base']} at base {worst['position']:,} to {worst['changed_to']} lowers the score of "
        f"{_short(output)} most, by {-worst['effect']:.3g} ({explanation.unit})."
    )


__all__ = ["check_output", "describe", "plot_explanation", "render_page", "write_explanation"]
