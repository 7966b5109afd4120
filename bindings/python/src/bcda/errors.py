"""The exception classes, one for each kind of error.

`CLASSES` maps each `ErrorCode` to its class. A code that a later version of the library has added is
raised as the class of its range of numbers.
"""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple, Type

from . import _abi
from ._native import lib, text
from .enums import ErrorCode

__all__ = ["Error"]  # code below adds the other classes


class Error(Exception):
    """Base of all errors of this package.

    Attributes
    ----------
    code : ErrorCode
        Which error it is: a number with a name, such as `ErrorCode.TAG`.
    name : str
        Its name as in the documentation, such as ``"BCDA_ERR_TAG"``.
    text : str
        One line: what failed, for which file or request, and what to do. May be logged.
    is_retryable : bool
        Whether a later retry can succeed.
    http_status : int or None
        The HTTP status of the answer.
    retry_after : float or None
        How many seconds the server asked to wait.
    file : str
        The name of the data file, as in its URL; empty if the error is not about a file.
    line : int or None
        The line in that file, from 1.
    offset : int or None
        Where that line begins in the decoded file.
    server_text : str
        The server's text. It may name people: show it, do not log it.

    Examples
    --------
    >>> import bcda
    >>> try:
    ...     bcda.Client("http://sandbox.bcda.cms.gov/api/v2", bearer_token="t")
    ... except bcda.ConfigError as e:
    ...     print(e.name)
    BCDA_ERR_INSECURE_URL
    """

    def __init__(self, text: str = "", *, code: int = 0, is_retryable: bool = False,
                 http_status: Optional[int] = None, retry_after: Optional[float] = None,
                 file: str = "", line: Optional[int] = None, offset: Optional[int] = None,
                 server_text: str = "") -> None:
        super().__init__(text)
        self.code = ErrorCode(code)
        self.text = text
        self.is_retryable = is_retryable
        self.http_status = http_status
        self.retry_after = retry_after
        self.file = file
        self.line = line
        self.offset = offset
        self.server_text = server_text

    @property
    def name(self) -> str:
        return text(lib.bcda_error_name(self.code))

    def __reduce__(self) -> Tuple[Any, ...]:
        return (_again, (type(self), dict(self.__dict__)))


def _again(cls: Type[Error], fields: Dict[str, Any]) -> Error:
    return cls(fields.pop("text"), **fields)


class UsageError(Error):
    """The call or the configuration is wrong."""


class InvalidArgument(UsageError, ValueError):
    """An argument is empty or outside what is allowed."""


class StateError(UsageError):
    """The object is not in a state that allows the call: it is closed, or another thread uses it."""


class ReentrantError(StateError):
    """Called from inside a callback, where this is not allowed."""


class ForkedError(StateError):
    """The client was made before ``fork()``, and this is the child: make a new one."""


class OptionError(UsageError, ValueError):
    """The option does not exist, or its value is outside its limits."""


class UnsupportedError(UsageError):
    """This build of the library does not support what was requested."""


class NotReady(UsageError):
    """Nothing is ready yet, or nothing is left. Inside the package only: it is not raised to the
    application."""


class TimeoutExpired(UsageError):
    """The timeout has expired, and work remains."""


class ConfigError(UsageError):
    """Something needed is not set, or settings contradict each other; the text says which."""


class UrlError(ConfigError):
    """Not an absolute http or https URL, or one with user information or a fragment."""


class InsecureUrl(UrlError):
    """An http URL, which was refused before any byte was sent. The text names the https form."""


class LocalError(Error):
    """An error on this machine: memory, files, the libraries that libbcda uses."""


class OutOfMemory(LocalError):
    """An allocation was refused."""


class LocalFileError(LocalError):
    """A local file cannot be read or written; the text says which and why."""


class SystemRefused(LocalError):
    """The system refused a descriptor, a timer or entropy."""


class DependencyError(LocalError):
    """libcurl, libgcrypt, zlib or yajl failed or lacks something; the text says what."""


class PrivateKeyError(LocalError):
    """The private key cannot be read: wrong format, wrong passphrase, or not an RSA key."""


class SpoolError(LocalError):
    """The spool directory cannot be written to, or is full."""


class TransportError(Error):
    """An error on the way between this machine and the server."""


class ResolveError(TransportError):
    """The name of the server or proxy has no address."""


class ConnectError(TransportError):
    """The connection was refused, the server is unreachable, or connecting took too long."""


class ConnectTimeout(ConnectError):
    """Connecting took too long. For BCDA's production server, a frequent cause is that CMS has not allowed
    the IP address of this machine."""


class TlsError(TransportError):
    """The TLS handshake failed: it was interrupted, or there is no common version or cipher."""


class CertificateError(TlsError):
    """The server's certificate is not trusted, has another name or has expired."""


class TransferError(TransportError):
    """The connection was reset or closed in the middle of a request or response."""


class Stalled(TransferError):
    """The transfer was too slow for too long."""


class Truncated(TransferError):
    """The body has fewer bytes than announced, or its end cannot be recognised."""


class HttpError(TransportError):
    """The response is not HTTP/1.1."""


class AnswerTooLarge(TransportError):
    """The headers or the body are longer than their limit."""


class ProxyError(TransportError):
    """The proxy cannot be reached, or refuses."""


class ServerError(Error):
    """The server has answered with an error."""


class BadRequest(ServerError):
    """400; ``server_text`` says what the server refused."""


class AuthError(ServerError):
    """401: wrong or expired credentials, no usable token, or no token URL found."""


class Forbidden(ServerError):
    """403: the organization, or this version of the API, is denied."""


class NotFound(ServerError):
    """404: no such job or file, or no attribution data yet."""


class Gone(ServerError):
    """410: the job is older than a day. Start a new one."""


class TooManyRequests(ServerError):
    """429: an identical export is already running, or too many requests; see ``retry_after``."""


class ServerUnavailable(ServerError):
    """408, 425, 500, 502, 503, 504, or what the server itself calls transient."""


class JobFailed(ServerError):
    """The job has failed at the server. Start a new one."""


class JobCancelled(ServerError):
    """The job was cancelled at the server."""


class JobTimeout(ServerError):
    """The job took longer than the option ``job_timeout_ms``."""


class ProtocolError(ServerError):
    """An incomplete answer: no location, no JSON, no manifest."""


class RedirectError(ServerError):
    """A redirect that may not be followed."""


class OriginError(ServerError):
    """A URL whose origin is not allowed for the request."""


class DataError(Error):
    """An error in the bytes of a file. The delivered resources of that file are void."""


class FileKeyError(DataError):
    """The file's key is missing, damaged, or for another private key or file name."""


class TamperedFile(DataError):
    """The file was altered, cut or extended, in transit or in storage: nothing in it may be trusted."""


class DamagedFile(DataError):
    """The file is not gzip, or its gzip checksum or length is wrong."""


class CutFile(DataError):
    """The end of the file is missing."""


class FileChanged(DataError):
    """After an interruption, the server sent a different file under the same URL. Export again."""


class MismatchedFile(DataError):
    """The length, checksum or number of resources differs from the manifest."""


class BadLine(DataError):
    """An invalid line that is not tolerated (option ``bad_lines_max``)."""


class TooManyBadLines(BadLine):
    """More invalid lines in one job than ``bad_lines_max``."""


class HostError(Error):
    """Caused by the application itself: by a callback or a call."""


class Stopped(HostError):
    """A callback stopped the job."""


class Cancelled(HostError):
    """The job was cancelled here, or its client was closed."""


class CallbackError(HostError):
    """A callback returned a value that is not defined for it."""


#: The class of each code of the library.
CLASSES: Dict[int, Type[Error]] = {
    _abi.ERR_INVALID: InvalidArgument,
    _abi.ERR_STATE: StateError,
    _abi.ERR_REENTRANT: ReentrantError,
    _abi.ERR_FORKED: ForkedError,
    _abi.ERR_OPTION_UNKNOWN: OptionError,
    _abi.ERR_OPTION_TYPE: OptionError,
    _abi.ERR_OPTION_RANGE: OptionError,
    _abi.ERR_UNSUPPORTED: UnsupportedError,
    _abi.ERR_CONFIG: ConfigError,
    _abi.ERR_URL: UrlError,
    _abi.ERR_INSECURE_URL: InsecureUrl,
    _abi.ERR_AGAIN: NotReady,
    _abi.ERR_END: NotReady,
    _abi.ERR_TIMEOUT: TimeoutExpired,
    _abi.ERR_INTERRUPTED: NotReady,
    _abi.ERR_NOMEM: OutOfMemory,
    _abi.ERR_IO: LocalFileError,
    _abi.ERR_SYSTEM: SystemRefused,
    _abi.ERR_LIBRARY: DependencyError,
    _abi.ERR_KEY_FORMAT: PrivateKeyError,
    _abi.ERR_KEY_PASSPHRASE: PrivateKeyError,
    _abi.ERR_KEY_UNSUPPORTED: PrivateKeyError,
    _abi.ERR_KEY_FIPS: PrivateKeyError,
    _abi.ERR_SPOOL: SpoolError,
    _abi.ERR_SPOOL_FULL: SpoolError,
    _abi.ERR_RESOLVE: ResolveError,
    _abi.ERR_CONNECT: ConnectError,
    _abi.ERR_CONNECT_TIMEOUT: ConnectTimeout,
    _abi.ERR_TLS: TlsError,
    _abi.ERR_TLS_VERIFY: CertificateError,
    _abi.ERR_TRANSFER: TransferError,
    _abi.ERR_STALLED: Stalled,
    _abi.ERR_TRUNCATED: Truncated,
    _abi.ERR_HTTP: HttpError,
    _abi.ERR_HEADERS_TOO_LARGE: AnswerTooLarge,
    _abi.ERR_BODY_TOO_LARGE: AnswerTooLarge,
    _abi.ERR_PROXY: ProxyError,
    _abi.ERR_STATUS: ServerError,
    _abi.ERR_BAD_REQUEST: BadRequest,
    _abi.ERR_AUTH: AuthError,
    _abi.ERR_FORBIDDEN: Forbidden,
    _abi.ERR_NOT_FOUND: NotFound,
    _abi.ERR_GONE: Gone,
    _abi.ERR_TOO_MANY: TooManyRequests,
    _abi.ERR_SERVER: ServerUnavailable,
    _abi.ERR_JOB_FAILED: JobFailed,
    _abi.ERR_JOB_CANCELLED: JobCancelled,
    _abi.ERR_JOB_TIMEOUT: JobTimeout,
    _abi.ERR_TOKEN: AuthError,
    _abi.ERR_NO_LOCATION: ProtocolError,
    _abi.ERR_NOT_JSON: ProtocolError,
    _abi.ERR_MANIFEST: ProtocolError,
    _abi.ERR_REDIRECT: RedirectError,
    _abi.ERR_ORIGIN: OriginError,
    _abi.ERR_DISCOVERY: AuthError,
    _abi.ERR_KEY_MISSING: FileKeyError,
    _abi.ERR_KEY_VALUE: FileKeyError,
    _abi.ERR_KEY_UNWRAP: FileKeyError,
    _abi.ERR_KEY_LABEL: FileKeyError,
    _abi.ERR_CIPHER_SHORT: CutFile,
    _abi.ERR_TAG: TamperedFile,
    _abi.ERR_GZIP: DamagedFile,
    _abi.ERR_GZIP_CUT: CutFile,
    _abi.ERR_LINE_JSON: BadLine,
    _abi.ERR_LINE_UTF8: BadLine,
    _abi.ERR_LINE_TOO_LONG: BadLine,
    _abi.ERR_LINE_DEPTH: BadLine,
    _abi.ERR_LINE_CUT: CutFile,
    _abi.ERR_LINE_TYPE: BadLine,
    _abi.ERR_BAD_LINES: TooManyBadLines,
    _abi.ERR_CHANGED: FileChanged,
    _abi.ERR_LENGTH: MismatchedFile,
    _abi.ERR_CHECKSUM: MismatchedFile,
    _abi.ERR_COUNT: MismatchedFile,
    _abi.ERR_STOPPED: Stopped,
    _abi.ERR_CANCELLED: Cancelled,
    _abi.ERR_CALLBACK: CallbackError,
}

_RANGES: Tuple[Tuple[int, Type[Error]], ...] = (
    (-400, HostError), (-300, DataError), (-200, ServerError), (-100, TransportError),
    (-50, LocalError), (0, UsageError),
)


def class_of(code: int) -> Type[Error]:
    """The class that a code is raised as."""
    found = CLASSES.get(code)
    if found is None:
        found = next((c for top, c in _RANGES if code <= top), Error)
    return found


#: Texts for codes whose text in the library is written for C programs.
_TEXTS: Dict[int, str] = {
    _abi.ERR_REENTRANT: "a callback cannot loop, wait or send a request with the client or decoder that "
                        "called it: do that when the callback has returned",
    _abi.ERR_FORKED: "the client was made before fork() and belongs to the parent process: make a new "
                     "client in the child",
    _abi.ERR_TIMEOUT: "the timeout has expired, and the job has not ended; it continues when it is waited for again",
}


def from_code(code: int, words: str = "") -> Error:
    """An error that the library returned as a code only."""
    return class_of(code)(words or _TEXTS.get(code) or text(lib.bcda_error_string(code)), code=code)


def reworded(error: Error, words: str) -> Error:
    """The same error with another text."""
    return type(error)(words, **{name: value for name, value in vars(error).items() if name != "text"})


def from_pointer(error: Optional[int], code: int = 0) -> Error:
    """The exception for a ``bcda_error *``, or for `code` if the pointer is NULL."""
    if not error:
        return from_code(code)
    code = lib.bcda_error_code(error)
    retry_after = lib.bcda_error_retry_after_ms(error)
    offset = lib.bcda_error_offset(error)
    return class_of(code)(
        _TEXTS.get(code) or text(lib.bcda_error_text(error)), code=code,
        is_retryable=bool(lib.bcda_error_is_retryable(error)),
        http_status=lib.bcda_error_http_status(error) or None,
        retry_after=retry_after / 1000 if retry_after >= 0 else None,
        file=text(lib.bcda_error_file(error)), line=lib.bcda_error_line(error) or None,
        offset=offset if offset >= 0 else None,
        server_text=text(lib.bcda_error_server_text(error)))


__all__ += sorted(name for name, value in list(globals().items())
                  if isinstance(value, type) and issubclass(value, Error) and value is not Error)
