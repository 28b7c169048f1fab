"""Names of the parameters in Hugging Face's, Meta's and GGUF files."""

from typing import NamedTuple

from codellama_jax.weights.layout import Kind


class Place(NamedTuple):
    """A tensor's name, with {layer} where there is one of each layer, and its kind."""

    name: str
    kind: Kind


def _places(
    outside: dict[str, str], prefix: str, inside: dict[str, str], rotary: Kind
) -> dict[str, Place]:
    """Places by our path. `rotary` is the kind of query and key."""
    found = {}
    for path, name in outside.items():
        found[path] = Place(f"{name}.weight", Kind.MATRIX if path == "head" else Kind.SAME)
    for path, name in inside.items():
        if path == "attention/value":
            kind = Kind.HEADS_IN
        elif path in ("attention/query", "attention/key"):
            kind = rotary
        elif path == "attention/output":
            kind = Kind.HEADS_OUT
        else:
            kind = Kind.MATRIX if path.startswith("mlp/") else Kind.SAME
        found[f"layers/{path}"] = Place(f"{prefix}.{{layer}}.{name}.weight", kind)
    return found


HUGGING_FACE = _places(
    {"embedding": "model.embed_tokens", "norm/weight": "model.norm", "head": "lm_head"},
    "model.layers",
    {
        "attention_norm/weight": "input_layernorm",
        "attention/query": "self_attn.q_proj",
        "attention/key": "self_attn.k_proj",
        "attention/value": "self_attn.v_proj",
        "attention/output": "self_attn.o_proj",
        "mlp_norm/weight": "post_attention_layernorm",
        "mlp/gate": "mlp.gate_proj",
        "mlp/up": "mlp.up_proj",
        "mlp/down": "mlp.down_proj",
    },
    Kind.HEADS_IN,
)

META = _places(
    {"embedding": "tok_embeddings", "norm/weight": "norm", "head": "output"},
    "layers",
    {
        "attention_norm/weight": "attention_norm",
        "attention/query": "attention.wq",
        "attention/key": "attention.wk",
        "attention/value": "attention.wv",
        "attention/output": "attention.wo",
        "mlp_norm/weight": "ffn_norm",
        "mlp/gate": "feed_forward.w1",
        "mlp/up": "feed_forward.w3",
        "mlp/down": "feed_forward.w2",
    },
    Kind.HEADS_IN_INTERLEAVED,
)

GGUF = _places(
    {"embedding": "token_embd", "norm/weight": "output_norm", "head": "output"},
    "blk",
    {
        "attention_norm/weight": "attn_norm",
        "attention/query": "attn_q",
        "attention/key": "attn_k",
        "attention/value": "attn_v",
        "attention/output": "attn_output",
        "mlp_norm/weight": "ffn_norm",
        "mlp/gate": "ffn_gate",
        "mlp/up": "ffn_up",
        "mlp/down": "ffn_down",
    },
    Kind.HEADS_IN_INTERLEAVED,
)
