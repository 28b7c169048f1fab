"""Memory of a forward and backward pass over long sequences, as the compiler lays it out.

    python benchmarks/attention_memory.py [--attention blocked] [--lengths 4096 8192 16384 32768]

Two layers of the width of 7B, one row, everything recomputed (remat "full"). Nothing is run: the
figures are the compiled program's, for this CPU. Linear in the length means a constant last column.
"""

import argparse


def main() -> None:
    """Compiles for each length and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--attention", default="blocked", choices=("blocked", "xla"))
    parser.add_argument("--lengths", type=int, nargs="+", default=[4096, 8192, 16_384, 32_768])
    arguments = parser.parse_args()
    import jax
    import jax.numpy as jnp

    from codellama_jax.model import apply, param_shapes, sized_config
    from codellama_jax.training.loss import cross_entropy

    jax.config.update("jax_platforms", "cpu")
    config = sized_config(
        "code_llama_7b", num_layers=2, remat="full", attention=arguments.attention,
        attention_block=256,
    )  # fmt: skip

    def loss(params, tokens):
        positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
        hidden = apply(config, params, "hidden", tokens, positions, jnp.ones_like(tokens))
        weights = jnp.ones(tokens.shape, jnp.float32)
        return cross_entropy(hidden, params["head"], tokens, weights, 512)[0]

    print(f"{arguments.attention}: {'tokens':>8}{'temporary GiB':>16}{'KiB a token':>14}")
    fixed = None
    for length in arguments.lengths:
        tokens = jax.ShapeDtypeStruct((1, length), jnp.int32)
        compiled = jax.jit(jax.grad(loss)).lower(param_shapes(config), tokens).compile()
        size = compiled.memory_analysis().temp_size_in_bytes
        grown = "" if fixed is None else f"{(size - fixed[1]) / (length - fixed[0]) / 1024:14,.0f}"
        print(f"{'':{len(arguments.attention)}}  {length:8,}{size / 2**30:16.2f}{grown:>14}")
        fixed = fixed or (length, size)


if __name__ == "__main__":
    main()
