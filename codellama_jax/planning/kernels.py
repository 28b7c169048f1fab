"""What hand-written kernels cost, of which the compiler says nothing.

Some state their operations, as our backward pass of attention does; those of JAX's splash, its
forward pass and what other codebases use, are counted here.

Letters: S query rows, T key rows.
"""

import dataclasses
import re

from codellama_jax.planning.hlo import Computation, Instruction

# Matrix products of S x T x head size in each kernel: scores and values; in the backward pass the
# scores anew and four gradients, or these shared out over two kernels that both take the scores.
_PRODUCTS = {"fwd": 2, "dkv": 5, "dq": 3}
_SPLIT_DKV = 4
# Gradients of keys and values and room to sum each; only the kernel that does all of the backward
# pass also has a result for those of queries.
_FUSED_RESULTS = 5


@dataclasses.dataclass(frozen=True)
class Kernel:
    """One call of a kernel.

    Attributes:
      name: "splash fwd", "splash dkv", "splash dq", or the kernel's own.
      flops: of its matrix products, those of masked pairs in computed blocks included; None when
        nothing is known of it.
    """

    name: str
    flops: int | None


def kernel_of(computation: Computation, instruction: Instruction) -> Kernel | None:
    """The kernel that an instruction calls, or None for another instruction."""
    if instruction.attribute("custom_call_target") != "tpu_custom_call":
        return None
    name = re.sub(r"[.\d]+$", "", instruction.name)
    if stated := re.search(r'"cost_estimate":\{[^}]*"flops":"?(\d+)', instruction.attributes):
        return Kernel(name, int(stated[1]))
    kind = re.search(r"splash_m[hq]a_(fwd|dkv|dq)", name)
    if not kind:
        return Kernel(name, None)
    floats = [
        operand.arrays[0]
        for operand in computation.operands(instruction)
        if operand.arrays and re.match(r"b?f\d+", operand.arrays[0].dtype)
    ]
    q, k = floats[0], floats[1]
    products = _PRODUCTS[kind[1]]
    if kind[1] == "dkv" and len(instruction.arrays) < _FUSED_RESULTS:
        products = _SPLIT_DKV
    keys = k.dims[-2]
    # A causal mask leaves half of the pairs, and blocks on the diagonal are computed whole.
    share = 0.5 + _block(instruction, "dkv" in kind[1]) / (2 * keys)
    return Kernel(f"splash {kind[1]}", round(products * 2 * q.elements * keys * min(share, 1.0)))


def _block(instruction: Instruction, backward: bool) -> int:
    """Rows of the larger of a kernel's blocks, of queries or keys."""
    names = ("block_q_dkv", "block_kv_dkv") if backward else ("block_q", "block_kv")
    found = [
        int(size)
        for name in names
        for size in re.findall(rf'\\"{name}\\": (\d+)', instruction.attributes)
    ]
    return max(found, default=0)
