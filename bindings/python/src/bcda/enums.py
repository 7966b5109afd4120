"""The numbered things of the library, by name."""

from __future__ import annotations

import enum

from . import _abi


class _Open(enum.IntEnum):
    """A later library may have values that are not known here: they stay numbers with a name."""

    @classmethod
    def _missing_(cls, value: object) -> "_Open":
        if not isinstance(value, int):
            raise ValueError(f"{value!r} is no {cls.__name__}")
        member = int.__new__(cls, value)
        member._name_ = f"UNKNOWN_{value}"
        member._value_ = value
        return member


class Level(enum.IntEnum):
    """Where an export starts."""

    RESOURCE = _abi.LEVEL_RESOURCE  #: ``/<the one type>/$export``; BCDA until 2019-12
    PATIENT = _abi.LEVEL_PATIENT  #: ``/Patient/$export``
    GROUP = _abi.LEVEL_GROUP  #: ``/Group/<id>/$export``
    SYSTEM = _abi.LEVEL_SYSTEM  #: ``/$export``; not at BCDA


class JobState(_Open):
    """What a job is doing."""

    STARTING = _abi.JOB_STARTING  #: token and kick-off
    RUNNING = _abi.JOB_RUNNING  #: the server works, we poll; ``job.url`` is known
    DOWNLOADING = _abi.JOB_DOWNLOADING  #: ``job.files`` is known
    DONE = _abi.JOB_DONE  #: ended well
    FAILED = _abi.JOB_FAILED  #: ended otherwise


class FileEvent(_Open):
    """What ``on_file`` tells of a file."""

    BEGIN = _abi.FILE_BEGIN  #: its first byte is about to be asked for
    END = _abi.FILE_END  #: ``file.verdict`` is known: commit, or undo


class Verdict(_Open):
    """What became of a file, or of a whole job."""

    NONE = _abi.VERDICT_NONE  #: not at its end yet
    COMPLETE = _abi.VERDICT_COMPLETE  #: every check was made and held
    COMPLETE_BAD_LINES = _abi.VERDICT_COMPLETE_BAD_LINES  #: complete, with lines that are no resources
    FAILED = _abi.VERDICT_FAILED  #: ``error`` says why; what came is void
    SKIPPED = _abi.VERDICT_SKIPPED  #: a restored job that had it before
    COMPLETE_ERRORS = _abi.VERDICT_COMPLETE_ERRORS  #: of a job: bad lines, or issues of severity error

    @property
    def is_good(self) -> bool:
        """Whether what came may be kept."""
        return self not in (Verdict.NONE, Verdict.FAILED)


class Severity(_Open):
    """FHIR's severity of an issue."""

    UNKNOWN = _abi.SEVERITY_UNKNOWN
    INFORMATION = _abi.SEVERITY_INFORMATION
    WARNING = _abi.SEVERITY_WARNING
    ERROR = _abi.SEVERITY_ERROR
    FATAL = _abi.SEVERITY_FATAL
