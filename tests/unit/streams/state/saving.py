"""Saves a bucket in a loop until it is killed: python saving.py FOLDER CELLS. Ends with 3 if its state is wrong.

The file ``committed`` in the folder is what the engine would have committed: the number of saves and the token.
"""

import pickle
import sys
from pathlib import Path

from support.parts import Shop

from streams.state import store

WRONG = 3


def put(shop: Shop, save: int, cells: int) -> None:
    """Change what save number ``save`` changes."""
    for step in range(20):
        shop.put((save * 31 + step * 17) % cells, save)


def main(folder: Path, cells: int) -> int:
    """Resume, check, and save for ever."""
    shop, committed, save = Shop(cells), folder / "committed", 0
    step = store.StepStore(folder / "state", "keep")
    if committed.exists():
        save, token = pickle.loads(committed.read_bytes())
        bucket = step.resume(token, shop.parts())
    else:
        bucket = step.begin("0", shop.parts())
    expected = Shop(cells)
    for number in range(1, save + 1):
        put(expected, number, cells)
    if shop.state() != expected.state():
        return WRONG
    while True:
        save += 1
        put(shop, save, cells)
        new = committed.with_suffix(".new")
        new.write_bytes(pickle.dumps((save, bucket.save())))
        new.replace(committed)


if __name__ == "__main__":
    store.SMALLEST_BASE, store.LOGS_PER_BASE = 1 << 12, 0
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
