"""How a server meets a network: who may ask, from where, how much at a time, and how it writes its log."""

from __future__ import annotations

from dataclasses import dataclass, field

from tbconv.contract.errors import ConfigError
from tf_serve.log_choice import LogFormat, LogLevel
from tf_serve.settings import Settings
from tf_serve.upload import MAX_BODY

MB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment(Settings):
    """Settings of a server that others reach."""

    token: str | None = field(default=None, repr=False)  # whoever sends it is answered; None: everybody is
    cors_origins: tuple[str, ...] = ()  # pages of other sites that may ask
    hosts: tuple[str, ...] = ()  # names by which it may be called; none: any
    max_body: int = MAX_BODY  # bytes
    log_format: LogFormat = LogFormat.TEXT
    log_level: LogLevel = LogLevel.INFO

    def __post_init__(self) -> None:
        Settings.__post_init__(self)  # `super()` does not know a class that `slots` has made anew
        if not 0 < self.max_body <= MAX_BODY:
            raise ValueError(f"max_body must lie in 1..{MAX_BODY}, got {self.max_body}")
        _check_token(self.token)
        for origin in self.cors_origins:
            _check_origin(origin)


def deployment_of(settings: Settings) -> Deployment:
    """Return the settings where they say all this; else what holds when nobody says anything."""
    return settings if isinstance(settings, Deployment) else Deployment(root=settings.root)


def _check_token(token: str | None) -> None:
    # an empty variable, as a missing secret leaves it, must not open what was meant to be closed
    if token is not None and (not token or not token.isascii() or not token.isprintable() or " " in token):
        why = "it has to be printable ASCII without spaces, and not empty: it travels in a header"
        raise ConfigError("the token cannot be used", why=why, fix="TBCONV_TOKEN=$(openssl rand -hex 32), or unset it")


def _check_origin(origin: str) -> None:
    scheme, _, rest = origin.partition("://")
    if origin != "*" and (scheme not in ("http", "https") or not rest or "/" in rest):
        why = "an origin is a scheme and a host, without a path"
        raise ConfigError(f"--cors-origin is {origin!r}", why=why, fix="--cors-origin https://viewer.example.org")
