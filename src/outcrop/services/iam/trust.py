"""The trust policy of a role: whomever it names must be there when it is written."""

from outcrop.errors import ServiceError
from outcrop.services.iam.documents import checked
from outcrop.stores.identities import IdentityDirectory, principal_of


def check_trust(directory: IdentityDirectory, text: str) -> None:
    """Raises MalformedPolicyDocument, also for a user, role or account that does not exist."""
    for statement in checked(text, "trust").statements:
        named = statement.principals
        if named is None:
            continue
        for arn in sorted(named.arns - {"*"}):
            if not _exists(directory, arn):
                raise ServiceError(
                    "MalformedPolicyDocument", f'Invalid principal in policy: "AWS":"{arn}"'
                )


def _exists(directory: IdentityDirectory, principal: str) -> bool:
    if not principal.startswith("arn:"):
        # An account, or the unique ID of a user or role that is gone.
        return not principal.isdigit() or directory.find_account(principal) is not None
    account, resource = principal.split(":", 5)[4:]
    noun, _, rest = resource.partition("/")
    match noun:
        case "root":
            return directory.find_account(account) is not None
        case "user":
            user = directory.find_user(account, rest.rpartition("/")[2])
            return user is not None and principal_of(user).arn == principal
        case "role":
            return directory.find_role_arn(principal) is not None
        case "assumed-role":
            return directory.find_role(account, rest.partition("/")[0]) is not None
        case "federated-user":
            return directory.find_account(account) is not None
        case _:
            return False
