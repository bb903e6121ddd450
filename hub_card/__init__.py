"""What goes to the Hub: a flat folder that loads without this package."""

from textgenome.hub_card.export import export


__all__ = ["export"]
