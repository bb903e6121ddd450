"""What goes to the Hub: a flat folder that loads without this package, its card, and the way there."""

from textgenome.hub_card.export import export, export_checkpoint
from textgenome.hub_card.language_model import export_language_model
from textgenome.hub_card.push import Pushed, PushError, push


__all__ = ["PushError", "Pushed", "export", "export_checkpoint", "export_language_model", "push"]
