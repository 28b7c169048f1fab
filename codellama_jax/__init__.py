"""Code Llama, the whole of it, in JAX: data, model, phases, evaluation."""

__version__ = "0.1.0"
