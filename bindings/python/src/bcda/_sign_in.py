"""How a client signs in: checks the keywords, and sets them in a ``bcda_config``."""

from __future__ import annotations

import json
import os
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Union

from . import _abi, errors
from ._arguments import NO_PATH, PEM, Path, argument, handler, mistyped, named, optional, path, texts
from ._config import Config, PrivateKey
from ._native import lib

#: The path of a key file, or its text (PEM, JWK or JWKS), or a JWK or JWKS as a dict.
SigningKey = Union[Path, bytes, Mapping[str, Any]]
#: Scopes: one str with spaces, or a sequence of str.
Scope = Union[str, Iterable[str]]

#: The ways to sign in. Only one of them can be given.
WAYS = ("client_secret", "private_key_jwt", "bearer_token", "token_provider", "token_file", "token_command",
        "no_auth")
#: The ways in which the library fetches tokens with the client id.
FETCHING = ("client_secret", "private_key_jwt")
#: What is only for a signing key.
OF_KEY = ("kid", "scope", "private_key_jwt_passphrase")
#: How the library calls a signing key that is not in a file.
NAME_OF_TEXT = "signing key"


def _contradiction(words: str) -> errors.Error:
    return errors.from_code(_abi.ERR_CONFIG, words)


def _is_key_text(value: str) -> bool:
    return PEM in value or "\n" in value or value.lstrip().startswith("{")


def _text_of_key(key: Any, keyword: str) -> Optional[bytes]:
    """The text of the key, or None if `key` is the path of a file."""
    if isinstance(key, Mapping):
        try:
            return json.dumps(dict(key)).encode()
        except (TypeError, ValueError):  # its text may show a value
            raise TypeError(f"{keyword} is not a JWK or JWKS: it has a value that JSON does not have") from None
    if isinstance(key, str) and _is_key_text(key):
        return argument(key, keyword)
    if isinstance(key, bytes):
        return key
    if not isinstance(key, (str, os.PathLike)):
        raise mistyped(keyword, key, "a path, the text of a key, or a dict")
    if NO_PATH.search(os.fsdecode(key)):
        raise errors.from_code(_abi.ERR_INVALID, f"{keyword} is neither the path of a file nor a key in PEM, JWK "
                               f"or JWKS: does it lack the line {PEM} PRIVATE KEY-----?")
    return None


def _by_keyword(error: errors.Error, keyword: str, client_id: str, kid: Optional[str]) -> errors.Error:
    """The library's error about a signing key; its text names the keyword."""
    if error.text.startswith("the client id "):
        return named(error, "client_id", client_id)
    if error.text.startswith("the key id "):
        return named(error, "kid", kid)
    if error.text.startswith(NAME_OF_TEXT):
        error = errors.reworded(error, keyword + error.text[len(NAME_OF_TEXT):])
    # A JWK or JWKS without the requested key: it depends on kid, which of them can sign.
    return named(error, "kid" if error.code == _abi.ERR_CONFIG else keyword)


def _set_signing_key(config: Config, keyword: str, key: SigningKey, client_id: str, passphrase: Optional[str],
                     kid: Optional[str]) -> None:
    name, key_id = argument(client_id, "client_id"), optional(kid, "kid")
    secret = optional(passphrase, keyword + "_passphrase")
    content = _text_of_key(key, keyword)
    if content is None:
        code = lib.bcda_config_set_signing_key_file(config.pointer, name, path(key, keyword), secret, key_id)
    else:
        code = lib.bcda_config_set_signing_key(config.pointer, name, content, len(content), secret, key_id)
    if code:
        raise _by_keyword(config.error(code), keyword, client_id, kid)


def _scope(value: Scope) -> str:
    return value if isinstance(value, str) else " ".join(
        argument(one, "scope").decode() for one in texts(value, "scope"))


class SignIn:
    """The keywords of a client that say how it signs in. Holds secrets, and shows none in its repr."""

    def __init__(self, private_key: Union[PrivateKey, Mapping[str, Any], None],
                 private_key_passphrase: Optional[str], no_auth: bool, **keywords: Any) -> None:
        if not isinstance(no_auth, bool):
            raise mistyped("no_auth", no_auth, "a bool")
        self._given: Dict[str, Any] = {name: value for name, value in keywords.items() if value is not None}
        if no_auth:
            self._given["no_auth"] = True
        #: The keyword that has the signing key.
        self._keyword = "private_key_jwt"
        self._passphrase = self._given.get("private_key_jwt_passphrase")
        #: The keys for encrypted files, and their passphrase.
        self.private_key, self.private_key_passphrase = private_key, private_key_passphrase
        if self._is_short(private_key):
            self._keyword, self._passphrase = "private_key", private_key_passphrase
            self._given["private_key_jwt"] = private_key
            self.private_key = self.private_key_passphrase = None

    def _is_short(self, private_key: Any) -> bool:
        """Whether `private_key` is the key that signs in."""
        return (isinstance(private_key, (str, bytes, os.PathLike, Mapping)) and "client_id" in self._given
                and not self._ways())

    def _ways(self) -> List[str]:
        return [way for way in WAYS if way in self._given]

    def check(self) -> None:
        """Refuses keywords that contradict each other."""
        given, ways = self._given, self._ways()
        if len(ways) > 1:
            raise _contradiction(f"{ways[0]} and {ways[1]} exclude each other")
        if not ways and "client_id" in given:
            raise _contradiction("client_id needs client_secret or private_key_jwt")
        if not ways:
            raise _contradiction("no identity: give client_id and client_secret, client_id and private_key_jwt, "
                                 "bearer_token, token_provider, token_file, token_command, or no_auth=True")
        way = ways[0]
        if (way in FETCHING) != ("client_id" in given):
            raise _contradiction(f"{way} needs client_id" if way in FETCHING
                                 else f"client_id and {way} exclude each other")
        if self._keyword == "private_key" and "private_key_jwt_passphrase" in given:
            raise _contradiction("private_key_jwt_passphrase is given without private_key_jwt: the passphrase of "
                                 "private_key is private_key_passphrase")
        for name in OF_KEY:
            if name in given and way != "private_key_jwt":
                raise _contradiction(f"{name} is given without private_key_jwt")
        if "token_cache" in given and way not in FETCHING:
            raise _contradiction("token_cache is given without client_secret or private_key_jwt")
        if "token_url" in given and way == "no_auth":
            raise _contradiction("no_auth and token_url exclude each other")

    def set(self, config: Config, set_provider: Callable[[], None]) -> None:
        """Sets the way to sign in, and what belongs to it."""
        self.check()
        given, way = self._given, self._ways()[0]
        if "token_url" in given:
            config.text("token_url", "set_token_url", given["token_url"])
        if way == "client_secret":
            self._set_credentials(config)
        elif way == "private_key_jwt":
            _set_signing_key(config, self._keyword, given[way], given["client_id"], self._passphrase, given.get("kid"))
        elif way == "bearer_token":
            config.set(way, "set_bearer_token", argument(given[way], way))
        elif way == "token_provider":
            handler(given[way], way, awaits=True)
            set_provider()
        elif way == "token_file":
            config.set(way, "set_token_file", path(given[way], way))
        elif way == "token_command":
            config.set(way, "set_token_command", argument(given[way], way))
        else:
            config.set(way, "set_no_authentication")
        if "scope" in given:
            config.text("scope", "set_scope", _scope(given["scope"]))
        if "token_cache" in given:
            config.set("token_cache", "set_token_cache", path(given["token_cache"], "token_cache"))

    def _set_credentials(self, config: Config) -> None:
        given = self._given
        name, secret = argument(given["client_id"], "client_id"), argument(given["client_secret"], "client_secret")
        # The first call has a placeholder as secret, so an error of it is about the id.
        config.set("client_id", "set_client_credentials", name, b"-", shows=given["client_id"])
        config.set("client_secret", "set_client_credentials", name, secret)
