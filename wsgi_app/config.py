"""All settings: one table of names, types, bounds and defaults, read in one place."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Optional
from urllib.parse import quote

import msgspec
from msgspec import Meta, Struct

from wsgi_app.errors import ConfigError
from wsgi_app.logs import LogFormat
from wsgi_app.tokens import Principal, parse_tokens

log = logging.getLogger("wsgi_app")

PREFIX = "AGENT_"
#: The namespace of versions that had none.
NO_NAMESPACE = "-"

Seconds = Annotated[float, Meta(gt=0)]
SecondsOrZero = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]
RateLimit = Annotated[
    str, Meta(pattern=r"^\s*\d+\s*(/|per)\s*(\d+\s*)?(second|minute|hour|day|month|year)s?\s*$")
]
#: What names in the store begin with; none of these is special in Redis's patterns.
Namespace = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._~/-]{1,128}$")]
#: Scheme, host and port, as browsers send it (RFC 6454, section 6.2).
Origin = Annotated[str, Meta(pattern=r"^https?://[A-Za-z0-9.:\[\]_-]+$")]


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of one host; docs/settings.md describes each."""

    redis_url: Optional[str] = None
    namespace: Optional[Namespace] = None
    #: Who each token is, by its digest.
    tokens: dict[bytes, Principal] = {}
    tokens_file: Optional[Path] = None
    jwt_jwks: Optional[str] = None
    jwt_audience: tuple[str, ...] = ()
    jwt_issuer: Optional[str] = None
    jwt_leeway_seconds: SecondsOrZero = 30
    jwt_tenant_claim: str = "sub"
    jwt_scope_claim: Optional[str] = None
    model: Optional[str] = None
    system_prompt: Optional[str] = None
    factory: Optional[str] = None
    max_steps: Count = 25
    turn_timeout_seconds: Seconds = 180
    input_timeout_seconds: Seconds = 600
    keepalive_seconds: Seconds = 15
    orphan_seconds: SecondsOrZero = 30
    idle_seconds: Seconds = 900
    lease_seconds: Seconds = 10
    session_ttl_seconds: Seconds = 86_400
    drain_seconds: SecondsOrZero = 25
    write_timeout_seconds: Seconds = 30
    max_message_chars: Count = 32_000
    max_body_bytes: Count = 1_048_576
    files_dir: Optional[Path] = None
    max_file_bytes: Count = 20_971_520
    max_files_per_message: Count = 10
    max_file_bytes_per_tenant: Count = 1_073_741_824
    max_output_bytes: Count = 4_194_304
    max_history_bytes: Count = 262_144
    max_queued_turns: Count = 10
    rate_limit: RateLimit = "60/minute"
    max_turns_per_tenant: Count = 20
    max_asking_turns_per_tenant: Count = 100
    max_readers_per_tenant: Count = 1000
    max_readers_per_turn: Count = 100
    max_sessions_per_tenant: Count = 10_000
    max_stored_bytes_per_tenant: Count = 10_737_418_240
    max_turns: Count = 2000
    stream_slots: Optional[Count] = None
    max_slots_per_tenant: Optional[Count] = None
    delivery: Optional[Literal["thread", "parked", "auto"]] = None
    affinity: Literal["owner", "any"] = "owner"
    max_attempts: Annotated[int, Meta(ge=1, le=100)] = 2
    code_version: str = ""
    max_streams: Count = 5000
    log_format: LogFormat = "text"
    cors_origins: tuple[Origin, ...] = ()
    workdir: Optional[Path] = None
    admin: bool = False
    metrics_local: bool = False
    local_hosts: tuple[str, ...] = ()

    @property
    def host(self) -> str:
        """What the host is called beside others, in the store and in metrics."""
        return self.namespace or ""

    def __repr__(self) -> str:
        return "Settings(…)"  # tokens and URLs with passwords stay out of logs and tracebacks


NAMES = tuple(field.name for field in msgspec.structs.fields(Settings))


def load_settings(
    overrides: Mapping[str, Any], app_config: Mapping[str, Any], environ: Mapping[str, str]
) -> Settings:
    """Read the settings: ``overrides`` beat ``app.config``, which beats the environment.

    Raises ConfigError, naming the setting, for a malformed value and for an unknown name in
    ``overrides`` or ``app_config``. An unknown environment variable only warns, since other
    software uses the prefix too.
    """
    raw: dict[str, Any] = {}
    for name in NAMES:
        key = setting_name(name)
        if name in overrides:
            raw[name] = _convert(name, overrides[name])
        elif key in app_config:
            raw[name] = _convert(name, app_config[key])
        elif environ.get(key, "") != "":
            raw[name] = _convert(name, environ[key])
    if "redis_url" not in raw and environ.get("REDIS_URL"):
        raw["redis_url"] = environ["REDIS_URL"]
    _refuse_unknown(overrides, app_config)
    _warn_unknown(environ)
    return Settings(**raw)


def with_namespace(settings: Settings, import_name: str, prefix: str | None) -> Settings:
    """Name a host by its app and prefix, unless a setting does; '' is the name of NO_NAMESPACE."""
    given = settings.namespace
    if given is None:
        name = quote(f"{import_name}{prefix or ''}", safe="/")
    else:
        name = "" if given == NO_NAMESPACE else given
    return msgspec.structs.replace(settings, namespace=name)


def setting_name(field: str) -> str:
    """The name of a field in ``app.config`` and in the environment."""
    return PREFIX + field.upper()


def _convert(name: str, value: Any) -> Any:
    key = setting_name(name)
    try:
        if name == "tokens":
            return parse_tokens(value)
        if name in ("cors_origins", "jwt_audience", "local_hosts") and isinstance(value, str):
            value = tuple(part.strip() for part in value.split(",") if part.strip())
        converted = msgspec.convert(
            value, _field_types()[name], strict=False, dec_hook=lambda kind, text: kind(text)
        )
    except (msgspec.ValidationError, ValueError, TypeError) as error:
        raise ConfigError(f"{key} is malformed: {error}") from error
    if isinstance(converted, float) and not math.isfinite(converted):
        raise ConfigError(f"{key} is malformed: expected a finite number")
    return converted


def _field_types() -> dict[str, Any]:
    return {field.name: field.type for field in msgspec.structs.fields(Settings)}


def _refuse_unknown(overrides: Mapping[str, Any], app_config: Mapping[str, Any]) -> None:
    known = {setting_name(name) for name in NAMES}
    unknown = [name for name in overrides if name not in NAMES]
    unknown += [key for key in app_config if key.startswith(PREFIX) and key not in known]
    if unknown:
        raise ConfigError(f"unknown setting: {', '.join(sorted(unknown))}")


def _warn_unknown(environ: Mapping[str, str]) -> None:
    known = {setting_name(name) for name in NAMES}
    for key in sorted(environ):
        if key.startswith(PREFIX) and key not in known:
            log.warning("environment variable %s is no setting of this package; ignored", key)
