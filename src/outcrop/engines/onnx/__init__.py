"""Sentence embeddings on ONNX Runtime, in a worker process."""

from outcrop.engines.onnx.engine import OnnxEngine

__all__ = ["OnnxEngine"]
