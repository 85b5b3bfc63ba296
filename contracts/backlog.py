"""How much of the sweeps is under way in one process: the bound on their memory.

A bucket of customers sends the rows of its sweeps to the score step, where they wait for models. Both run in the same
process. So the customers can see how many rows wait, and the source whether boundaries are left to cross.
"""


class SweepBacklog:
    """By bucket: the rows of sweeps that are not scored yet, and the boundaries that the bucket has left to cross."""

    def __init__(self) -> None:
        self._rows: dict[int, int] = {}
        self._left: dict[int, int] = {}

    def send(self, bucket: int, rows: int) -> None:
        """Note that rows are on their way to be scored."""
        self._rows[bucket] = self.rows(bucket) + rows

    def wait(self, bucket: int, rows: int) -> None:
        """Note how many rows wait for models now. Rows on their way are counted again when they have come."""
        self._rows[bucket] = rows

    def rows(self, bucket: int) -> int:
        """Return how many rows of a bucket are not scored yet."""
        return self._rows.get(bucket, 0)

    def note(self, bucket: int, boundaries: int) -> None:
        """Note how many boundaries a bucket has left to cross."""
        if boundaries:
            self._left[bucket] = boundaries
        else:
            self._left.pop(bucket, None)

    @property
    def is_behind(self) -> bool:
        """Whether any bucket of the process has boundaries left to cross."""
        return bool(self._left)

    @property
    def boundaries(self) -> int:
        """The boundaries that the bucket furthest behind has left to cross."""
        return max(list(self._left.values()), default=0)
