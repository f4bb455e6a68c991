"""The trust policy of a role: whomever it names must be there when it is written."""

from outcrop.errors import ServiceError
from outcrop.services.iam.documents import checked
from outcrop.stores.identities import IdentityDirectory
from outcrop.stores.known_principals import is_known


def check_trust(directory: IdentityDirectory, text: str) -> None:
    """Raises MalformedPolicyDocument, also for a user, role or account that does not exist."""
    for statement in checked(text, "trust").statements:
        named = statement.principals
        if named is None:
            continue
        for arn in sorted(named.arns - {"*"}):
            if not is_known(directory, arn):
                raise ServiceError(
                    "MalformedPolicyDocument", f'Invalid principal in policy: "AWS":"{arn}"'
                )
