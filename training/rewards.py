"""What answers are rewarded for, in the form of TRL's reward functions.

Each takes `completions`, what the model wrote in its turn with the tokens that end it, and columns of the rows by
their names, lists of the same length; it returns a list of 0.0 or 1.0.
"""

from textgenome.inference.answers import before_answer, extract_answer, is_right


END_OF_TURN = "<|im_end|>"


def right(completions: list[str], answer: list[str], **columns) -> list[float]:
    """The answer is the true one, as evaluation counts it. `answer` is the truth."""
    return [float(is_right(extract_answer(text), truth)) for text, truth in zip(completions, answer)]


def form(completions: list[str], reasons: list[bool], **columns) -> list[float]:
    """The turn has the form that the model was trained to give, see `has_form`."""
    return [float(has_form(text, reasoned)) for text, reasoned in zip(completions, reasons)]


def counterfactual(completions: list[str], answer: list[str], exchanged: list[str], **columns) -> list[float]:
    """The answer is the true one, and it is not with the DNA of another row.

    A row that is answered right whatever the DNA is rewarded for nothing, so that a model that guesses from the
    question gains nothing by it.

    Args:
        completions: See above.
        answer: The true answers.
        exchanged: What the model most likely writes to the same question with the DNA of a row of another answer.
    """
    guessed = right(exchanged, answer)
    return [own * (1 - other) for own, other in zip(right(completions, answer), guessed)]


def has_form(text: str, reasons: bool) -> bool:
    """Whether a turn ends itself after a single line `Answer: ...`, its last, with reasoning before it or not.

    A think block, if there is one, is the first thing in it, and closed.

    Args:
        text: The turn, with the tokens that end it.
        reasons: Whether there is to be reasoning.
    """
    turn, end, _ = text.partition(END_OF_TURN)
    thought, closed, spoken = turn.rpartition("</think>")
    if (
        not end
        or "<think>" in spoken
        or (closed and (not thought.startswith("<think>") or thought.count("think>") > 1))
    ):
        return False
    lines = spoken.strip().splitlines()
    answers = [line for line in lines if line.startswith("Answer:")]
    if len(answers) != 1 or answers[0] != lines[-1] or extract_answer(turn) is None:
        return False
    reasoning = before_answer(turn).replace("<think>", "").replace("</think>", "")
    return bool(reasoning.strip()) == reasons


FUNCTIONS = {function.__name__: function for function in (right, form, counterfactual)}

__all__ = ["FUNCTIONS", "counterfactual", "form", "has_form", "right"]
