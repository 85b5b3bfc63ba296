"""One file per command of ``crmstream``. Each has a Typer ``app`` with one command."""
