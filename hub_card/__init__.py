"""What goes to the Hub: a flat folder that loads without this package, its card, and the way there."""

from textgenome.hub_card.card import find_revisions
from textgenome.hub_card.export import export, export_checkpoint, mark_checkpoint, written_whole
from textgenome.hub_card.language_model import export_language_model
from textgenome.hub_card.push import Pushed, PushError, push
from textgenome.hub_card.training import push_trained, take_over_push


__all__ = [
    "PushError",
    "Pushed",
    "export",
    "export_checkpoint",
    "export_language_model",
    "find_revisions",
    "mark_checkpoint",
    "push",
    "push_trained",
    "take_over_push",
    "written_whole",
]
