"""The modules that hold handlers, by service. They are imported when the service is first asked:
importing all of them would take a fifth of a start."""

from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Final

from outcrop.services.operation import unknown_handlers
from outcrop.wire.spec import load_service

# A new module of handlers is listed here, nowhere else.
_NAMES: Final = {
    "bedrock": (
        "custom_model_deployments",
        "custom_models",
        "customization_jobs",
        "foundation_models",
        "inference_profiles",
        "invocation_logging",
        "model_agreements",
        "model_availability",
        "model_entitlements",
        "provisioned_purchases",
        "provisioned_throughputs",
        "provisioned_updates",
        "tagging",
        "use_cases",
    ),
    "bedrock_runtime": (
        "converse",
        "count_tokens",
        "invoke_model",
    ),
    "cloudwatch": (
        "alarm_states",
        "alarms",
        "metric_data",
        "metric_statistics",
        "metrics",
        "tags",
    ),
    "cloudtrail": (
        "event_selectors",
        "logging_states",
        "lookups",
        "public_keys",
        "tagging",
        "trails",
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
    "events": (
        "api_destinations",
        "buses",
        "connections",
        "permissions",
        "put_events",
        "rules",
        "tags",
        "targets",
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
    "logs": (
        "get_events",
        "groups",
        "live_tail",
        "metric_filters",
        "put_events",
        "queries",
        "resource_policies",
        "streams",
        "subscription_filters",
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
    "service_quotas": ("increases", "quotas"),
    "sns": (
        "confirmations",
        "permissions",
        "publishing",
        "subscription_attributes",
        "subscriptions",
        "tagging",
        "topics",
    ),
    "sqs": (
        "held_messages",
        "permissions",
        "queue_attributes",
        "queues",
        "receiving",
        "sending",
        "tags",
    ),
    "sts": (
        "caller_identity",
        "role_sessions",
        "user_sessions",
    ),
    "support": ("attachments", "cases", "communications", "offers"),
}

SERVICES: Final = tuple(name.replace("_", "-") for name in _NAMES)


@cache
def load(service: str) -> tuple[ModuleType, ...]:
    """The modules of one service, imported; none where it has no handlers."""
    folder = service.replace("-", "_")
    modules = tuple(
        import_module(f"outcrop.services.{folder}.{name}") for name in _NAMES.get(folder, ())
    )
    misspelt = unknown_handlers(load_service(service)) if modules else []
    if misspelt:
        raise LookupError(f"no operation of {service} is named {', '.join(misspelt)}")
    return modules


def load_all() -> tuple[ModuleType, ...]:
    return tuple(module for service in SERVICES for module in load(service))
