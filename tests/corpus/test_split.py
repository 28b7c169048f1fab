import hashlib

from codellama_jax.corpus.document import Document
from codellama_jax.corpus.split import HELDOUT, TRAIN, SplitSettings, heldout_paths, rank, split


def documents(count, size=10, source="code"):
    return [
        Document(
            f"{i} " * size,
            f"{source}/{i}",
            "python",
            source,
            sha256=hashlib.sha256(f"{source}{i}".encode()).hexdigest(),
        )
        for i in range(count)
    ]


NONE = SplitSettings(heldout_documents=0, heldout_long_documents=0)


def test_fraction_and_independence_of_other_documents():
    of = documents(2000)
    heldout = heldout_paths(of, 0.1, 0, NONE)
    assert 150 < len(heldout) < 250
    assert heldout_paths(of[::-1][:1000], 0.1, 0, NONE) == {
        d.path for d in of[1000:] if d.path in heldout
    }
    assert heldout_paths(of, 0.1, 1, NONE) != heldout
    assert heldout_paths(of, 0.0, 0, SplitSettings()) == set() == heldout_paths([], 0.1, 0, NONE)


def test_minima_take_the_lowest_ranks():
    of = documents(100) + documents(100, size=4000, source="code2")
    settings = SplitSettings(heldout_documents=0, long_bytes=8000, heldout_long_documents=10)
    heldout = heldout_paths(of, 1e-9, 0, settings)
    long = sorted((d for d in of if d.size >= 8000), key=lambda d: rank(d, 0))
    assert heldout == {d.path for d in long[:10]}
    assert len(heldout_paths(documents(20), 1e-9, 0, SplitSettings(heldout_documents=16))) == 5


def test_what_is_made_from_a_document_is_on_its_side():
    code = documents(200)
    made = [
        Document(
            f"made {d.path}", f"{d.path}#f", "english", "nl_code", parent=d.path, sha256=d.sha256
        )
        for d in code
    ]
    parents = documents(50, source="parent")
    made += [Document("x", f"{d.path}#g", "e", "nl_code", parent=d.path) for d in parents]
    of = {"code": code, "python": code[:90], "nl_code": made, "nl": [], "dialogues": []}
    sides = split(of, parents, 0.2, 0, NONE)
    held = {d.path for d in sides["code"][HELDOUT]}
    held |= {d.path for d in parents if rank(d, 0) < 0.2}
    assert {d.parent for d in sides["nl_code"][HELDOUT]} == held
    assert {d.path for d in sides["python"][HELDOUT]} == held & {d.path for d in code[:90]}
    for source in of:
        assert len(sides[source][TRAIN]) + len(sides[source][HELDOUT]) == len(of[source])
