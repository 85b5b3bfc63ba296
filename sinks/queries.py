"""Reads the .sql files of this package."""

from importlib.resources import files

_SQL = files("sinks") / "sql"


def query(name: str) -> str:
    """Read the text of ``sinks/sql/queries/<name>.sql``."""
    return (_SQL / "queries" / f"{name}.sql").read_text(encoding="utf-8")


def migrations() -> dict[str, str]:
    """Read the text of every migration by its name (``001_facts``), in the order of their numbers."""
    folder = (_SQL / "migrations").iterdir()
    scripts = sorted((file for file in folder if file.name.endswith(".sql")), key=lambda file: file.name)
    return {script.name.removesuffix(".sql"): script.read_text(encoding="utf-8") for script in scripts}


def statements(script: str) -> list[str]:
    """Split a script at semicolons at the end of a line, and drop comments."""
    code = "\n".join(line for line in script.splitlines() if not line.lstrip().startswith("--"))
    return [part.strip() for part in code.replace(";\n", ";\0").rstrip().rstrip(";").split(";\0") if part.strip()]
