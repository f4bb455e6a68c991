"""The modules that hold handlers, by name: importing this module registers all of them."""

from outcrop.services.bedrock import foundation_models
from outcrop.services.bedrock_runtime import invoke_model

MODULES = (foundation_models, invoke_model)
