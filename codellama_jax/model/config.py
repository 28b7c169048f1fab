"""Sizes and numerics of a Llama (Llama 2 paper, table 1; Code Llama paper, section 2)."""

import dataclasses
from typing import Literal

import gin

from codellama_jax.errors import UserError, check_fields

RematPolicy = Literal["none", "full", "attention", "dots", "projections", "projections_offloaded"]
AttentionKernel = Literal["auto", "xla", "blocked", "splash", "cudnn"]
RopeScaling = Literal["none", "linear", "yarn"]


@gin.configurable
@dataclasses.dataclass(frozen=True)
class LlamaConfig:
    """A Llama's shape and numerics. Defaults are Llama 2 7B.

    Attributes:
      vocab_size: V, ids including the infilling sentinels.
      dim: D, model width.
      num_layers: L.
      num_heads: N, query heads.
      num_kv_heads: K, key and value heads; N / K queries share one.
      ffn_dim: F, width of the SwiGLU hidden layer.
      head_dim: H; None is D / N.
      norm_eps: RMSNorm epsilon.
      rope_base: base of the rotary angles: 1e4 for Llama 2, 1e6 after long-context fine-tuning.
      rope_scaling, rope_factor, rope_original_length: another way to longer contexts, by which
        factor, from which trained length; the paper compares "linear" with a raised base.
      tied: the output head is the transposed embedding.
      dtype: of activations and matrix products; norms, rotary angles, softmax and logits are
        float32 whatever it says.
      param_dtype: of the parameters.
      remat: what a layer's backward pass computes anew: nothing ("none"), everything ("full"), all
        but attention itself ("attention"), what lies between weight products and attention
        ("dots"), that and attention's output product ("projections"), or what the latter keeps is
        kept in the host's memory ("projections_offloaded").
      scan_unroll: layers unrolled in one turn of the scan over layers; L on a CPU, where a loop
        costs more than a longer program, 1 on TPU, where it compiles L times faster.
      attention: kernel of packed rows: "xla" holds the scores of all pairs, "blocked" those of a
        block of queries, "splash" is TPU's flash attention, "cudnn" GPU's, in half precision;
        "auto" chooses by the mesh's platform and the dtype.
      attention_block: query rows, and in splash key rows, taken at a time.
    """

    vocab_size: int = 32_000
    dim: int = 4096
    num_layers: int = 32
    num_heads: int = 32
    num_kv_heads: int = 32
    ffn_dim: int = 11_008
    head_dim: int | None = None
    norm_eps: float = 1e-5
    rope_base: float = 1e4
    rope_scaling: RopeScaling = "none"
    rope_factor: float = 1.0
    rope_original_length: int = 4096
    tied: bool = False
    dtype: str = "bfloat16"
    param_dtype: str = "float32"
    remat: RematPolicy = "none"
    scan_unroll: int = 1
    attention: AttentionKernel = "auto"
    attention_block: int = 512

    def __post_init__(self) -> None:
        check_fields(self)
        for field in ("dtype", "param_dtype"):
            if (value := getattr(self, field)) not in ("float32", "bfloat16"):
                raise UserError(f"LlamaConfig.{field} = {value!r}: choose float32 or bfloat16")
        if self.rope_factor < 1:
            raise UserError(f"LlamaConfig.rope_factor = {self.rope_factor}: give 1 or more")
        if self.num_heads % self.num_kv_heads:
            raise UserError(
                f"LlamaConfig: {self.num_heads} query heads do not divide into groups over"
                f" {self.num_kv_heads} key-value heads; num_heads must be a multiple of it"
            )
        if self.head_dim is None and self.dim % self.num_heads:
            raise UserError(
                f"LlamaConfig: dim {self.dim} does not divide by num_heads {self.num_heads};"
                " give head_dim"
            )
        if self.key_size % 2:
            raise UserError(f"LlamaConfig: head size {self.key_size} is odd; rotary needs pairs")

    @property
    def key_size(self) -> int:
        """H, width of one attention head."""
        return self.head_dim or self.dim // self.num_heads

    @property
    def num_parameters(self) -> int:
        """Parameters, embedding and head included."""
        attention = self.dim * self.key_size * (2 * self.num_heads + 2 * self.num_kv_heads)
        layer = attention + 3 * self.dim * self.ffn_dim + 2 * self.dim
        embeddings = (1 if self.tied else 2) * self.vocab_size * self.dim
        return self.num_layers * layer + embeddings + self.dim

    def flops_per_token(self, sequence_length: int) -> float:
        """Model floating-point operations of one training token, forward and backward.

        Six per weight that multiplies (the embedding look-up does not) plus causal attention,
        which on average sees half the sequence (PaLM paper, appendix B, halved for causality).
        """
        weights = self.num_parameters - (0 if self.tied else self.vocab_size * self.dim)
        attention = 6 * self.num_layers * self.num_heads * self.key_size * sequence_length
        return 6.0 * weights + attention


def replace(config: LlamaConfig, **changes: object) -> LlamaConfig:
    """`config` with some fields changed, without gin's bindings filling the others in anew."""
    fields = {f.name: getattr(config, f.name) for f in dataclasses.fields(LlamaConfig)}
    return LlamaConfig(**{**fields, **changes})
