"""The modules that hold handlers, by name: importing this module registers all of them."""

from outcrop.services.bedrock import foundation_models
from outcrop.services.bedrock_runtime import converse, count_tokens, invoke_model
from outcrop.services.iam import (
    account_details,
    policies,
    policy_versions,
    role_policies,
    roles,
    simulation,
)
from outcrop.services.kms import (
    aliases,
    asymmetric,
    data_keys,
    encryption,
    grants,
    key_states,
    keys as kms_keys,
    policies as key_policies,
    rotation,
    tags as key_tags,
)
from outcrop.services.sts import caller_identity, role_sessions, user_sessions

MODULES = (
    foundation_models,
    converse,
    count_tokens,
    invoke_model,
    account_details,
    policies,
    policy_versions,
    role_policies,
    roles,
    simulation,
    caller_identity,
    role_sessions,
    user_sessions,
    aliases,
    asymmetric,
    data_keys,
    encryption,
    grants,
    key_states,
    kms_keys,
    key_policies,
    rotation,
    key_tags,
)
