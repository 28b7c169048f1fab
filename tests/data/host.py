"""One host of several: prints a digest of every part of a batch that its devices hold.

python host.py COORDINATOR HOSTS HOST CORPUS ROW BATCH
"""

import hashlib
import json
import sys

STEPS = ((0, 2), (1, 2), (1000, 1001), (1_000_000, 1_000_001))  # the second resumes the first
MESH = {"fsdp": 4, "context": 2}
DEVICES = 8


def digests(batch, step):
    """{"step/feature/row/first column": digest of the row's part} of what is held here."""
    found = {}
    for name, array in batch.items():
        for shard in array.addressable_shards:
            rows, *columns = shard.index
            column = columns[0].start or 0 if columns else 0
            for row, values in enumerate(shard.data.__array__(), rows.start or 0):
                digest = hashlib.sha256(values.tobytes()).hexdigest()[:16]
                found[f"{step}/{name}/{row}/{column}"] = digest
    return found


def main():
    """Joins the others, reads the steps, prints."""
    coordinator, hosts, host, corpus, row, batch_size = sys.argv[1:]
    import jax

    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", DEVICES // int(hosts))
    if int(hosts) > 1:
        jax.distributed.initialize(coordinator, int(hosts), int(host), initialization_timeout=120)
    from codellama_jax.data import HostLoader, RowStream
    from codellama_jax.parallel import make_mesh

    assert len(jax.devices()) == DEVICES
    stream = RowStream("code_llama", int(row), 0, corpus=corpus)
    loader = HostLoader(stream, int(batch_size), make_mesh(**MESH))
    found = []
    for first, last in STEPS:
        for step, batch in enumerate(loader.batches(first, last), first):
            found.append(digests(batch, step))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
