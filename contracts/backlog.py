"""How much of the sweeps is under way in one process: the bound on their memory.

A bucket of customers sends the rows of its sweeps to the score step, where they wait for models. Both run in the same
process. So the customers can see how many rows wait, and the source whether boundaries are left to cross.
"""


class SweepBacklog:
    """By bucket: the rows of sweeps that are not scored yet, and whether the bucket is behind its clock."""

    def __init__(self) -> None:
        self._rows: dict[int, int] = {}
        self._behind: set[int] = set()

    def send(self, bucket: int, rows: int) -> None:
        """Note that rows are on their way to be scored."""
        self._rows[bucket] = self.rows(bucket) + rows

    def wait(self, bucket: int, rows: int) -> None:
        """Note how many rows wait for models now. Rows on their way are counted again when they have come."""
        self._rows[bucket] = rows

    def rows(self, bucket: int) -> int:
        """Return how many rows of a bucket are not scored yet."""
        return self._rows.get(bucket, 0)

    def note(self, bucket: int, *, behind: bool) -> None:
        """Note whether a bucket has boundaries left to cross."""
        (self._behind.add if behind else self._behind.discard)(bucket)

    @property
    def is_behind(self) -> bool:
        """Whether any bucket of the process has boundaries left to cross."""
        return bool(self._behind)
