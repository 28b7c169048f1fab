"""The estimator on a program whose figures are computed by hand, and on one compiled here."""

from pathlib import Path

import helpers  # noqa: F401  (virtual devices)
import jax
import jax.numpy as jnp
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from codellama_jax.errors import UserError
from codellama_jax.parallel import CHIPS
from codellama_jax.planning.collectives import Collective, Network, collective_of
from codellama_jax.planning.estimate import estimate
from codellama_jax.planning.facts import facts_of
from codellama_jax.planning.hlo import parse
from codellama_jax.planning.loops import trip_count
from codellama_jax.planning.work import memory_bytes, product_flops

TEXT = (Path(__file__).parent / "programs" / "nested_loops.hlo").read_text()
V5E = next(chip for chip in CHIPS if chip.name == "v5e")
LINKS = 4 * 50e9 * 0.9  # of a v5e chip in a torus, at the default efficiency


def test_the_text_becomes_computations():
    program = parse(TEXT)
    assert (program.entry, program.devices) == ("main", 16)
    weight = program.computations["outer_body"].instructions["weight.2"]
    assert (weight.opcode, weight.cycles, weight.called) == (
        "fusion", 500, {"calls": ("fused_slice",)},
    )  # fmt: skip
    assert weight.arrays[0].dims == (1, 256, 512) and weight.arrays[0].space == 1
    assert weight.arrays[0].bytes == 256 * 512 * 2
    assert [each.name for each in program.computations["fused_product"].parameters] == [
        "left", "right",
    ]  # fmt: skip


def test_text_that_is_no_program_is_refused():
    with pytest.raises(ValueError, match="no ENTRY"):
        parse("HloModule nothing\n")
    with pytest.raises(UserError, match="no ENTRY"):
        estimate("", V5E)
    with pytest.raises(UserError, match="H100-SXM is no TPU"):
        estimate(TEXT, next(chip for chip in CHIPS if chip.name == "H100-SXM"))


def test_turns_of_nested_loops():
    program = parse(TEXT)
    entry, body = (program.computations[name] for name in ("main", "outer_body"))
    assert trip_count(program, entry, entry.instructions["loop"]) == 4
    assert trip_count(program, body, body.instructions["loop.2"]) == 4  # 0, 2, 4, 6 of 7


def test_work_of_single_instructions():
    program = parse(TEXT)
    body = program.computations["outer_body"]
    assert product_flops(program, body, body.instructions["fusion.9"]) == 2 * 64 * 256 * 512
    # Of the stack one slice is read; the result lies in the vector memory.
    assert memory_bytes(program, body, body.instructions["weight.2"]) == 256 * 512 * 2
    entry = program.computations["main"]
    assert memory_bytes(program, entry, entry.instructions["doubled"]) == 3 * 64 * 256 * 2


def test_the_estimate_is_the_hand_computed_one():
    found = estimate(TEXT, V5E)
    assert found.flops == 4 * 2 * 64 * 256 * 512
    assert found.matmul == pytest.approx(4 * 1500 / 1.5e9)
    assert found.other == pytest.approx((150_000 + 4 * (500 + 4 * 100)) / 1.5e9)
    gather, reduce = found.collectives["all-gather"], found.collectives["all-reduce"]
    permute = found.collectives["collective-permute"]
    assert (gather.count, gather.asynchronous) == (4, 4)
    assert (reduce.count, reduce.asynchronous) == (4, 0)
    assert gather.wire_bytes == 4 * 256 * 512 * 2 * 15 / 16
    assert reduce.wire_bytes == 4 * 2 * 64 * 256 * 2 * 3 / 4
    assert permute.wire_bytes == 64 * 256 * 2
    # The permutation ends long before the addition beside it, the gather after its product.
    assert permute.exposed == 0 and permute.asynchronous == 1
    seconds = 256 * 512 * 2 * 15 / 16 / LINKS
    assert gather.seconds == pytest.approx(4 * seconds)
    assert gather.exposed == pytest.approx(4 * (seconds - 1500 / 1.5e9))
    assert reduce.exposed == pytest.approx(reduce.seconds)  # groups of 4: one ring, two links
    assert reduce.seconds == pytest.approx(reduce.wire_bytes / (LINKS / 2))
    assert found.seconds == pytest.approx(found.compute + gather.exposed + reduce.exposed)
    assert found.mfu(16 * 197e12 * found.seconds / 2) == pytest.approx(0.5)
    assert found.as_dict()["collectives"]["all-gather"]["count"] == 4


def test_facts_count_collectives_by_loop():
    facts = facts_of(TEXT, length=64, floor=1)
    assert facts.collectives == {
        "": {"collective-permute": 1},
        "jit(step)/while x 4": {"all-gather": 1, "all-reduce": 1},
    }
    assert facts.largest["bf16[4,256,512]"] == 4 * 256 * 512 * 2 and not facts.squares
    assert facts_of(TEXT.replace("64,256", "64,64"), length=64).squares == ("bf16[64,64]",)


@pytest.mark.parametrize(
    ("groups", "first"),
    [
        ("replica_groups={{0,2},{1,3}}", (0, 2)),
        ("replica_groups=[2,4]<=[8]", (0, 1, 2, 3)),
        ("replica_groups=[4,2]<=[2,4]T(1,0)", (0, 4)),
        ("replica_groups=mesh['a'=2,'b'=4] {'a'}", (0, 4)),
        ("replica_groups=mesh['a'=2,'b'=4] {'a','b'}", tuple(range(8))),
        ("replica_groups=mesh['a'=8] {'a':(2)2}", (0, 2)),
        ("replica_groups=mesh['a'=2,'b'=4], device_ids=([4,2]T(1,0)) {'a'}", (0, 1)),
        ("replica_groups=mesh['a'=2,'b'=4], device_ids=(7,6,5,4,3,2,1,0) {'a'}", (7, 3)),
    ],
)
def test_every_notation_of_groups(groups, first):
    text = TEXT.replace("replica_groups=[4,4]<=[16]", groups)
    program = parse(text)
    body = program.computations["outer_body"]
    assert collective_of(program, body, body.instructions["reduced.2"]).group == first


def test_slices_are_joined_by_the_slower_network():
    gather = Collective("all-gather", tuple(range(32)), 3200)
    network = Network(V5E, (True, True), 32, slices=2)
    inside = 3200 * 15 / 16 / 200e9
    assert network.seconds(gather) == pytest.approx(3200 / 16 / 2 / 3.125e9 + inside)
    alone = Collective("all-gather", tuple(range(16)), 3200)
    assert network.seconds(alone) == pytest.approx(inside)
    open_ended = Network(V5E, (False, False), 16)
    assert open_ended.seconds(alone) == pytest.approx(2 * inside)


def test_a_program_compiled_here_has_the_flops_of_its_products():
    def layers(x, weights):
        return jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, weights)[0]

    mesh = Mesh(jax.devices()[:4], ("x",))
    split = NamedSharding(mesh, PartitionSpec("x"))
    x = jax.ShapeDtypeStruct((64, 96), jnp.float32, sharding=split)
    weights = jax.ShapeDtypeStruct((6, 96, 96), jnp.float32)
    text = (
        jax.jit(jax.grad(lambda x, w: layers(x, w).sum(), 1)).lower(x, weights).compile().as_text()
    )
    found = estimate(text, V5E)
    assert found.devices == 4
    assert found.flops == 3 * 6 * 2 * 64 * 96 * 96 // 4
    assert not found.unpriced


# Splash attention of 2 rows of 1,024 by 4 heads of 128, in blocks of 256.
_KERNEL = """HloModule kernels, num_partitions=1, is_scheduled=true

ENTRY %main (q: bf16[2,4,1024,128], k: bf16[2,4,1024,128]) -> bf16[2,4,1024,128] {{
  %q = bf16[2,4,1024,128]{{3,2,1,0}} parameter(0)
  %k = bf16[2,4,1024,128]{{3,2,1,0}} parameter(1)
  %splash_mqa_{kernel}_segmented.1 = ({results}) custom-call(%q, %k), custom_call_target="tpu_custom_call", frontend_attributes={{kernel_metadata={{"xprof_metadata":"{{\\"{block}\\": 256}}"}}}}
  ROOT %out = bf16[2,4,1024,128]{{3,2,1,0}} get-tuple-element(%splash_mqa_{kernel}_segmented.1), index=0
}}
"""  # noqa: E501


@pytest.mark.parametrize(
    ("kernel", "block", "results", "products"),
    [
        ("fwd", "block_q", 2, 2),  # scores, values
        ("dkv", "block_q_dkv", 5, 5),  # scores, and the gradients of four products' operands
        ("dkv", "block_q_dkv", 4, 4),  # those of queries are another kernel's
        ("dq", "block_q_dq", 2, 3),
    ],
)
def test_attention_kernels_are_priced_by_their_products(kernel, block, results, products):
    result = "bf16[2,4,1024,128]{3,2,1,0}"
    text = _KERNEL.format(kernel=kernel, block=block, results=", ".join([result] * results))
    found = estimate(text, V5E)
    blocked = 256 if kernel != "dq" else 0  # whole blocks lie on the diagonal
    pairs = 2 * 4 * 1024 * (1024 + blocked) / 2
    assert found.kernel_flops == pytest.approx(products * 2 * 128 * pairs)
    assert (
        found.kernels == pytest.approx(found.kernel_flops / (0.5 * 197e12)) and not found.unpriced
    )
