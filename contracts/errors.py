"""The errors that a person reads. Each says what to do in its class and carries its facts in attributes."""


class CrmError(Exception):
    """Something a person must act on; the command prints it without a traceback."""

    def __init__(self, message: str, **context: object):
        super().__init__(message)
        self.context = context


class SettingsError(CrmError):
    """A setting is wrong."""


class StackError(CrmError):
    """A part of the local stack cannot start, or died."""


class LogMismatchError(CrmError):
    """The log behind a resume position is another one: other cluster, or truncated."""


class InputFileError(CrmError):
    """A file or its mapping cannot be read."""


class StoreUnavailableError(CrmError):
    """A store did not answer."""


class NoRoomError(StoreUnavailableError):
    """The disk of the local stack has too little room for more events."""


class StoreRefusedError(CrmError):
    """A store refused what it was given and would again: a wrong shape, no rights, a changed migration."""
