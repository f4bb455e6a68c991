"""What ``outcrop doctor`` looks for of records, mail and telemetry, where the configuration names
them."""

import importlib.util
import shutil
import smtplib
from collections.abc import Iterator
from urllib.parse import urlsplit

from outcrop.cli.findings import Finding
from outcrop.config import Config, ConfigError
from outcrop.topics.mail_password import password_of

MIN_FREE_BYTES = 2**30
_ANSWERS_WITHIN_S = 5.0


def journal(config: Config) -> Iterator[Finding]:
    """Where the data directory takes nothing more, calls go on and are not recorded."""
    folder = next(path for path in (config.data_dir, *config.data_dir.parents) if path.exists())
    free_bytes = shutil.disk_usage(folder).free
    mend = ""
    if free_bytes < MIN_FREE_BYTES:
        mend = "Free some space: what is not written there is missing in trail, metrics and logs."
    yield Finding(f"{free_bytes / 2**30:.1f} GiB free for records in {folder}", mend)


def mail(config: Config) -> Iterator[Finding]:
    settings = config.mail
    if settings is None:
        return
    named = f"mail goes by {settings.host}:{settings.port}"
    try:
        password_of(settings)
    except ConfigError as error:
        yield Finding(f"{named}: no password", str(error))
        return
    kind = smtplib.SMTP_SSL if settings.tls == "tls" else smtplib.SMTP
    try:
        with kind(settings.host, settings.port, timeout=_ANSWERS_WITHIN_S) as server:
            server.noop()
    except (OSError, smtplib.SMTPException) as error:
        mend = "Start it or correct [mail]: until it answers, e-mail of SNS waits, for a day."
        yield Finding(f"{named}, which does not answer: {error}", mend)
    else:
        yield Finding(named)


def telemetry(config: Config) -> Iterator[Finding]:
    endpoint = config.telemetry.otlp_endpoint
    if endpoint is None:
        return
    host = urlsplit(endpoint).hostname or endpoint
    if importlib.util.find_spec("opentelemetry") is None:
        mend = "pip install 'outcrop[telemetry]'"
        yield Finding(f"telemetry cannot go to {host}: OpenTelemetry is not installed", mend)
    else:
        yield Finding(f"telemetry goes to {host}")


CHECKS = (journal, mail, telemetry)
