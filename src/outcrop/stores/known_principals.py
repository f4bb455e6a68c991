"""Whether a principal that a policy names is there when the policy is written."""

from outcrop.stores.identities import IdentityDirectory, principal_of


def is_known(directory: IdentityDirectory, principal: str) -> bool:
    """``principal`` is an ARN, an account's number, or the unique ID that took the place of one
    who is gone."""
    if not principal.startswith("arn:"):
        return not principal.isdigit() or directory.find_account(principal) is not None
    account, resource = principal.split(":", 5)[4:]
    noun, _, rest = resource.partition("/")
    match noun:
        case "user":
            user = directory.find_user(account, rest.rpartition("/")[2])
            return user is not None and principal_of(user).arn == principal
        case "role":
            return directory.find_role_arn(principal) is not None
        case "assumed-role":
            return directory.find_role(account, rest.partition("/")[0]) is not None
        case "root" | "federated-user":
            return directory.find_account(account) is not None
        case _:
            return False
