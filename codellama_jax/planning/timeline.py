"""A compiled program run on paper: its schedule, instruction by instruction, against its links.

Compute runs in the order of the text. A collective occupies the links; those that begin while
others run wait for them. Compute that reaches the end of an asynchronous collective waits for it.
"""

import dataclasses
from collections.abc import Callable

from codellama_jax.planning.collectives import Collective, collective_of
from codellama_jax.planning.hlo import Computation, Instruction, Program
from codellama_jax.planning.kernels import Kernel, kernel_of
from codellama_jax.planning.loops import trip_count
from codellama_jax.planning.work import memory_bytes, product_flops

PARTS = ("matmul", "other", "kernels")


@dataclasses.dataclass(frozen=True)
class Transfer:
    """A collective of the program.

    Attributes:
      name, op_name: of its instruction.
      collective: what it sends.
      loop: the innermost loop around it as "op_name x turns", or "".
      asynchronous: compute runs while it does.
      times: how often it runs in a step; per_turn: in a turn of that loop.
      seconds: on the links, each time.
      exposed: seconds that compute waits for it, each time.
    """

    name: str
    op_name: str
    collective: Collective
    loop: str
    asynchronous: bool
    times: int
    per_turn: int
    seconds: float
    exposed: float


@dataclasses.dataclass
class Run:
    """What one run of a computation comes to.

    Attributes:
      seconds: from begin to end, waits included.
      parts: seconds of compute by part: "matmul" for whatever holds a matrix product, "other",
        "kernels".
      flops: of matrix products; kernel_flops: of kernels.
      bytes: from and to the large memory.
      transfers: its collectives.
      kernels: calls of each kernel, by name.
      unpriced: kernels of which nothing is known, loops whose turns are not, taken once.
    """

    seconds: float = 0.0
    parts: dict[str, float] = dataclasses.field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))
    flops: int = 0
    kernel_flops: int = 0
    bytes: int = 0
    transfers: list[Transfer] = dataclasses.field(default_factory=list)
    kernels: dict[str, int] = dataclasses.field(default_factory=dict)
    unpriced: list[str] = dataclasses.field(default_factory=list)

    def add(self, other: "Run", times: int, loop: str = "") -> None:
        """Adds so many runs of another computation."""
        self.seconds += times * other.seconds
        for part, seconds in other.parts.items():
            self.parts[part] += times * seconds
        self.flops += times * other.flops
        self.kernel_flops += times * other.kernel_flops
        self.bytes += times * other.bytes
        self.transfers += [
            dataclasses.replace(
                each,
                times=times * each.times,
                per_turn=each.per_turn if each.loop else each.times,
                loop=each.loop or loop,
            )
            for each in other.transfers
        ]
        for name, count in other.kernels.items():
            self.kernels[name] = self.kernels.get(name, 0) + times * count
        self.unpriced += other.unpriced


class Timeline:
    """Runs a program's computations.

    Args:
      program: scheduled: the order of its text is that of its execution.
      clock: Hz.
      link_seconds: of a collective that has the links for itself.
      kernel_seconds: of a kernel whose operations are known.
      turns: of loops that end by what they compute; None names them among what is left out and
        takes one.
    """

    def __init__(
        self,
        program: Program,
        clock: float,
        link_seconds: Callable[[Collective], float],
        kernel_seconds: Callable[[Kernel], float],
        turns: int | None = None,
    ):
        self._program, self._clock, self._turns = program, clock, turns
        self._link_seconds, self._kernel_seconds = link_seconds, kernel_seconds
        self._runs: dict[str, Run] = {}

    def run(self, name: str) -> Run:
        """One run of a computation, all that it calls included."""
        if name not in self._runs:
            self._runs[name] = self._run(self._program.computations[name])
        return self._runs[name]

    def _run(self, computation: Computation) -> Run:
        run = Run()
        ends: dict[str, tuple[Transfer, float]] = {}  # of what is under way: when it ends
        links_free = 0.0
        for instruction in computation.instructions.values():
            phase, key, collective = self._collective(computation, instruction)
            if phase == "done" and key in ends:
                transfer, end = ends.pop(key)
                exposed = max(0.0, end - run.seconds)
                run.transfers.append(dataclasses.replace(transfer, exposed=exposed))
                run.seconds += exposed
            elif phase in ("start", "whole"):
                seconds = self._link_seconds(collective)
                end = max(run.seconds, links_free) + seconds
                links_free = end
                transfer = Transfer(
                    instruction.name, instruction.op_name, collective, "", phase == "start", 1, 1,
                    seconds, 0.0,
                )  # fmt: skip
                if phase == "start":
                    ends[key] = transfer, end
                else:
                    exposed = end - run.seconds
                    run.transfers.append(dataclasses.replace(transfer, exposed=exposed))
                    run.seconds = end
            self._compute(run, computation, instruction)
        return run

    def _compute(self, run: Run, computation: Computation, instruction: Instruction) -> None:
        if instruction.opcode == "while":
            turns = trip_count(self._program, computation, instruction)
            if turns is None and (turns := self._turns) is None:
                run.unpriced.append(f"turns of {instruction.name}")
            body = self.run(instruction.called["body"][0])
            label = f"{instruction.op_name or 'while'} x {'?' if turns is None else turns}"
            run.add(body, 1 if turns is None else turns, label)
            return
        if instruction.opcode in ("conditional", "call"):
            called = [name for names in instruction.called.values() for name in names]
            run.add(max((self.run(name) for name in called), key=lambda each: each.seconds), 1)
            return
        run.bytes += memory_bytes(self._program, computation, instruction)
        if kernel := kernel_of(computation, instruction):
            run.kernels[kernel.name] = run.kernels.get(kernel.name, 0) + 1
            if kernel.flops is None:
                run.unpriced.append(f"kernel {instruction.name}")
            else:
                seconds = self._kernel_seconds(kernel)
                run.kernel_flops += kernel.flops
                run.parts["kernels"] += seconds
                run.seconds += seconds
            return
        flops = product_flops(self._program, computation, instruction)
        seconds = (instruction.cycles or 0) / self._clock
        run.flops += flops
        run.parts["matmul" if flops else "other"] += seconds
        run.seconds += seconds

    def _collective(
        self, computation: Computation, instruction: Instruction
    ) -> tuple[str, str, Collective | None]:
        """Whether an instruction is a collective "whole", its "start", its "done" or none, "".

        With a key that start and done share. TPU's compiler spreads a collective over several
        fusions: one starts it, others run compute beside it, one ends it; all hold it.
        """
        opcode = instruction.opcode
        if opcode.endswith("-done") and instruction.operands:
            return "done", instruction.operands[0], None
        if opcode not in ("fusion", "async-start"):
            found = collective_of(self._program, computation, instruction)
            phase = "start" if opcode.endswith("-start") else "whole"
            return (phase, instruction.name, found) if found else ("", "", None)
        inside = self._program.computations[instruction.called["calls"][0]]
        targets = [each.attribute("custom_call_target") for each in inside.instructions.values()
                   if each.opcode == "custom-call"]  # fmt: skip
        for each in inside.instructions.values():
            if (found := collective_of(self._program, inside, each)) is None:
                continue
            if opcode == "async-start":
                return "start", instruction.name, found
            channel = f"channel {each.attribute('channel_id')}"
            if "AsyncCollectiveStart" in targets:
                return "start", channel, found
            if "AsyncCollectiveDone" in targets:
                return "done", channel, None
            beside = (
                instruction.name.startswith(("async", "fusion")) and "chain_id" in each.attributes
            )
            if beside:
                return "", "", None
            root = inside.instructions[inside.root]
            if found.kind == "all-reduce" and root.opcode in ("dynamic-slice", "bitcast"):
                found = dataclasses.replace(found, kind="reduce-scatter")
            return "whole", channel, found
        return "", "", None
