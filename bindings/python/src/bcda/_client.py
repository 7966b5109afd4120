"""A client: one identity at one server."""

from __future__ import annotations

import asyncio
import ctypes
import datetime
import inspect
import itertools
import json
import os
import weakref
from typing import (Any, Awaitable, Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple,
                    Type, Union, TYPE_CHECKING)

from . import _abi, _progress, errors
from ._aio import Driver
from ._arguments import (Pairs, Path, add_fields, argument, handler, mapping, mistyped, named, optional, pairs,
                         path, refused, texts)
from ._config import Config, OptionValue, PrivateKey, both
from ._core import Core, Handle, abandon, enter_callback, leave_callback, tidy
from ._job import Callbacks, Deletion, File, Issue, Job
from ._batch import InvalidLine
from ._native import callback, lib, text
from ._sign_in import Scope, SigningKey, SignIn
from .enums import FileEvent, JobState, Level

if TYPE_CHECKING:
    from types import TracebackType

#: The default of the option ``batch_size`` in this package: twice the library's default. Python needs
#: about fifty microseconds for each batch, whatever its number of resources.
BATCH_SIZE = 512 * 1024

#: A token, or a token and its lifetime in seconds.
Token = Union[str, Tuple[str, float]]
TokenProvider = Callable[[], Union[Token, Awaitable[Token]]]

_clients: Dict[int, "weakref.ref[Client]"] = {}  # the keys are the userdata of the callbacks
_numbers = itertools.count(1)


def _checked(token: Any) -> Tuple[bytes, int]:
    """A token and its lifetime in seconds, -1 if that is not known."""
    value, lifetime = token if isinstance(token, tuple) and len(token) == 2 else (token, -1)
    if not isinstance(value, str) or not isinstance(lifetime, (int, float)):
        raise TypeError("token_provider must return a str, or a tuple of a str and a number of seconds")
    return argument(value, "the token of token_provider"), int(lifetime)


def _on_token(request: int, userdata: Optional[int]) -> None:
    enter_callback()
    client: Optional[Client] = None
    open_ = True
    try:
        found = _clients.get(userdata or 0)
        client = found() if found is not None else None
        if client is None or client._provider is None:
            return
        token = client._provider()
        if inspect.isawaitable(token):
            client._answer_later(request, token)
            open_ = False
            return
        value, lifetime = _checked(token)  # may raise, so it must come before the answer
        open_ = False
        lib.bcda_token_request_answer(request, value, lifetime)
        client._provider_exception = None
    except BaseException as e:
        if client is not None:
            client._provider_failed(e)
    finally:
        if open_:
            lib.bcda_token_request_fail(request)
        leave_callback()


_job_start: Callable[..., int] = lib.bcda_job_start
_job_attach: Callable[..., int] = lib.bcda_job_attach
_job_restore: Callable[..., int] = lib.bcda_job_restore

_ON_TOKEN = callback("bcda_token_provider_cb", _on_token)


def _forget(number: int) -> None:
    _clients.pop(number, None)


# ---- settings of a client


def _needs(keyword: str, value: object, other: str) -> None:
    if value is not None:
        raise errors.from_code(_abi.ERR_CONFIG, f"{keyword} is given without {other}")


def _set_tls(config: Config, ca_file: Optional[Path], certificate: Union[Path, Tuple[Path, Path], None],
             passphrase: Optional[str], origins: Iterable[str]) -> Dict[str, str]:
    """Sets the files for TLS. Returns a dict from each file to its keyword, for error texts."""
    files = {}
    shown_to = texts(origins, "certificate_origins")
    if ca_file is not None:
        config.set("ca_file", "set_ca_file", path(ca_file, "ca_file"))
        files[os.fspath(ca_file)] = "ca_file"
    if certificate is None:
        _needs("client_certificate_passphrase", passphrase, "client_certificate")
        _needs("certificate_origins", shown_to or None, "client_certificate")
        return files
    names = both(certificate, "client_certificate")
    config.set("client_certificate", "set_client_certificate", *names,
               optional(passphrase, "client_certificate_passphrase"))
    files.update((os.fsdecode(name), "client_certificate") for name in names)
    for origin in shown_to:
        config.text("certificate_origins", "add_certificate_origin", origin)
    return files


def _set_proxy(config: Config, proxy: Optional[str], user: Optional[str], password: Optional[str]) -> None:
    if proxy is not None:
        config.set("proxy", "set_proxy", argument(proxy, "proxy"), optional(user, "proxy_user"),
                   optional(password, "proxy_password"))
        return
    _needs("proxy_user", user, "proxy")
    _needs("proxy_password", password, "proxy")


def _by_keyword(error: errors.Error, files: Mapping[str, str]) -> errors.Error:
    """The library's error about the configuration; its text names the keyword instead of the C setting."""
    keywords = {"the FHIR URL: ": "fhir_url: ", "the token URL: ": "token_url: ", "a rewritten URL: ": "url_rewrites: ",
                "the token cache ": "token_cache: ", "the request budget ": "request_budget: ",
                **{f"{name}: ": f"{keyword}: {name}: " for name, keyword in files.items()}}
    for words, keyword in keywords.items():
        if error.text.startswith(words):
            return errors.reworded(error, keyword + error.text[len(words):])
    return error


class Metadata(NamedTuple):
    """The metadata of a server.

    Attributes
    ----------
    fhir_version : str
        Such as ``"4.0.1"``; empty if the server does not give it.
    software_version : str
    token_url : str
    body : bytes
        The CapabilityStatement, unchanged.
    """

    fhir_version: str
    software_version: str
    token_url: str
    body: bytes

    def parse(self) -> Any:
        """The CapabilityStatement as Python's dicts and lists."""
        return json.loads(self.body)


class Stats(NamedTuple):
    """Statistics of a client since its creation."""

    requests: int  #: HTTP requests sent, retries included
    retries: int  #: requests sent again
    tokens: int  #: tokens fetched
    bytes_wire: int  #: body bytes received
    bytes_decoded: int  #: bytes of NDJSON, decoded from the received bytes
    resources: int  #: resources delivered
    transfers: int  #: transfers that are open at this moment
    waits: int  #: times a request had to wait because of the limit of requests per second
    transport_ns: int  #: nanoseconds in libcurl: TCP, TLS, HTTP
    hash_ns: int  #: nanoseconds in the hash of the received bytes
    inflate_ns: int  #: nanoseconds in gzip, on all threads that decode
    decrypt_ns: int  #: nanoseconds in AES-GCM and opening keys, on all threads that decode
    parse_ns: int  #: nanoseconds of splitting and checking lines, on all threads that decode
    deliver_ns: int  #: nanoseconds in the handlers of invalid lines, of issues and of deletions
    spool_ns: int  #: nanoseconds of writing and reading the temporary files of verified delivery
    sleep_ns: int  #: nanoseconds in which the library waited
    yajl_lines: int  #: lines that were read by yajl, not by the faster scanner


class Client:
    """One identity at one server.

    One thread at a time drives a client and its jobs; a second thread that iterates or waits at the
    same time gets `StateError`. Other calls, such as `Job.cancel` or reading a job's numbers, may
    be made from any thread and wait for the current step. Different clients are independent. After
    ``fork()`` a client belongs to the parent: the child gets `ForkedError`.

    Parameters
    ----------
    fhir_url : str
        The base of the FHIR API, such as ``"https://sandbox.bcda.cms.gov/api/v2"``.
    client_id : str, optional
        The id of the client, with `client_secret` or `private_key_jwt`.
    client_secret : str, optional
        The secret of OAuth client credentials (BCDA). The token is fetched, shared, and renewed as
        needed.
    private_key_jwt : path, text (str or bytes) or dict, optional
        The key that signs in by SMART Backend Services: RSA, or EC on P-384. The path of a file, its
        text (PEM, JWK or JWKS), or a JWK or JWKS as a dict.
    private_key_jwt_passphrase : str, optional
        For an encrypted PEM key.
    kid : str, optional
        The id under which the server has the public key; it also selects the key of a JWKS.
        Default: the ``kid`` of the JWK.
    scope : str or sequence of str, optional
        What to ask for with a signing key, such as ``"system/Patient.rs"``. Default: to read all
        types. `missing_scope` has what the server did not grant.
    bearer_token : str, optional
        An existing token; it is never renewed.
    token_provider : callable, optional
        Called without arguments when a token is needed; returns the token, or a tuple of the token
        and its lifetime in seconds. On asyncio it may be a coroutine function.
    token_file : path, optional
        A file that another program keeps up to date: the token, or a JSON document with
        ``access_token``. It is read again before the token expires, and after a 401.
    token_command : str, optional
        A command that prints what a token file has; ``/bin/sh`` runs it when a token is needed. It
        must not be a secret. Option ``token_command_timeout_ms`` limits its time.
    no_auth : bool, optional
        True for an open server, which requires no token.
    token_url : str, optional
        The URL of token requests. Default: with `client_secret` ``/auth/token`` at the server's
        origin; with a signing key what the server announces.
    token_cache : path, optional
        A file (mode 0600) with which processes share the token of a client id.
    request_budget : path, optional
        A file (mode 0600) with which processes share the limit of requests per second.
    private_key : path, PEM text or bytes, or sequence of them, optional
        RSA private keys (PEM) for encrypted files: the path of a file, or its content. With
        `client_id`, but without `client_secret` and `private_key_jwt`, a single `private_key` is the
        key that signs in, as `private_key_jwt` is, and there is no key for encrypted files.
    private_key_passphrase : str, optional
    ca_file : path, optional
        The authorities to trust (PEM), in place of the system's.
    client_certificate : path or (path, path), optional
        A certificate for TLS: one PEM file with its key, or certificate and key.
    client_certificate_passphrase : str, optional
    certificate_origins : sequence of str, optional
        The origins to which the certificate is shown. Default: those of the FHIR URL and the token
        URL.
    proxy : str, optional
        Such as ``"http://proxy.example:3128"``. The environment is not read.
    proxy_user, proxy_password : str, optional
    spool_directory : path, optional
        The directory of the temporary files that hold each data file until it is verified, with
        ``options={"delivery": "verified"}``.
    url_rewrites : mapping of str to str, or iterable of (str, str), optional
        Replaces the first string of a pair by the second in the URLs that the server returns. For a
        server behind a reverse proxy that returns URLs with its internal name.
    allowed_origins : sequence of str, optional
        Origins of files besides the server's own. Default: every https origin.
    log_level : int or str, optional
        The most detailed level of `logging` that the library reports. Default: the level of the
        logger ``bcda`` at this moment. Lines are logged to ``bcda.<component>``.
    options : mapping, optional
        Options by name, such as ``{"parallel": 2, "bad_lines_max": -1}``; see ``bcda/config.h``.
        ``delivery`` is ``"streaming"`` or ``"verified"``, ``duplicate_job`` is ``"wait"``,
        ``"refuse"`` or ``"take_over"``. The default of ``batch_size`` is 512 KiB here.

    Raises
    ------
    ConfigError
        A setting is missing, or settings contradict each other. No network is touched.
    InvalidArgument, OptionError, UrlError, LocalFileError, PrivateKeyError
        An invalid value. The text names the keyword.

    Examples
    --------
    >>> import bcda
    >>> with bcda.Client("https://sandbox.bcda.cms.gov/api/v2",
    ...                  client_id="an-id", client_secret="a secret") as client:
    ...     client.stats.requests
    0
    """

    def __init__(self, fhir_url: str, *, client_id: Optional[str] = None,
                 client_secret: Optional[str] = None, private_key_jwt: Optional[SigningKey] = None,
                 private_key_jwt_passphrase: Optional[str] = None, kid: Optional[str] = None,
                 scope: Optional[Scope] = None, bearer_token: Optional[str] = None,
                 token_provider: Optional[TokenProvider] = None, token_file: Optional[Path] = None,
                 token_command: Optional[str] = None, no_auth: bool = False,
                 token_url: Optional[str] = None, token_cache: Optional[Path] = None,
                 request_budget: Optional[Path] = None,
                 private_key: Union[PrivateKey, Mapping[str, Any], None] = None,
                 private_key_passphrase: Optional[str] = None, ca_file: Optional[Path] = None,
                 client_certificate: Union[Path, Tuple[Path, Path], None] = None,
                 client_certificate_passphrase: Optional[str] = None,
                 certificate_origins: Iterable[str] = (), proxy: Optional[str] = None,
                 proxy_user: Optional[str] = None, proxy_password: Optional[str] = None,
                 spool_directory: Optional[Path] = None,
                 url_rewrites: Pairs = (), allowed_origins: Iterable[str] = (),
                 log_level: Union[int, str, None] = None,
                 options: Optional[Mapping[str, OptionValue]] = None) -> None:
        tidy()
        sign_in = SignIn(private_key, private_key_passphrase, no_auth, client_id=client_id, client_secret=client_secret,
                         private_key_jwt=private_key_jwt, private_key_jwt_passphrase=private_key_jwt_passphrase,
                         kid=kid, scope=scope, bearer_token=bearer_token, token_provider=token_provider,
                         token_file=token_file, token_command=token_command, token_url=token_url,
                         token_cache=token_cache)
        self._provider = token_provider
        self._provider_exception: Optional[BaseException] = None
        self._number = next(_numbers)
        made = ctypes.c_void_p()
        with Config() as config:
            config.text("fhir_url", "set_fhir_url", fhir_url)
            sign_in.set(config, lambda: self._set_provider(config))
            config.private_keys(sign_in.private_key, sign_in.private_key_passphrase)
            if request_budget is not None:
                config.set("request_budget", "set_request_budget", path(request_budget, "request_budget"))
            files = _set_tls(config, ca_file, client_certificate, client_certificate_passphrase, certificate_origins)
            _set_proxy(config, proxy, proxy_user, proxy_password)
            if spool_directory is not None:
                config.set("spool_directory", "set_spool_directory", path(spool_directory, "spool_directory"))
            for a, b in pairs(url_rewrites, "url_rewrites"):
                config.set("url_rewrites", "add_url_rewrite", argument(a, "url_rewrites"),
                           argument(b, "url_rewrites"), shows=a)
            for origin in texts(allowed_origins, "allowed_origins"):
                config.text("allowed_origins", "add_allowed_origin", origin)
            config.log(log_level)
            config.options({"batch_size": BATCH_SIZE, **mapping(options, "options")})
            delivery = (options or {}).get("delivery")
            if spool_directory is None and delivery in ("verified", _abi.DELIVERY_VERIFIED):
                raise errors.from_code(_abi.ERR_CONFIG, 'option "delivery": "verified" needs spool_directory')
            code = lib.bcda_session_new(ctypes.byref(made), config.pointer)
            if code:
                raise _by_keyword(config.error(code), files)
        self._core = Core(made.value or 0)
        weakref.finalize(self, abandon, self._core).atexit = False

    def _set_provider(self, config: Config) -> None:
        _clients[self._number] = weakref.ref(self)
        weakref.finalize(self, _forget, self._number).atexit = False
        config.set("token_provider", "set_token_provider", _ON_TOKEN, self._number, None)

    # ---- tokens

    def _provider_failed(self, error: BaseException) -> None:
        self._provider_exception = error
        if not isinstance(error, Exception):
            self._core.raising = error

    def _answer_later(self, request: int, token: Awaitable[Token]) -> None:
        """Runs the coroutine that provides the token. The HTTP request waits for the token, while the
        event loop continues."""
        async def bring() -> None:
            value: Optional[bytes] = None
            lifetime = -1
            try:
                value, lifetime = _checked(await token)
                self._provider_exception = None
            except BaseException as e:
                self._provider_exception = e
                if not isinstance(e, Exception):
                    raise
            finally:
                with self._core.lock:
                    if value is None:
                        lib.bcda_token_request_fail(request)
                    else:
                        lib.bcda_token_request_answer(request, value, lifetime)
                self._core.wake()

        try:
            task = asyncio.get_running_loop().create_task(bring())
        except RuntimeError:
            if inspect.iscoroutine(token):
                token.close()
            lib.bcda_token_request_fail(request)
            self._provider_failed(TypeError("token_provider is a coroutine function, which needs asyncio"))
            return
        self._tasks = [t for t in getattr(self, "_tasks", []) if not t.done()] + [task]

    # ---- jobs

    def _start(self, fields: Sequence[str], callbacks: Callbacks, progress: bool,
               export: int, start: Callable[[int, int, Any], int]) -> Job:
        tidy()
        for keyword, callback_ in callbacks._asdict().items():
            handler(callback_, keyword)
        return Job(self, fields, callbacks, _progress.make() if progress else None,
                   lambda handlers, out: start(export, handlers, out))

    def export(self, *types: str, level: Union[Level, str, None] = None,
               group: Optional[str] = None,
               since: Union[str, datetime.datetime, None] = None,
               type_filter: Union[str, Iterable[str]] = (),
               parameters: Optional[Mapping[str, str]] = None, fields: Sequence[str] = (),
               on_state: Optional[Callable[[Job, JobState], object]] = None,
               on_file: Optional[Callable[[Job, File, FileEvent], object]] = None,
               on_progress: Optional[Callable[[Job], object]] = None,
               on_issue: Optional[Callable[[Job, Issue], object]] = None,
               on_deletion: Optional[Callable[[Job, Deletion], object]] = None,
               on_bad_line: Optional[Callable[[Job, InvalidLine], object]] = None,
               on_done: Optional[Callable[[Job], object]] = None, progress: bool = False) -> Job:
        """Starts an export and everything that follows: token, kick-off, polling, every file.

        Nothing is sent before a loop over the job or `Job.wait` drives the job.

        Parameters
        ----------
        *types : str
            Such as ``"Patient"``; no type means all types. `Job.missing_types` has the types that
            the server lists no file for.
        level : Level or str, optional
            ``"patient"`` (the default), ``"group"`` (the default if `group` is given),
            ``"system"``, or ``"resource"``, which BCDA had until 2019-12.
        group : str, optional
            Such as ``"all"``.
        since : str or datetime, optional
            Only resources that changed since this time: usually the `Job.transaction_time` of the
            previous job, unchanged. A time zone is required.
        type_filter : str or iterable of str, optional
            ``_typeFilter``, such as ``"ExplanationOfBenefit?service-date=ge2024"``.
        parameters : mapping, optional
            Any other query parameters.
        fields : sequence of str, optional
            Paths to extract from each resource while its line is parsed, such as
            ``"patient.reference"``; see `Resource.field` and `Batch.field`.
        on_state : callable, optional
            ``on_state(job, state)``: the job has entered another `JobState`.
        on_file : callable, optional
            ``on_file(job, file, event)``: a file begins, or ends with its verdict. At the end,
            commit its resources if ``file.verdict.is_good``, and undo them otherwise.
        on_progress : callable, optional
            ``on_progress(job)``: the job has made progress; at most about ten times a second.
        on_issue : callable, optional
            ``on_issue(job, issue)``: an issue that the server reports in an error file.
        on_deletion : callable, optional
            ``on_deletion(job, deletion)``: a resource that the server has deleted, which a copy of
            its data must remove. Deletions are reported after all data files have ended. If
            ``deletion.file`` fails, undo its deletions. Without this callback the files of deletions
            are not downloaded; `Job.deleted_files` counts them.
        on_bad_line : callable, optional
            ``on_bad_line(job, line)``: an invalid line, in its order among the resources. The file
            fails, unless the option ``bad_lines_max`` tolerates the line.
        on_done : callable, optional
            ``on_done(job)``: the job has ended; once, as its last callback.
        progress : bool, optional
            Show a progress bar, if the package ``tqdm`` is installed.

        Returns
        -------
        Job

        Notes
        -----
        Callbacks run in the thread that drives the job, and their results are ignored. An exception
        in a callback stops the job; the loop, or `Job.wait`, raises the same object. """
        with _Export(_level(level, group)) as what:
            fields = what.fill(types, group, since, type_filter, parameters, fields)
            return self._start_export(what, fields, Callbacks(on_state, on_file, on_progress, on_issue, on_deletion,
                                                              on_bad_line, on_done), progress)

    def _start_export(self, what: "_Export", fields: Sequence[str], callbacks: Callbacks, progress: bool) -> Job:
        return self._start(fields, callbacks, progress, what.pointer, lambda export, handlers, out: _job_start(
            self._core.live(), export, handlers, out))

    def export_remaining(self, job: Job, *types: str, level: Union[Level, str, None] = None,
                         group: Optional[str] = None,
                         since: Union[str, datetime.datetime, None] = None,
                         type_filter: Union[str, Iterable[str]] = (),
                         parameters: Optional[Mapping[str, str]] = None, fields: Sequence[str] = (),
                         on_state: Optional[Callable[[Job, JobState], object]] = None,
                         on_file: Optional[Callable[[Job, File, FileEvent], object]] = None,
                         on_progress: Optional[Callable[[Job], object]] = None,
                         on_issue: Optional[Callable[[Job, Issue], object]] = None,
                         on_deletion: Optional[Callable[[Job, Deletion], object]] = None,
                         on_bad_line: Optional[Callable[[Job, InvalidLine], object]] = None,
                         on_done: Optional[Callable[[Job], object]] = None,
                         progress: bool = False) -> Optional[Job]:
        """Starts an export of what a job has not loaded, such as a restored job that the server no longer has.

        Only the types of the data files that are not complete are requested. All types are requested
        if these types are not known: if the manifest was not received, if it names no types, or if a
        file of deletions is not complete. The new job also returns resources that `job` has loaded, so
        replace a resource that is there already. The ``since`` of the next export is the
        `Job.transaction_time` of `job`, not of the new job.

        Parameters
        ----------
        job : Job
            Usually a job of `restore` that has ended with `NotFound`, `Gone` or `JobFailed`.
        *types, level, group, since, type_filter, parameters
            Those of the export that `job` belongs to, unchanged.
        fields, on_state, on_file, on_progress, on_issue, on_deletion, on_bad_line, on_done, progress
            As for `export`.

        Returns
        -------
        Job or None
            ``None`` if `job` has loaded all its files.
        """
        if not isinstance(job, Job):
            raise mistyped("job", job, "a Job")
        with _Export(_level(level, group)) as what:
            fields = what.fill(types, group, since, type_filter, parameters, fields)
            if not what.keep_remaining(job):
                return None
            return self._start_export(what, fields, Callbacks(on_state, on_file, on_progress, on_issue, on_deletion,
                                                              on_bad_line, on_done), progress)

    def attach(self, status_url: str, *, fields: Sequence[str] = (),
               on_state: Optional[Callable[[Job, JobState], object]] = None,
               on_file: Optional[Callable[[Job, File, FileEvent], object]] = None,
               on_progress: Optional[Callable[[Job], object]] = None,
               on_issue: Optional[Callable[[Job, Issue], object]] = None,
               on_deletion: Optional[Callable[[Job, Deletion], object]] = None,
               on_bad_line: Optional[Callable[[Job, InvalidLine], object]] = None,
               on_done: Optional[Callable[[Job], object]] = None, progress: bool = False) -> Job:
        """Resumes a job that was started before, by its `Job.url`.

        Parameters
        ----------
        status_url : str
            A URL with the same origin as the FHIR URL.
        fields, on_state, on_file, on_progress, on_issue, on_deletion, on_bad_line, on_done, progress
            As for `export`.
        """
        url, fields = argument(status_url, "status_url"), texts(fields, "fields")
        with _Export(Level.PATIENT) as what:
            what.fields(fields)
            try:
                return self._start(
                    fields, Callbacks(on_state, on_file, on_progress, on_issue, on_deletion, on_bad_line,
                                      on_done),
                    progress, what.pointer, lambda export, handlers, out: _job_attach(
                        self._core.live(), url, export, handlers, out))
            except (errors.UrlError, errors.OriginError, errors.InvalidArgument) as e:
                raise named(e, "status_url", status_url) from None

    def restore(self, saved: str, *, fields: Sequence[str] = (),
                on_state: Optional[Callable[[Job, JobState], object]] = None,
                on_file: Optional[Callable[[Job, File, FileEvent], object]] = None,
                on_progress: Optional[Callable[[Job], object]] = None,
                on_issue: Optional[Callable[[Job, Issue], object]] = None,
                on_deletion: Optional[Callable[[Job, Deletion], object]] = None,
                on_bad_line: Optional[Callable[[Job, InvalidLine], object]] = None,
                on_done: Optional[Callable[[Job], object]] = None, progress: bool = False) -> Job:
        """Resumes a job from its saved text; files that were complete are not downloaded again.

        If the server no longer has the job (BCDA keeps the files for a day), the loop raises
        `NotFound`, `Gone` or `JobFailed`. `Job.files` then still lists the files of the job:
        `Verdict.SKIPPED` if they were complete, `Verdict.NONE` otherwise. `export_remaining` requests
        the rest.

        Parameters
        ----------
        saved : str
            The text of `Job.save`, followed by each later text of `Job.save_changes`.
        fields, on_state, on_file, on_progress, on_issue, on_deletion, on_bad_line, on_done, progress
            As for `export`.
        """
        state, fields = argument(saved, "saved"), texts(fields, "fields")
        with _Export(Level.PATIENT) as what:
            what.fields(fields)
            try:
                return self._start(
                    fields, Callbacks(on_state, on_file, on_progress, on_issue, on_deletion, on_bad_line,
                                      on_done),
                    progress, what.pointer, lambda export, handlers, out: _job_restore(
                        self._core.live(), state, len(state), export, handlers, out))
            except (errors.UrlError, errors.OriginError, errors.InvalidArgument) as e:
                raise named(e, "saved", saved) from None

    # ---- requests that belong to no job

    def _request(self, what: int) -> Handle:
        made = ctypes.c_void_p()
        with self._core.lock:
            self._core.check(lib.bcda_request_start(self._core.live(), what, None, None, None,
                                                    ctypes.byref(made)))
        return Handle(self._core, made.value or 0, lib.bcda_request_unref)

    def _answered(self, handle: Handle) -> bool:
        """Whether the answer was received; raises the error of a failed request. The caller holds the
        lock."""
        result: int = lib.bcda_request_result(handle.pointer)
        if result == _abi.ERR_AGAIN:
            return False
        if result:
            raise errors.from_pointer(lib.bcda_request_error(handle.pointer), result)
        return True

    def _ask(self, what: int) -> Handle:
        handle, core = self._request(what), self._core
        with core.lock:
            before = core.drive()
        try:
            while True:
                with core.lock:
                    done = core.step()
                    if self._answered(handle):
                        return handle
                if not done:
                    core.wait()
        finally:
            core.driver = before

    async def _ask_async(self, what: int) -> Handle:
        handle, driver = self._request(what), self._aio()
        while not self._answered(handle):
            await driver.wait()
        return handle

    @staticmethod
    def _metadata(handle: Handle) -> Metadata:
        size, r = ctypes.c_size_t(), handle.pointer
        at = lib.bcda_request_body(r, ctypes.byref(size))
        return Metadata(text(lib.bcda_request_fhir_version(r)),
                        text(lib.bcda_request_software_version(r)),
                        text(lib.bcda_request_token_url(r)), ctypes.string_at(at, size.value))

    def metadata(self) -> Metadata:
        """The server's CapabilityStatement; needs no token."""
        return self._metadata(self._ask(_abi.REQUEST_METADATA))

    def version(self) -> str:
        """The version of BCDA's software; needs no token."""
        return text(lib.bcda_request_software_version(self._ask(_abi.REQUEST_VERSION).pointer))

    async def metadata_async(self) -> Metadata:
        """The same as `metadata`, for asyncio."""
        return self._metadata(await self._ask_async(_abi.REQUEST_METADATA))

    async def version_async(self) -> str:
        """The same as `version`, for asyncio."""
        handle = await self._ask_async(_abi.REQUEST_VERSION)
        return text(lib.bcda_request_software_version(handle.pointer))

    # ---- statistics and closing

    @property
    def stats(self) -> Stats:
        """The statistics of this client since its creation."""
        place = ctypes.c_int64()
        found: List[int] = []
        with self._core.lock:
            session = self._core.live()
            for name in Stats._fields:
                number: int = getattr(_abi, "STAT_" + name.upper())
                self._core.check(lib.bcda_session_stat(session, number, ctypes.byref(place)))
                found.append(place.value)
        return Stats(*found)

    def _aio(self) -> Driver:
        loop = asyncio.get_running_loop()
        driver: Optional[Driver] = self._core.aio
        if driver is None or driver.loop is not loop:
            if driver is not None:
                driver.forget()
            driver = self._core.aio = Driver(self._core, loop)
        return driver

    @property
    def missing_scope(self) -> List[str]:
        """The scopes that were asked for with a signing key, and that the server has not granted with the
        last token; empty if nothing is missing. Resources of a type that is missing here do not come."""
        with self._core.lock:
            return text(lib.bcda_session_missing_scope(self._core.live())).split()

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._core.session is None

    def close(self) -> None:
        """Ends every job that still runs (`Cancelled`), and frees the connections.

        Jobs, files, batches and resources that are held stay valid. Nothing is sent to the server.
        """
        self._core.close()
        tidy()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: "Optional[TracebackType]") -> None:
        self.close()

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                        trace: "Optional[TracebackType]") -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<bcda.Client {'closed' if self.is_closed else 'open'}>"


def _level(level: Union[Level, str, None], group: Optional[str]) -> Level:
    if level is None:
        return Level.PATIENT if group is None else Level.GROUP
    names = {member.name.lower(): member for member in Level}
    found = names.get(level.lower()) if isinstance(level, str) else next((m for m in Level if m == level), None)
    if found is None:
        raise refused("level", level, "one of " + ", ".join(names))
    if group is not None and found != Level.GROUP:
        raise errors.from_code(_abi.ERR_CONFIG, f"group is given, and level is {found}: only an export of level "
                               "GROUP takes one")
    return found


def _instant(since: Union[str, datetime.datetime]) -> str:
    if isinstance(since, datetime.datetime):
        if since.tzinfo is None:
            raise refused("since", since.isoformat(), "an instant such as 2024-01-31T00:00:00Z: the datetime "
                          "has no time zone")
        return since.isoformat()
    if not isinstance(since, str):
        raise mistyped("since", since, "a str or a datetime")
    return since


class _Export:
    """Owns a ``bcda_export`` until the job is started."""

    def __init__(self, level: Level) -> None:
        made = ctypes.c_void_p()
        code = lib.bcda_export_new(ctypes.byref(made), level)
        if code:
            raise errors.from_code(code)
        self.pointer: int = made.value or 0

    def __enter__(self) -> "_Export":
        return self

    def __exit__(self, *_: object) -> None:
        lib.bcda_export_free(self.pointer)

    def error(self, code: int) -> errors.Error:
        """Why the last call failed."""
        return errors.from_pointer(lib.bcda_export_error(self.pointer), code)

    def set(self, keyword: str, setter: str, value: str) -> None:
        code = getattr(lib, "bcda_export_" + setter)(self.pointer, argument(value, keyword))
        if code:
            raise named(self.error(code), keyword, value)

    def fill(self, types: Sequence[str], group: Optional[str], since: Union[str, datetime.datetime, None],
             type_filter: Union[str, Iterable[str]], parameters: Optional[Mapping[str, str]],
             fields: Sequence[str]) -> List[str]:
        """Sets everything but the level. Returns the fields as a list."""
        fields = texts(fields, "fields")
        if group is not None:
            self.set("group", "set_group", group)
        self.types(types)
        if since is not None:
            self.set("since", "set_since", _instant(since))
        for one in [type_filter] if isinstance(type_filter, str) else texts(type_filter, "type_filter"):
            self.set("type_filter", "add_type_filter", one)
        for name, value in mapping(parameters, "parameters").items():
            self.parameter(name, value)
        self.fields(fields)
        return fields

    def keep_remaining(self, job: Job) -> bool:
        """Restricts the export to what the job has not loaded. Returns False if the job has loaded all."""
        made = ctypes.c_void_p()
        with job._core.lock:
            code = lib.bcda_export_new_remaining(ctypes.byref(made), self.pointer, job._pointer)
        if code == _abi.ERR_END:
            return False
        if code:
            raise errors.from_code(code)
        lib.bcda_export_free(self.pointer)
        self.pointer = made.value or 0
        return True

    def types(self, types: Sequence[str]) -> None:
        for i, name in enumerate(types):
            if isinstance(name, (list, tuple, set, frozenset)):
                raise TypeError(f"types must be str, not {type(name).__name__}: give them one by one, as in "
                                "export('Patient', 'Coverage')")
            if name in types[:i]:
                raise errors.from_code(_abi.ERR_INVALID, f"types: {name!r} is given twice")
            self.set("types", "add_type", name)

    def parameter(self, name: str, value: str) -> None:
        code = lib.bcda_export_set_parameter(self.pointer, argument(name, "a name in parameters"),
                                             argument(value, f"the value of {name!r} in parameters"))
        if code:
            raise named(self.error(code), "parameters", name)

    def fields(self, paths: Sequence[str]) -> None:
        add_fields(paths, lambda name, index: int(lib.bcda_export_add_field(self.pointer, name, index)), self.error)
