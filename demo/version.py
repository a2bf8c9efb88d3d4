"""The version of the program: stored in results, printed by `--version`, read by pyproject.toml."""

VERSION = "0.3.0.dev0"
