"""Sampling, the batched engine, completion, infilling and chat."""

from codellama_jax.generation.engine import Engine
from codellama_jax.generation.interfaces import Model, chat, complete, infill, load_model
from codellama_jax.generation.sampling import Sampling

__all__ = ["Engine", "Model", "Sampling", "chat", "complete", "infill", "load_model"]
