"""The configuration: one TOML file and ``OUTCROP_*`` variables, read once into frozen structs.

A wrong file or variable raises ``ConfigError`` that names the file, the key and what is wrong.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast

import msgspec

from outcrop.config_engines import (
    AtLeastOne,
    EngineConfig as EngineConfig,
    Llama as Llama,
    NotNegative,
    Onnx as Onnx,
    OpenAI as OpenAI,
    Scripted as Scripted,
    Seconds,
    Upstream as Upstream,
)


class ConfigError(Exception):
    pass


DOCUMENTED_REGIONS = ("us-east-1", "us-west-2", "ap-southeast-1", "ap-northeast-1", "eu-central-1")
"""Where the documents say that the service is available."""


class Server(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the gateway listens. With ``tls_certificate`` and ``tls_key`` (PEM) it speaks TLS,
    without them plain HTTP; that only on loopback, unless ``plain_http`` allows it elsewhere.
    ``public_url`` is how others reach it, where that is not its address: it stands in links."""

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 4510
    region: str = "us-east-1"
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    plain_http: bool = False
    public_url: str | None = None


class Binding(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Models whose ID matches ``pattern`` (shell style) are served by ``engine``, and by those of
    ``standby``, in this order, while it cannot answer. With ``regions`` it holds in these only: a
    region is a pool of its own, which by default has the engines of all others."""

    pattern: str
    engine: str
    model: str | None = None
    standby: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()


class S3(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where objects lie: another S3 at ``endpoint``, signed for ``region`` with the credentials
    that the AWS SDK finds for ``profile``; without one, SeaweedFS beside the gateway."""

    endpoint: str | None = None
    region: str = "us-east-1"
    profile: str | None = None


class Endpoints(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where private endpoints listen: each on a port of its own, which it keeps. TLS and plain
    HTTP are as for the server."""

    host: str = "127.0.0.1"


class ModelAccess(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``default`` is what holds for a model whose access an account was neither granted nor
    removed: ``none``, as in AWS, or ``all``."""

    default: Literal["none", "all"] = "none"


class Quotas(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """With the ``profile`` ``aws`` the documented quotas hold; with ``off`` rates are not limited.
    Gateways with the same ``redis_url`` count together."""

    profile: Literal["aws", "off"] = "aws"
    redis_url: str | None = None


class Capacity(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``cpus`` are how many CPUs of this machine provisioned throughput may take; without it all
    but one. ``input_tokens`` and ``output_tokens`` are what a model unit is worth in a minute,
    where the catalog does not say it of the model. ``replicas`` are, by engine, further engines
    that a throughput of it may take whole, one each: servers elsewhere, or GPUs."""

    cpus: NotNegative | None = None
    input_tokens: AtLeastOne = 1500
    output_tokens: AtLeastOne = 300
    replicas: dict[str, tuple[str, ...]] = {}


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A service elsewhere that rules may send events to, asked with the credentials that the AWS
    SDK finds for ``profile``. Without ``endpoint`` it is AWS's."""

    region: str = "us-east-1"
    endpoint: str | None = None
    profile: str | None = None


TargetService = Literal["lambda", "kinesis", "firehose", "states", "ecs", "sagemaker", "batch"]


class Services(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The services around Bedrock: ours, or others by their endpoint. ``targets`` are those that
    we do not have and rules of EventBridge may name."""

    s3: S3 = S3()
    targets: dict[TargetService, Target] = {}


class Records(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long what happened is kept. ``requests`` writes a line for each request to
    ``logs/requests.jsonl`` in the data directory, at most ``requests_mib`` in all; with
    ``prompts`` the lines have what was asked and answered too."""

    trail_days: AtLeastOne = 90
    metric_days: AtLeastOne = 455
    requests: bool = True
    requests_mib: AtLeastOne = 256
    prompts: bool = False


class Telemetry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where traces and metrics go by OTLP over HTTP (``http://collector:4318``). Where
    ``metrics_token_env`` names a variable, ``/metrics`` wants its value as a bearer token."""

    otlp_endpoint: str | None = None
    otlp_interval_s: Seconds = 60.0
    metrics_token_env: str | None = None


class Mail(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The SMTP server that SNS sends e-mail by. The password is in the variable that
    ``password_env`` names."""

    host: Annotated[str, msgspec.Meta(min_length=1)]
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 587
    sender: str = "no-reply@sns.outcrop.invalid"
    tls: Literal["none", "starttls", "tls"] = "starttls"
    username: str | None = None
    password_env: str | None = None


class Training(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How custom models are trained. ``bases`` are the weights behind engines by name: a directory
    of Transformers, a GGUF file or an ID of the hub; those of an embedded engine are its own where
    none are named. ``rank`` and ``alpha`` are LoRA's; ``threads`` 0 takes the CPUs that are not
    reserved. With ``ray_address`` jobs train on that Ray cluster, with so many workers."""

    bases: dict[str, str] = {}
    rank: AtLeastOne = 16
    alpha: AtLeastOne = 32
    threads: NotNegative = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    jobs_at_once: AtLeastOne = 1
    checkpoint_s: Seconds = 60.0
    ray_address: str | None = None
    ray_workers: AtLeastOne = 2


class MasterKeySource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A KMS key elsewhere that wraps the deployment's master key, asked with the credentials the
    AWS SDK finds. Without ``endpoint_url`` it is AWS's."""

    kms_key_id: Annotated[str, msgspec.Meta(min_length=1)]
    region: Annotated[str, msgspec.Meta(min_length=1)]
    endpoint_url: str | None = None
    profile: str | None = None


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file. Later bindings win over earlier ones and over the catalog. ``zones`` are
    the availability zones of each region, by letter, with the engines that are in them; an engine
    in none is in the first. ``regions`` are those whose models can be granted all together and
    that calls across regions go to."""

    data_dir: Path = Path("~/.outcrop")
    cache_dir: Path = Path("~/.cache/outcrop")
    server: Server = Server()
    services: Services = Services()
    endpoints: Endpoints = Endpoints()
    engines: dict[str, EngineConfig] = {}
    bind: tuple[Binding, ...] = ()
    zones: dict[str, tuple[str, ...]] = {}
    catalog: tuple[Path, ...] = ()
    engine_memory_mib: AtLeastOne = 8192
    unsupported: Literal["refuse", "warn"] = "refuse"
    regions: tuple[str, ...] = DOCUMENTED_REGIONS
    access: ModelAccess = ModelAccess()
    quotas: Quotas = Quotas()
    capacity: Capacity = Capacity()
    training: Training = Training()
    records: Records = Records()
    telemetry: Telemetry = Telemetry()
    mail: Mail | None = None
    master_key: MasterKeySource | None = None

    def zone_letters(self) -> tuple[str, ...]:
        """``("a",)`` where the file names no zones."""
        return tuple(sorted(self.zones)) or ("a",)

    def zone_of(self, engine: str) -> str:
        named = (letter for letter, engines in self.zones.items() if engine in engines)
        return next(named, self.zone_letters()[0])

    def engine_configs(self) -> dict[str, EngineConfig]:
        return {**DEFAULT_ENGINES, **self.engines}


DEFAULT_ENGINES: dict[str, EngineConfig] = {
    "smollm2": Llama(model="smollm2-135m-instruct"),
    "minilm": Onnx(model="all-minilm-l6-v2"),
}

_VARIABLES: dict[str, tuple[str, ...]] = {
    "OUTCROP_DATA_DIR": ("data_dir",),
    "OUTCROP_CACHE": ("cache_dir",),
    "OUTCROP_HOST": ("server", "host"),
    "OUTCROP_PORT": ("server", "port"),
    "OUTCROP_REGION": ("server", "region"),
    "OUTCROP_PLAIN_HTTP": ("server", "plain_http"),
    "OUTCROP_UNSUPPORTED": ("unsupported",),
    "OUTCROP_ACCESS_DEFAULT": ("access", "default"),
    "OUTCROP_QUOTAS_PROFILE": ("quotas", "profile"),
    "OUTCROP_REDIS_URL": ("quotas", "redis_url"),
    "OUTCROP_ENGINE_MEMORY_MIB": ("engine_memory_mib",),
}


def load(
    file: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    overrides: Mapping[str, Any] | None = None,
) -> Config:
    """File, then ``OUTCROP_*`` variables, then ``overrides`` (dotted keys, of the command line)."""
    table = _read(file) if file else {}
    source = str(file) if file else "the configuration"
    for variable, path in _VARIABLES.items():
        # Set to nothing is unset, as in a compose file: an empty path would mean this very folder.
        if value := environment.get(variable):
            _put(table, path, value, source)
            source = f"{source} or {variable}"
    for key, value in (overrides or {}).items():
        if value is not None:
            _put(table, tuple(key.split(".")), value, source)
    _check_engines(table.get("engines"), source)
    _check_zones(table.get("zones"), source)
    try:
        config = msgspec.convert(table, Config, strict=False, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source}: {error}") from error
    _check_replicas(config, source)
    if (config.server.tls_certificate is None) != (config.server.tls_key is None):
        raise ConfigError(
            f"{source}: server.tls_certificate and server.tls_key are set together or not at all."
        )
    return msgspec.structs.replace(
        config,
        data_dir=_expand(config.data_dir),
        cache_dir=_expand(config.cache_dir),
        catalog=tuple(map(_expand, config.catalog)),
        server=msgspec.structs.replace(
            config.server,
            tls_certificate=_expand(config.server.tls_certificate),
            tls_key=_expand(config.server.tls_key),
        ),
    )


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not valid TOML: {error}") from error


def _decode(kind: type[Any], value: Any) -> Any:
    """msgspec reads no paths by itself."""
    if kind is Path and isinstance(value, str | Path):
        return Path(value)
    raise ValueError(f"Expected {kind.__name__}, got {type(value).__name__}")


SomePath = TypeVar("SomePath", Path, Path | None)


def _expand(path: SomePath) -> SomePath:
    if path is None:
        return path
    try:
        return path.expanduser().absolute()
    except RuntimeError as error:
        raise ConfigError(
            f"{path}: the home directory is not known here. Set HOME, or write the whole path "
            "(--data-dir, OUTCROP_DATA_DIR, OUTCROP_CACHE)."
        ) from error


def _check_engines(engines: object, source: str) -> None:
    """Each by itself first: of a table in a table msgspec does not tell the name."""
    if not isinstance(engines, dict):
        return
    for name, engine in cast("dict[str, object]", engines).items():
        try:
            msgspec.convert(engine, EngineConfig, strict=False)
        except msgspec.ValidationError as error:
            raise ConfigError(f"{source}: [engines.{name}]: {error}") from error


def _check_zones(zones: object, source: str) -> None:
    for letter in cast("dict[object, object]", zones) if isinstance(zones, dict) else ():
        if not (isinstance(letter, str) and len(letter) == 1 and "a" <= letter <= "z"):
            raise ConfigError(f"{source}: [zones]: a zone is one letter, a to z, not {letter!r}.")


def _check_replicas(config: Config, source: str) -> None:
    engines = config.engine_configs()
    for engine, replicas in config.capacity.replicas.items():
        for name in (engine, *replicas):
            if name not in engines:
                raise ConfigError(f"{source}: [capacity]: replicas: no engine is named {name!r}.")
            if name != engine and type(engines[name]) is not type(engines[engine]):
                raise ConfigError(
                    f"{source}: [capacity]: replicas: {name!r} is of another kind than {engine!r}."
                )
        if engine in replicas:
            raise ConfigError(f"{source}: [capacity]: replicas: {engine!r} is a replica of itself.")


def _put(table: dict[str, Any], path: tuple[str, ...], value: Any, source: str) -> None:
    for name in path[:-1]:
        inner = table.setdefault(name, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"{source}: {name!r} must be a table, [{name}].")
        table = cast("dict[str, Any]", inner)
    table[path[-1]] = value
