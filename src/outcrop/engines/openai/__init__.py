"""Text and embeddings from any server that speaks OpenAI's HTTP interface."""

from outcrop.engines.openai.engine import OpenAIEngine

__all__ = ["OpenAIEngine"]
