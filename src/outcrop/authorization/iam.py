"""What the operations of IAM ask leave for, as the service authorization reference lists them.

A request names a user, group or role without its path; the ARN that policies are matched against
has it, so ``find_facts`` puts it in.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from outcrop.authorization.access import Access, Asked, Facts, Rule
from outcrop.authorization.tags import removed_tag_keys, request_tag_keys
from outcrop.stores.iam_names import Noun, iam_arn
from outcrop.stores.identities import IdentityDirectory
from outcrop.stores.opened import Stores
from outcrop.stores.resources import Item

_ON_GROUP: Final = """
AddUserToGroup AttachGroupPolicy CreateGroup DeleteGroup DeleteGroupPolicy DetachGroupPolicy
GetGroup GetGroupPolicy ListAttachedGroupPolicies ListGroupPolicies PutGroupPolicy
RemoveUserFromGroup
"""
_ON_USER: Final = """
AttachUserPolicy CreateAccessKey CreateServiceSpecificCredential CreateUser DeleteAccessKey
DeleteLoginProfile DeleteServiceSpecificCredential DeleteUser DeleteUserPermissionsBoundary
DeleteUserPolicy
DetachUserPolicy GetLoginProfile GetUser GetUserPolicy ListAccessKeys ListAttachedUserPolicies
ListGroupsForUser ListMFADevices ListSSHPublicKeys ListServiceSpecificCredentials
ListSigningCertificates ListUserPolicies ListUserTags
PutUserPermissionsBoundary PutUserPolicy ResetServiceSpecificCredential TagUser UntagUser
UpdateAccessKey UpdateServiceSpecificCredential
"""
_ON_ROLE: Final = """
AttachRolePolicy CreateRole DeleteRole DeleteRolePermissionsBoundary DeleteRolePolicy
DetachRolePolicy GetRole GetRolePolicy ListAttachedRolePolicies ListInstanceProfilesForRole
ListRolePolicies ListRoleTags PutRolePermissionsBoundary PutRolePolicy TagRole UntagRole
UpdateAssumeRolePolicy UpdateRole UpdateRoleDescription
"""
_ON_POLICY: Final = """
CreatePolicyVersion DeletePolicy DeletePolicyVersion GetPolicy GetPolicyVersion
ListEntitiesForPolicy ListPolicyTags ListPolicyVersions SetDefaultPolicyVersion TagPolicy
UntagPolicy
"""
_ON_SOURCE: Final = "GetContextKeysForPrincipalPolicy SimulatePrincipalPolicy"
_ON_EVERYTHING: Final = """
CreateAccountAlias DeleteAccountAlias GetAccountAuthorizationDetails GetAccountPasswordPolicy
GetAccountSummary GetContextKeysForCustomPolicy ListAccountAliases SimulateCustomPolicy
"""

# What accounts do not have here, in the ARNs that AWS asks leave for.
_ABSENT: Final = {
    "DeleteInstanceProfile": "instance-profile/{InstanceProfileName}",
    "GetInstanceProfile": "instance-profile/{InstanceProfileName}",
    "ListInstanceProfiles": "instance-profile{PathPrefix}",
    "ListOpenIDConnectProviders": "oidc-provider/*",
    "ListSAMLProviders": "saml-provider/*",
    "ListServerCertificates": "server-certificate{PathPrefix}",
    "ListVirtualMFADevices": "mfa/",
}

_KEYS: Final = {
    "iam:permissionsboundary": "PermissionsBoundary",
    "iam:servicespecificcredentialagedays": "CredentialAgeDays",
    "iam:servicespecificcredentialservicename": "ServiceName",
    "iam:awsservicename": "AWSServiceName",
}
_WITH_POLICY_ARN: Final = ("Attach", "Detach")

_ACCESS_KEY: Final = "access-key"

KeyValues = dict[str, "str | tuple[str, ...]"]


def _rule(operation: str, resource: Callable[[Asked], str]) -> Rule:
    def rule(asked: Asked) -> Sequence[Access]:
        return (Access(f"iam:{operation}", resource(asked), _keys(operation, asked.params)),)

    return rule


def _keys(operation: str, params: Mapping[str, Any]) -> KeyValues:
    keys: KeyValues = {key: str(params[name]) for key, name in _KEYS.items() if name in params}
    if operation.startswith(_WITH_POLICY_ARN):
        keys["iam:policyarn"] = params["PolicyArn"]
    if operation.startswith("Untag"):
        keys.update(removed_tag_keys(params["TagKeys"]))
    return keys | request_tag_keys(params.get("Tags"))


def _named(noun: Noun, parameter: str) -> Callable[[Asked], str]:
    def resource(asked: Asked) -> str:
        path = asked.params.get("Path", "/")
        return iam_arn(asked.account, noun, asked.params[parameter], path)

    return resource


def _user(asked: Asked) -> str:
    """Where no user is named, the caller is meant."""
    if "UserName" in asked.params:
        return _named("user", "UserName")(asked)
    if asked.params.get("AllUsers"):
        return iam_arn(asked.account, "user", "")
    return asked.caller.arn


def _owner_of_key(asked: Asked) -> str:
    return f"arn:aws:iam::{asked.account}:{_ACCESS_KEY}/{asked.params['AccessKeyId']}"


def _given(parameter: str) -> Callable[[Asked], str]:
    return lambda asked: asked.params[parameter]


def _below(noun: Noun) -> Callable[[Asked], str]:
    """A list is asked for by the path that it begins with."""
    return lambda asked: iam_arn(asked.account, noun, "", asked.params.get("PathPrefix", "/"))


def _on_everything(operation: str) -> Rule:
    # IAM names the star in a refusal, which other services leave out.
    return lambda _: (Access(f"iam:{operation}", "*", names="*"),)


def _list_policies(asked: Asked) -> Sequence[Access]:
    named = f"policy path {asked.params.get('PathPrefix', '/')}"
    return (Access("iam:ListPolicies", "*", names=named),)


def _absent(pattern: str) -> Callable[[Asked], str]:
    def resource(asked: Asked) -> str:
        named = pattern.format_map({"PathPrefix": "/", **asked.params})
        return f"arn:aws:iam::{asked.account}:{named}"

    return resource


def _provider(asked: Asked) -> str:
    return asked.params.get("SAMLProviderArn", "*")


def _service_linked_role(asked: Asked) -> str:
    service = asked.params["AWSServiceName"]
    return iam_arn(asked.account, "role", "*", f"/aws-service-role/{service}/")


@dataclass(frozen=True, slots=True)
class Move(Access):
    """Leave for what ``of`` becomes: ``noun`` of this ``name``, in the path that it has if the
    request names no other."""

    of: str = ""
    noun: Noun = "user"
    name: str = ""
    path: str | None = None


def _update(noun: Noun, operation: str, member: str) -> Rule:
    """Whoever renames or moves needs leave for the old ARN and for the new one."""

    def rule(asked: Asked) -> Sequence[Access]:
        params = asked.params
        name, path = params[member], params.get("NewPath")
        old = Access(f"iam:{operation}", iam_arn(asked.account, noun, name))
        new_name = params.get(f"New{member}", name)
        if new_name == name and path is None:
            return (old,)
        new = iam_arn(asked.account, noun, new_name, path or "/")
        return (old, Move(old.action, new, of=old.resource, noun=noun, name=new_name, path=path))

    return rule


def _rules(operations: str, resource: Callable[[Asked], str]) -> Iterable[tuple[str, Rule]]:
    return ((operation, _rule(operation, resource)) for operation in operations.split())


RULES: Final[Mapping[str, Rule]] = {
    **dict(_rules(_ON_USER, _user)),
    **dict(_rules(_ON_GROUP, _named("group", "GroupName"))),
    **dict(_rules(_ON_ROLE, _named("role", "RoleName"))),
    **dict(_rules(_ON_POLICY, _given("PolicyArn"))),
    **dict(_rules(_ON_SOURCE, _given("PolicySourceArn"))),
    **{operation: _on_everything(operation) for operation in _ON_EVERYTHING.split()},
    **dict(_rules("CreatePolicy", _named("policy", "PolicyName"))),
    **dict(_rules("CreateServiceLinkedRole", _service_linked_role)),
    **dict(_rules("GetAccessKeyLastUsed", _owner_of_key)),
    **dict(_rules("ListPoliciesGrantingServiceAccess", _given("Arn"))),
    **dict(_rules("ListUsers", _below("user"))),
    **dict(_rules("ListGroups", _below("group"))),
    **dict(_rules("ListRoles", _below("role"))),
    **{operation: _rule(operation, _absent(name)) for operation, name in _ABSENT.items()},
    **dict(_rules("GetSAMLProvider", _provider)),
    "ListPolicies": _list_policies,
    "UpdateUser": _update("user", "UpdateUser", "UserName"),
    "UpdateGroup": _update("group", "UpdateGroup", "GroupName"),
}


async def find_facts(stores: Stores, access: Access) -> Facts | None:
    item = _find(stores.directory, access.of if isinstance(access, Move) else access.resource)
    if item is None:
        return None
    keys: KeyValues = {f"iam:resourcetag/{key.lower()}": value for key, value in item.tags.items()}
    boundary = getattr(item.record, "boundary", None)
    if boundary is not None:
        keys["iam:permissionsboundary"] = boundary
    resource = item.arn
    if isinstance(access, Move):
        path = item.record.path if access.path is None else access.path
        resource = iam_arn(item.place.account, access.noun, access.name, path)
    return Facts(account=item.place.account, tags=item.tags, keys=keys, resource=resource)


def _find(directory: IdentityDirectory, arn: str) -> Item[Any] | None:
    """``arn`` may lack the path."""
    if not arn.startswith("arn:aws:iam::"):
        return None
    account, _, resource = arn.removeprefix("arn:aws:iam::").partition(":")
    noun, _, path = resource.partition("/")
    name = path.rpartition("/")[2]
    match noun:
        case "user":
            return directory.find_user(account, name)
        case "group":
            return directory.find_group(account, name)
        case "role":
            return directory.find_role(account, name)
        case "policy":
            return directory.find_policy(arn)
        case _ if noun == _ACCESS_KEY:
            key = directory.find_access_key(name)
            found = key is not None and key.principal.account == account
            return directory.find_user(account, key.principal.name) if key and found else None
        case _:
            return None
