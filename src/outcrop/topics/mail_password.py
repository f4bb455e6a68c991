"""The password of the mail server, which lies in a variable and nowhere else."""

import os
from collections.abc import Mapping

from outcrop.config import ConfigError, Mail


def password_of(mail: Mail, environment: Mapping[str, str] = os.environ) -> str:
    """Raises ``ConfigError`` where the configuration names a variable that is not set."""
    if mail.password_env is None:
        return ""
    password = environment.get(mail.password_env)
    if not password:
        raise ConfigError(
            f"[mail] password_env: the variable {mail.password_env} is not set. Set it to the "
            "password of the mail server."
        )
    return password
