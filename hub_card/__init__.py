"""What goes to the Hub: a flat folder that loads without this package, its card."""

from textgenome.hub_card.card import find_revisions
from textgenome.hub_card.export import export, export_checkpoint, mark_checkpoint


__all__ = ["export", "export_checkpoint", "find_revisions", "mark_checkpoint"]
