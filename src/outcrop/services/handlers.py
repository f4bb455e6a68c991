"""The modules that hold handlers, by service: importing this module registers all of them."""

from importlib import import_module
from typing import Final

# A new module of handlers is listed here, nowhere else.
_NAMES: Final = {
    "bedrock": ("foundation_models",),
    "bedrock_runtime": (
        "converse",
        "count_tokens",
        "invoke_model",
    ),
    "ec2": (
        "endpoint_services",
        "endpoints",
        "flow_logs",
        "group_rules",
        "interface_permissions",
        "interfaces",
        "route_tables",
        "security_groups",
        "subnets",
        "tagging",
        "vpcs",
        "zones",
    ),
    "health": ("events",),
    "iam": (
        "absent",
        "access_keys",
        "account",
        "account_details",
        "group_policies",
        "groups",
        "policies",
        "policy_versions",
        "role_policies",
        "roles",
        "service_access",
        "service_credentials",
        "simulation",
        "user_policies",
        "users",
    ),
    "kms": (
        "aliases",
        "asymmetric",
        "data_keys",
        "encryption",
        "grants",
        "key_states",
        "keys",
        "policies",
        "rotation",
        "tags",
    ),
    "s3": (
        "access_lists",
        "bucket_settings",
        "buckets",
        "listings",
        "multipart",
        "object_tags",
        "objects",
        "public_access",
        "unset",
    ),
    "secretsmanager": (
        "listing",
        "passwords",
        "resource_policies",
        "secrets",
        "tags",
        "values",
        "versions",
    ),
    "sts": (
        "caller_identity",
        "role_sessions",
        "user_sessions",
    ),
}

MODULES: Final = tuple(
    import_module(f"outcrop.services.{service}.{name}")
    for service, names in _NAMES.items()
    for name in names
)
