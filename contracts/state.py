"""The state of a keyed step, as the parts that its store keeps.

A step's machine names its parts; each part returns its changes since the last call. The store writes only these, so the
cost of a snapshot grows with the changes, not with the size of the state. A part is made of *columns*: numpy arrays (no
objects) or bytes. Their names and types are the format of the stored state (docs/state.md): another release reads them
by name.
"""

from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Columns = Mapping[str, NDArray[Any] | bytes]
T = TypeVar("T")


class Part(Protocol):
    """A piece of state that is stored by its changes.

    Returned arrays may be views: the caller copies them before the part changes again.
    """

    def changes(self) -> Columns:
        """Return what changed since the last call of :meth:`changes` or :meth:`whole`; empty if nothing did."""
        ...

    def whole(self) -> Columns:
        """Return everything. An empty part that gets it by :meth:`apply` equals this one."""
        ...

    def apply(self, columns: Columns) -> None:
        """Apply what an earlier part returned: first its whole, then its changes in their order."""
        ...


class Value(Generic[T]):
    """A part for a small value: it is stored whole when its bytes differ from those stored last.

    ``kind`` is the type of the value: a dataclass or a named tuple of plain values, arrays, lists and mappings, in any
    nesting. It is stored by the names of its fields as MessagePack, never as a pickle.
    """

    def __init__(self, kind: type[T], get: Callable[[], T], put: Callable[[T], None]):
        self._kind, self._get, self._put = kind, get, put
        self._stored = b""

    def changes(self) -> Columns:
        """Return the value if it changed."""
        packed = pack(self._get())
        if packed == self._stored:
            return {}
        self._stored = packed
        return {"value": packed}

    def whole(self) -> Columns:
        """Return the value."""
        self._stored = pack(self._get())
        return {"value": self._stored}

    def apply(self, columns: Columns) -> None:
        """Set the value."""
        packed = columns["value"]
        self._stored = bytes(packed)
        self._put(unpack(self._stored, self._kind))


def pack(value: object) -> bytes:
    """Return a value as MessagePack. An array is its type, its shape and its bytes; texts are a list."""
    return msgspec.msgpack.encode(value, enc_hook=_pack_array)


def unpack(packed: bytes, kind: type[T]) -> T:
    """Return the value of a type from what :func:`pack` returned. Raises ``msgspec.ValidationError`` if it differs."""
    return msgspec.msgpack.decode(packed, type=kind, dec_hook=_unpack_array)


def _pack_array(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, pa.StringArray):
        return ["texts", [len(value)], value.to_pylist()]
    if not isinstance(value, np.ndarray):
        raise NotImplementedError(f"state cannot hold a {type(value).__name__}")
    if value.dtype == object:
        return ["texts", list(value.shape), value.ravel().tolist()]
    return [np.lib.format.dtype_to_descr(value.dtype), list(value.shape), value.tobytes()]


def _unpack_array(kind: type, packed: Any) -> NDArray[Any]:  # noqa: ARG001
    descr, shape, data = packed
    if descr == "texts":
        texts = np.empty(len(data), object)
        texts[:] = data
        return texts.reshape(shape)
    return np.frombuffer(data, dtype_of(descr)).reshape(shape).copy()


def dtype_of(descr: Any) -> np.dtype[Any]:
    """Return the numpy type of a description that went through MessagePack, where tuples become lists."""
    return np.lib.format.descr_to_dtype(_tuples(descr))


def _tuples(descr: Any) -> Any:
    if isinstance(descr, str):
        return descr
    if descr and isinstance(descr[0], str) and len(descr) == 2 and not isinstance(descr[1], list):
        return tuple(descr)
    return [(field[0], _tuples(field[1]), *map(tuple, field[2:])) for field in descr]
