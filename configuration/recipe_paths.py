"""Where recipes are: files with the settings of a training run."""

from pathlib import Path


RECIPES = Path(__file__).parent / "recipes"


def find_recipe(recipe: str | Path, script: str) -> Path:
    """The file of a recipe.

    Args:
        recipe: A file, or the name of one that the package brings along, such as `starter`.
        script: Whose recipe: `sft`, `dna` or `grpo`.

    Raises:
        FileNotFoundError: If there is neither.
    """
    if Path(recipe).is_file():
        return Path(recipe)
    named = {path.stem: path for path in (RECIPES / script).glob("*.yaml")}
    if str(recipe) not in named:
        raise FileNotFoundError(f"{recipe} is neither a file nor one of the recipes {', '.join(sorted(named))}.")
    return named[str(recipe)]


__all__ = ["RECIPES", "find_recipe"]
