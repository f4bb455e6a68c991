"""Text and embeddings from AWS Bedrock itself, or from another Outcrop."""

from outcrop.engines.upstream.engine import UpstreamEngine

__all__ = ["UpstreamEngine"]
