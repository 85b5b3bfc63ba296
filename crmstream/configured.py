"""The configured sources of this installation, by its settings."""

from pathlib import Path
from typing import Final

from connectors.door.doors import Doors
from connectors.door.money import MoneyGate
from connectors.sources.source import sources_path
from contracts.settings import Settings
from crmstream.money.installation import money_gate

FILE_STAGE: Final = "file"


def sources_file(settings: Settings) -> Path:
    """Where the file of sources is."""
    return sources_path(settings.data_dir, settings.sources_file)


def configured_doors(settings: Settings, stage: str, money: MoneyGate | None = None) -> Doors:
    """The doors of the configured sources; ``stage`` names the connector in dead letters.

    ``money`` is what they know of money in place of what the installation says, for a trial that decides nothing.
    """
    return Doors(
        sources_file(settings),
        stage,
        settings.privacy_key,
        is_set=settings.sources_file is not None,
        money=money or money_gate(settings),
    )
