"""The line below displays of scores: the time that they are as of, and whether the dataflow catches up."""

from crmstream.commands.shared import console
from crmstream.observe.clock import read_as_of
from crmstream.stack.endpoints import Endpoints


def print_as_of(endpoints: Endpoints) -> None:
    """Print the line; nothing where no worker of a local stack says."""
    text = str(read_as_of(endpoints.worker_metrics))
    if text:
        console.print(f"Scores are {text}.", highlight=False)
