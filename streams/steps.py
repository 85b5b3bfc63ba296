"""The one wrapper that makes a keyed Bytewax step of a pure state machine."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from bytewax.operators import StatefulBatchLogic

from contracts.machine import Machine
from streams.error_boundary import error_boundary
from streams.pace import Pace
from streams.state.store import StepStore
from streams.state.token import Token

RETAIN: Final = False
AT_ONCE: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""A time in the past: the engine wakes a step for it at once."""
RENEWAL: Final = timedelta(seconds=0.25)
"""How soon a step is woken again whose files are written anew: each epoch in which it is awake saves it once."""
In = TypeVar("In")
Out = TypeVar("Out")


class Step(StatefulBatchLogic[In, Out, Token]):
    """Runs one machine and stores its state. ``saved`` is the token of its last snapshot, None for a new machine.

    ``name_of(item)`` names the folder of the machine's state within the step's; it is the same for all items of a key.
    ``pace`` is shared by all steps of the process; it limits their work between batches. People who are to
    be forgotten (``stores.forget``) are removed from the restored state; its files are written anew then.
    """

    def __init__(
        self,
        saved: Mapping[str, object] | None,
        make: Callable[[], Machine[In, Out]],
        stores: StepStore,
        name_of: Callable[[In], str],
        pace: Pace | None = None,
    ):
        self._machine = make()
        self._stores, self._name_of = stores, name_of
        self._store = None if saved is None else stores.resume(saved, self._machine.parts())
        self._resumed = saved is not None
        self._renews = False
        if stores.forget and self._store is not None:
            self._machine.forget(stores.forget)
            self._store.renew()
            self._renews = True
        self._pace = Pace() if pace is None else pace

    @error_boundary
    def notify_at(self) -> datetime | None:
        """Wake the step at once after a restart, and for each slice of work that is left."""
        if self._resumed:
            return AT_ONCE
        machine = self._machine
        if not machine.has_work():
            return self._next_renewal()
        if machine.is_held():
            return self._pace.later
        return AT_ONCE if machine.is_urgent() else self._pace.next

    @error_boundary
    def on_notify(self) -> tuple[list[Out], bool]:
        """Return the outputs due to the restart, else those of a slice of work."""
        if self._resumed:
            return self._resume(), RETAIN
        machine = self._machine
        if not machine.has_work() or machine.is_held():
            return [], RETAIN
        if machine.is_urgent():
            return list(machine.work()), RETAIN
        if not self._pace.begin(makes_rows=machine.makes_rows()):
            return [], RETAIN
        made = list(machine.work())
        self._pace.end()
        return made, RETAIN

    @error_boundary
    def on_batch(self, values: list[In]) -> tuple[list[Out], bool]:
        """Hand all items of an activation to the machine in one call."""
        if self._store is None:
            self._store = self._stores.begin(self._name_of(values[0]), self._machine.parts())
        return [*self._resume(), *self._machine.take(values)], RETAIN

    @error_boundary
    def on_eof(self) -> tuple[list[Out], bool]:
        """Finish the work that is left when the process stops, if that does not take long."""
        made = self._resume()
        machine = self._machine
        while machine.has_work() and not machine.is_held() and self._pace.may_finish():
            made += machine.work()
        return made, RETAIN

    @error_boundary
    def snapshot(self) -> Token:
        """Store what changed since the last snapshot."""
        if self._store is None:
            raise RuntimeError("a snapshot of a step that has taken nothing")
        return self._store.save()

    def _next_renewal(self) -> datetime | None:
        """Return when to wake the step so that it is saved again: until no file holds who was forgotten."""
        if not self._renews or self._store is None:
            return None
        self._renews = self._store.is_renewing
        return datetime.now(UTC) + RENEWAL if self._renews else None

    def _resume(self) -> list[Out]:
        due, self._resumed = self._resumed, False
        return list(self._machine.resumed()) if due else []
