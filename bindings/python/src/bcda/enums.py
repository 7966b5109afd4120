"""The enumerations of the library."""

from __future__ import annotations

import enum

from . import _abi


class _Named(enum.IntEnum):
    """An int that prints as its name."""

    def __str__(self) -> str:
        return self.name

    def __format__(self, spec: str) -> str:
        return format(int(self) if spec[-1:] in tuple("bcdoxXn") else str(self), spec)


class _Open(_Named):
    """Base of the enumerations. A later version of the library may return a value that is not listed here;
    such a value becomes a member named ``UNKNOWN_<number>``."""

    @classmethod
    def _missing_(cls, value: object) -> "_Open":
        if not isinstance(value, int):
            raise ValueError(f"{value!r} is not a {cls.__name__}")
        member = int.__new__(cls, value)
        member._name_ = f"UNKNOWN_{value}"
        member._value_ = value
        return member


class Level(_Named):
    """The FHIR level at which an export starts."""

    RESOURCE = _abi.LEVEL_RESOURCE  #: ``/<type>/$export`` for exactly one type; at BCDA until 2019-12
    PATIENT = _abi.LEVEL_PATIENT  #: ``/Patient/$export``
    GROUP = _abi.LEVEL_GROUP  #: ``/Group/<id>/$export``
    SYSTEM = _abi.LEVEL_SYSTEM  #: ``/$export``; not at BCDA


class JobState(_Open):
    """What a job is doing."""

    STARTING = _abi.JOB_STARTING  #: token and kick-off
    RUNNING = _abi.JOB_RUNNING  #: the server works and is polled; ``job.url`` is known
    DOWNLOADING = _abi.JOB_DOWNLOADING  #: ``job.files`` is known
    DONE = _abi.JOB_DONE  #: succeeded
    FAILED = _abi.JOB_FAILED  #: failed


class FileEvent(_Open):
    """What ``on_file`` reports of a file."""

    BEGIN = _abi.FILE_BEGIN  #: the file is about to be requested
    END = _abi.FILE_END  #: ``file.verdict`` is known: commit, or undo


class Verdict(_Open):
    """The verdict on a file, or on a whole job."""

    NONE = _abi.VERDICT_NONE  #: the file or job has not ended yet
    COMPLETE = _abi.VERDICT_COMPLETE  #: every check has passed
    COMPLETE_BAD_LINES = _abi.VERDICT_COMPLETE_BAD_LINES  #: complete, with invalid lines
    FAILED = _abi.VERDICT_FAILED  #: ``error`` says why; its resources are void
    #: only for a file of a restored job: it was complete before, and is not downloaded again
    SKIPPED = _abi.VERDICT_SKIPPED
    #: only for a job: every file is complete, but something needs attention: `Job.missing_types`,
    #: `Job.deleted_files` if there is no ``on_deletion``, `Job.bad_lines`, or `Job.issue_counts` of
    #: severity error or fatal
    COMPLETE_ERRORS = _abi.VERDICT_COMPLETE_ERRORS

    @property
    def is_good(self) -> bool:
        """Whether the resources may be kept."""
        return self not in (Verdict.NONE, Verdict.FAILED)


class Severity(_Open):
    """FHIR's severity of an issue."""

    UNKNOWN = _abi.SEVERITY_UNKNOWN
    INFORMATION = _abi.SEVERITY_INFORMATION
    WARNING = _abi.SEVERITY_WARNING
    ERROR = _abi.SEVERITY_ERROR
    FATAL = _abi.SEVERITY_FATAL


class ErrorCode(_Open):
    """The codes of the library's errors; doc/guide/errors.md says what each means.

    A code prints as its documented name, such as ``BCDA_ERR_TAG``.
    """

    OK = _abi.OK
    INVALID = _abi.ERR_INVALID
    STATE = _abi.ERR_STATE
    REENTRANT = _abi.ERR_REENTRANT
    FORKED = _abi.ERR_FORKED
    OPTION_UNKNOWN = _abi.ERR_OPTION_UNKNOWN
    OPTION_TYPE = _abi.ERR_OPTION_TYPE
    OPTION_RANGE = _abi.ERR_OPTION_RANGE
    UNSUPPORTED = _abi.ERR_UNSUPPORTED
    CONFIG = _abi.ERR_CONFIG
    URL = _abi.ERR_URL
    INSECURE_URL = _abi.ERR_INSECURE_URL
    AGAIN = _abi.ERR_AGAIN
    END = _abi.ERR_END
    TIMEOUT = _abi.ERR_TIMEOUT
    INTERRUPTED = _abi.ERR_INTERRUPTED
    NOMEM = _abi.ERR_NOMEM
    IO = _abi.ERR_IO
    SYSTEM = _abi.ERR_SYSTEM
    LIBRARY = _abi.ERR_LIBRARY
    KEY_FORMAT = _abi.ERR_KEY_FORMAT
    KEY_PASSPHRASE = _abi.ERR_KEY_PASSPHRASE
    KEY_UNSUPPORTED = _abi.ERR_KEY_UNSUPPORTED
    KEY_FIPS = _abi.ERR_KEY_FIPS
    SPOOL = _abi.ERR_SPOOL
    SPOOL_FULL = _abi.ERR_SPOOL_FULL
    RESOLVE = _abi.ERR_RESOLVE
    CONNECT = _abi.ERR_CONNECT
    CONNECT_TIMEOUT = _abi.ERR_CONNECT_TIMEOUT
    TLS = _abi.ERR_TLS
    TLS_VERIFY = _abi.ERR_TLS_VERIFY
    TRANSFER = _abi.ERR_TRANSFER
    STALLED = _abi.ERR_STALLED
    TRUNCATED = _abi.ERR_TRUNCATED
    HTTP = _abi.ERR_HTTP
    HEADERS_TOO_LARGE = _abi.ERR_HEADERS_TOO_LARGE
    BODY_TOO_LARGE = _abi.ERR_BODY_TOO_LARGE
    PROXY = _abi.ERR_PROXY
    STATUS = _abi.ERR_STATUS
    BAD_REQUEST = _abi.ERR_BAD_REQUEST
    AUTH = _abi.ERR_AUTH
    FORBIDDEN = _abi.ERR_FORBIDDEN
    NOT_FOUND = _abi.ERR_NOT_FOUND
    GONE = _abi.ERR_GONE
    TOO_MANY = _abi.ERR_TOO_MANY
    SERVER = _abi.ERR_SERVER
    JOB_FAILED = _abi.ERR_JOB_FAILED
    JOB_CANCELLED = _abi.ERR_JOB_CANCELLED
    JOB_TIMEOUT = _abi.ERR_JOB_TIMEOUT
    TOKEN = _abi.ERR_TOKEN
    NO_LOCATION = _abi.ERR_NO_LOCATION
    NOT_JSON = _abi.ERR_NOT_JSON
    MANIFEST = _abi.ERR_MANIFEST
    REDIRECT = _abi.ERR_REDIRECT
    ORIGIN = _abi.ERR_ORIGIN
    DISCOVERY = _abi.ERR_DISCOVERY
    KEY_MISSING = _abi.ERR_KEY_MISSING
    KEY_VALUE = _abi.ERR_KEY_VALUE
    KEY_UNWRAP = _abi.ERR_KEY_UNWRAP
    KEY_LABEL = _abi.ERR_KEY_LABEL
    CIPHER_SHORT = _abi.ERR_CIPHER_SHORT
    TAG = _abi.ERR_TAG
    GZIP = _abi.ERR_GZIP
    GZIP_CUT = _abi.ERR_GZIP_CUT
    LINE_JSON = _abi.ERR_LINE_JSON
    LINE_UTF8 = _abi.ERR_LINE_UTF8
    LINE_TOO_LONG = _abi.ERR_LINE_TOO_LONG
    LINE_DEPTH = _abi.ERR_LINE_DEPTH
    LINE_CUT = _abi.ERR_LINE_CUT
    LINE_TYPE = _abi.ERR_LINE_TYPE
    BAD_LINES = _abi.ERR_BAD_LINES
    CHANGED = _abi.ERR_CHANGED
    LENGTH = _abi.ERR_LENGTH
    CHECKSUM = _abi.ERR_CHECKSUM
    COUNT = _abi.ERR_COUNT
    STOPPED = _abi.ERR_STOPPED
    CANCELLED = _abi.ERR_CANCELLED
    CALLBACK = _abi.ERR_CALLBACK

    def __str__(self) -> str:
        return "BCDA_OK" if self == 0 else "BCDA_ERR_" + self.name
