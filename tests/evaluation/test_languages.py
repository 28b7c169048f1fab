"""Programs of other languages: they pass at their end alone, inside the same containment."""

import pytest

from codellama_jax.errors import UserError
from codellama_jax.evaluation.sandbox import Limits, available, run_program, run_programs
from codellama_jax.evaluation.sandbox.languages import LANGUAGES, with_finish

LIMITS = Limits(wall_seconds=10.0, cpu_seconds=10)
# Parts as MultiPL-E has them: prompt, tests; then completions: right, wrong, leaves early, harm.
PROGRAMS = {
    "cpp": (
        "#include<assert.h>\n#include<bits/stdc++.h>\nlong f(long x) {\n",
        "}\nint main() {\n    auto candidate = f;\n    assert(candidate((1)) == (2));\n}\n",
        "    return x + 1;\n",
        "    return x;\n",
        "    exit(0);\n",
        '    std::ifstream file("/etc/passwd"); return file.good() ? x + 1 : 0;\n',
    ),
    "java": (
        "import java.util.*;\nclass Problem {\n    public static long f(long x) {\n",
        "    }\n    public static void main(String[] args) {\n"
        "    assert(f((1l)) == (2l));\n    }\n\n}\n",
        "        return x + 1;\n",
        "        return x;\n",
        "        System.exit(0); return x;\n",
        '        return new java.io.File("/etc/passwd").exists() ? x + 1 : 0;\n',
    ),
    "php": (
        "<?php\nfunction f($x) {\n",
        'function test(): void {\n    if (f(1) !== 2) { throw new Exception("!"); }\n}\n\ntest();',
        "    return $x + 1;\n}\n",
        "    return $x;\n}\n",
        "    exit(0);\n}\n",
        '    return file_exists("/etc/passwd") ? $x + 1 : 0;\n}\n',
    ),
    "ts": (
        "function f(x: number): number {\n",
        "declare var require: any;\nconst assert = require('node:assert');\n"
        "assert.deepEqual(f(1),2);",
        "  return x + 1;\n}\n",
        "  return x;\n}\n",
        "  (globalThis as any).process.exit(0); return x;\n}\n",
        '  return require("fs").existsSync("/etc/passwd") ? x + 1 : 0;\n}\n',
    ),
    "cs": (
        "using System;\nusing System.Diagnostics;\nclass Problem {\n"
        "    public static long F(long x) {\n",
        "    }\n    public static void Main(string[] args) {\n"
        "    Debug.Assert(F((1L)) == (2L));\n    }\n\n}\n",
        "        return x + 1;\n",
        "        return x;\n",
        "        Environment.Exit(0); return x;\n",
        '        return System.IO.File.Exists("/etc/passwd") ? x + 1 : 0;\n',
    ),
    "sh": (
        "#!/bin/bash\nf() {\n",
        '}\n\nset -e\nrun_test() {\n    [[ $(f "1") = "2" ]]\n}\n\nrun_test',
        "    echo $(( $1 + 1 ))\n",
        "    echo $1\n",
        "    true\n}\nexit 0\nf() {\n    true\n",
        "    [[ -e /etc/passwd ]] && echo $(( $1 + 1 ))\n",
    ),
}


@pytest.mark.parametrize("language", PROGRAMS)
def test_a_program_passes_at_its_end_alone(language):
    if reason := available(language):
        pytest.skip(reason)
    prompt, tests, *completions = PROGRAMS[language]
    completions.append("(((")
    texts = [f"{prompt}{completion}\n{tests}" for completion in completions]
    verdicts = run_programs(texts, LIMITS, workers=2, language=language)
    assert [v.status for v in verdicts] == ["passed"] + ["failed"] * 4, verdicts
    assert verdicts[2].detail == "ended with exit code 0 before its tests ended"


@pytest.mark.skipif(available("sh") is not None, reason=str(available("sh")))
def test_commands_have_the_limits_of_programs():
    limits = Limits(wall_seconds=1.0, cpu_seconds=1, processes=8)
    texts = [
        "while true; do :; done",
        "while true; do sleep 9 & done",
        "yes >&2",
        "sleep 100 & exec sleep 100",
    ]
    verdicts = run_programs(texts, limits, language="sh")
    assert [v.passed for v in verdicts] == [False] * 4, verdicts
    assert verdicts[0].status == "timeout" and verdicts[3].status == "timeout"
    assert run_program("echo fine", limits, language="sh").passed
    outside = run_program("[[ $(pwd) != / ]] && touch written", limits, True, "sh")
    assert outside.passed, outside


def test_what_marks_the_end_stands_behind_the_tests():
    cpp, sh = LANGUAGES["cpp"], LANGUAGES["sh"]
    text = with_finish(cpp, "int main() {\n    assert(1);\n}\n", "TOKEN")
    assert text.index("assert(1)") < text.index("TOKEN") < text.rindex("}")
    assert with_finish(sh, "run_test", "TOKEN") == "run_test\nprintf %s TOKEN >&3\n"
    assert "TOKEN" in with_finish(cpp, "no brace", "TOKEN")


def test_an_unknown_language_and_a_missing_tool_are_told(monkeypatch, tmp_path):
    from codellama_jax.evaluation.sandbox.languages import missing_tool

    with pytest.raises(UserError, match="no language 'cobol': take one of python, cpp"):
        available("cobol", unsandboxed=True)
    monkeypatch.setenv("PATH", str(tmp_path))
    missing_tool.cache_clear()
    try:
        assert "apt-get install php-cli" in available("php", unsandboxed=True)
        with pytest.raises(UserError, match="no g\\+\\+ on this machine"):
            run_programs(["int main() {}"], unsandboxed=True, language="cpp")
    finally:
        missing_tool.cache_clear()
