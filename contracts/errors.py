"""Errors for the user. The class says what kind of error it is; attributes carry the facts."""

from typing import Final

REBUILD: Final = "run `crmstream rebuild --from-warehouse` to compute all state anew (its --help says from what)"
"""The way on when state is lost or cannot be read, as a clause of a sentence."""
RESTORE_OR_REBUILD: Final = (
    "Ways on: (1) restore the folder `recovery` in CRM_DATA_DIR, all of it, from a backup; "
    f"(2) {REBUILD}."
)
"""The ways on when files of the recovery store are missing or damaged."""


class CrmError(Exception):
    """The user must act; commands print the message without a traceback."""

    def __init__(self, message: str, **context: object):
        super().__init__(message)
        self.context = context


class SettingsError(CrmError):
    """A setting is wrong."""


class StackError(CrmError):
    """A part of the local stack cannot start, or died."""


class LogMismatchError(CrmError):
    """The log is not the one that the resume position belongs to: another cluster, or it was truncated."""


class InputFileError(CrmError):
    """A file or its mapping cannot be read."""


class StoreUnavailableError(CrmError):
    """A store did not answer."""


class NoRoomError(StoreUnavailableError):
    """The disk of the local stack has too little room for more events."""


class StoreRefusedError(CrmError):
    """A store refused a write and would refuse it again: wrong columns, missing rights, a changed migration."""


class StateError(CrmError):
    """The stored state cannot be read or written: a damaged file, a newer version, a full disk."""


class TakenOverError(StateError):
    """Another run has continued the stored state, so this one must not."""

    def __init__(self, folder: object):
        super().__init__(
            f"another process has continued the state in {folder}; this one ends. Run one `crmstream up`, or one "
            "cluster, per CRM_DATA_DIR."
        )


class UnreadableStateError(StateError):
    """The stored state cannot be read, and no other start would read it: a damaged file, another version."""
