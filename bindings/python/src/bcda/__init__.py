"""Claims data of CMS's BCDA, and of other FHIR Bulk Data servers.

libbcda for Python: it signs in, starts an export, polls it, and streams its files; each is inflated,
decrypted, checked and split into FHIR resources as it arrives. A file is either complete or reported
as failed, and no file is ever held whole in memory.

>>> import bcda
>>> def load(url, client_id, client_secret):
...     with bcda.Client(url, client_id=client_id, client_secret=client_secret) as client:
...         for resource in client.export("ExplanationOfBenefit"):
...             print(resource.type, len(resource.json))
"""

from ._native import LibraryError, lib as _lib, text as _text
from ._batch import Batch, Column, FieldColumn, InvalidLine, Resource
from ._client import Client, Metadata, Stats
from ._decoder import Decoder, Decrypted, decrypt_file, read_file
from ._job import Batches, Deletion, File, IncompleteExport, Issue, Job
from .enums import ErrorCode, FileEvent, JobState, Level, Severity, Verdict
from .errors import (
    AnswerTooLarge, AuthError, BadLine, BadRequest, CallbackError, Cancelled, CertificateError, ConfigError,
    ConnectError, ConnectTimeout, CutFile, DamagedFile, DataError, DependencyError, Error, FileChanged,
    FileKeyError, Forbidden, ForkedError, Gone, HostError, HttpError, InsecureUrl, InvalidArgument, JobCancelled,
    JobFailed, JobTimeout, LocalError, LocalFileError, MismatchedFile, NotFound, NotReady, OptionError, OriginError,
    OutOfMemory, PrivateKeyError, ProtocolError, ProxyError, RedirectError, ReentrantError, ResolveError,
    ServerError, ServerUnavailable, SpoolError, Stalled, StateError, Stopped, SystemRefused, TamperedFile,
    TimeoutExpired, TlsError, TooManyBadLines, TooManyRequests, TransferError, TransportError, Truncated,
    UnsupportedError, UrlError, UsageError)

#: The version of this package.
__version__ = "0.1.0"
#: The version of the library that is loaded.
library_version = _text(_lib.bcda_version_string())
#: The file that the library was loaded from.
library_path = _lib.path

__all__ = [
    "AnswerTooLarge", "AuthError", "BadLine", "BadRequest", "Batch", "Batches", "CallbackError", "Cancelled",
    "CertificateError", "Client", "Column", "ConfigError", "ConnectError", "ConnectTimeout", "CutFile",
    "DamagedFile", "DataError", "Decoder", "Decrypted", "Deletion", "DependencyError", "Error", "ErrorCode",
    "FieldColumn", "File", "FileChanged", "FileEvent", "FileKeyError", "Forbidden", "ForkedError", "Gone",
    "HostError", "HttpError", "IncompleteExport", "InsecureUrl", "InvalidArgument", "InvalidLine", "Issue", "Job",
    "JobCancelled", "JobFailed", "JobState", "JobTimeout", "Level", "LibraryError", "LocalError", "LocalFileError",
    "Metadata", "MismatchedFile", "NotFound", "NotReady", "OptionError", "OriginError", "OutOfMemory",
    "PrivateKeyError", "ProtocolError", "ProxyError", "RedirectError", "ReentrantError", "ResolveError", "Resource",
    "ServerError", "ServerUnavailable", "Severity", "SpoolError", "Stalled", "StateError", "Stats", "Stopped",
    "SystemRefused", "TamperedFile", "TimeoutExpired", "TlsError", "TooManyBadLines", "TooManyRequests",
    "TransferError", "TransportError", "Truncated", "UnsupportedError", "UrlError", "UsageError", "Verdict",
    "decrypt_file", "library_path", "library_version", "read_file",
]
