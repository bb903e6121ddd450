"""Questions without their DNA: what a model says before it has read any, so that a prior is seen as one."""

from collections.abc import Mapping

from textgenome.data.conversations import DNA_COLUMNS


WITHOUT_DNA = "without_dna"


def leave_out_dna(rows: list[Mapping]) -> list[dict]:
    """The different questions of rows, each once and without DNA.

    Asked as the rows are, they give what scores of labels are to be seen beside: of a label that the model finds as
    likely without DNA, the score says nothing about the DNA.
    """
    return [{"question": question, **dict.fromkeys(DNA_COLUMNS)} for question in dict.fromkeys(map(question_of, rows))]


def question_of(row: Mapping) -> str:
    """The question of a row as the model reads it."""
    return row["question"].strip()


def conversation_without_dna(conversation: list[dict]) -> list[dict] | None:
    """A conversation of messages with blocks without its DNA; None if it has none, or nothing would be left."""
    cut = [
        {**message, "content": [block for block in message["content"] if block["type"] == "text"]}
        for message in conversation
    ]
    return cut if cut != conversation and all(message["content"] for message in cut) else None


__all__ = ["WITHOUT_DNA", "conversation_without_dna", "leave_out_dna", "question_of"]
