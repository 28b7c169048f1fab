"""The languages beside Python that the sandbox runs: MultiPL-E's, with its commands.

A program passes when its last statement is reached and it ends with code 0. What says that the last
statement was reached is a statement of ours, put behind the tests, that writes a token to
descriptor 3: `exit(0)` before the tests does not pass, which it does in MultiPL-E's own harness.
"""

import functools
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from codellama_jax.errors import UserError

JAVATUPLES = "/usr/share/java/javatuples.jar"


@dataclass(frozen=True)
class Language:
    """How programs are compiled and run; commands begin with a tool's name.

    Attributes:
      file: what the program is called.
      compile: command that must end with code 0 first, if any.
      run: command whose end is the program's.
      finish: statement that writes `{token}` to descriptor 3 and does not fail.
      braces: closing braces of the tests that `finish` has to stand before, from the end.
      remedy: what to install.
      failure: text on standard error that is a failed test whatever the exit code.
      reserves: whether its runtime reserves more address space than it uses, so that only the
        memory in use can be limited.
    """

    file: str
    compile: tuple[str, ...]
    run: tuple[str, ...]
    finish: str
    braces: int
    remedy: str
    failure: str = ""
    reserves: bool = False


_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
_NODE_FINISH = '\nrequire("fs").writeSync(3, "{token}");\n'

LANGUAGES = {
    "cpp": Language(
        "program.cpp",
        ("g++", "-pipe", "-std=c++17", "program.cpp", "-o", "program"),
        ("./program",),
        '{{ FILE* last_ = fdopen(3, "w"); fputs("{token}", last_); fflush(last_); }}\n',
        1,
        "apt-get install g++",
    ),
    "java": Language(
        "Problem.java",
        ("javac", *(f"-J{option}" for option in _JVM), "-encoding", "UTF8",
         "-cp", JAVATUPLES, "-d", ".", "Problem.java"),
        ("java", *_JVM, "-ea", "-cp", f".:{JAVATUPLES}", "Problem"),
        'try (var last_ = new java.io.FileOutputStream("/dev/fd/3")) '
        '{{ last_.write("{token}".getBytes()); }} '
        "catch (java.io.IOException e_) {{ throw new java.io.UncheckedIOException(e_); }}\n",
        2,
        "apt-get install default-jdk-headless",
        reserves=True,
    ),
    "php": Language(
        "program.php",
        (),
        ("php", "program.php"),
        '\nfile_put_contents("php://fd/3", "{token}");\n',
        0,
        "apt-get install php-cli",
    ),
    "ts": Language(
        "program.ts",
        ("tsc", "--target", "es2020", "--module", "commonjs", "program.ts"),
        ("node", "program.js"),
        _NODE_FINISH,
        0,
        "npm install --global typescript @types/node",
        reserves=True,
    ),
    "cs": Language(
        "program.cs",
        ("mcs", "-d:DEBUG", "-r:System.Numerics.dll", "-out:program.exe", "program.cs"),
        ("env", "MONO_TRACE_LISTENER=Console.Error", "mono", "program.exe"),
        'System.IO.File.WriteAllText("/dev/fd/3", "{token}");\n',
        2,
        "apt-get install mono-mcs mono-runtime",
        failure="Fail:",  # Debug.Assert tells, and goes on
        reserves=True,
    ),
    "sh": Language(
        "program.sh",
        (),
        ("bash", "program.sh"),
        "\nprintf %s {token} >&3\n",
        0,
        "apt-get install bash bc",
    ),
}  # fmt: skip
_ALSO = {
    "ts": ("node",),
    "cs": ("mono",),
    "sh": ("bc",),
}  # tools that a command does not begin with


def language_named(name: str) -> Language:
    """Raises UserError for a name that is not in LANGUAGES."""
    if name not in LANGUAGES:
        known = ", ".join(("python", *LANGUAGES))
        raise UserError(f"the sandbox knows no language {name!r}: take one of {known}")
    return LANGUAGES[name]


@functools.cache
def missing_tool(name: str) -> str | None:
    """None when a language's toolchain can be reached from a sandbox, else one line with why."""
    language = language_named(name)
    tools = {command[0] for command in (language.compile, language.run) if command}
    for tool in sorted(tools | set(_ALSO.get(name, ()))):
        if tool.startswith("./"):
            continue
        found = shutil.which(tool)
        if found is None:
            return f"no {tool} on this machine; install it with: {language.remedy}"
        if not Path(os.path.realpath(found)).is_relative_to("/usr"):
            return f"{tool} is {os.path.realpath(found)}; the sandbox shows programs only /usr"
    return None


def commands(language: Language) -> list[list[str]]:
    """Its commands with the tools' real places: what /etc/alternatives names is not mounted."""
    return [
        [os.path.realpath(shutil.which(tool) or tool) if "/" not in tool else tool, *arguments]
        for tool, *arguments in (command for command in (language.compile, language.run) if command)
    ]


def with_finish(language: Language, text: str, token: str) -> str:
    """The program with the statement that says that it came to its end."""
    at = len(text)
    for _ in range(language.braces):
        at = max(0, text.rfind("}", 0, at))
    return text[:at] + language.finish.format(token=token) + text[at:]
