"""Settings that a checkpoint was trained with, out of its record, and how two of them differ."""

import json
from collections.abc import Mapping
from typing import Any

from gin.config_parser import BindingStatement, ConfigParser, ParserDelegate

# Where a run is and which phases it has beside this one is not what a phase was trained with.
_OF_THE_RUN = ("train.run_dir", "train.phases")


class _AsText(ParserDelegate):
    """References are kept as they are written: what they name need not be imported."""

    def configurable_reference(self, scoped_configurable_name: str, evaluate: bool) -> str:
        return f"@{scoped_configurable_name}{'()' if evaluate else ''}"

    def macro(self, macro_name: str) -> str:
        return f"%{macro_name}"


def bindings(configuration: str) -> dict[tuple[str, str], Any]:
    """Values of a gin configuration by (scope, selector.parameter); {} where it is damaged."""
    try:
        statements = list(ConfigParser(configuration, _AsText()))
    except (SyntaxError, ValueError):
        return {}
    return {
        (statement.scope, f"{statement.selector}.{statement.arg_name}"): statement.value
        for statement in statements
        if isinstance(statement, BindingStatement)
    }


def planned_phases(configuration: str) -> dict[str, dict[str, Any]]:
    """Settings of every phase that a run's gin configuration constructs, by name."""
    scopes: dict[str, dict[str, Any]] = {}
    for (scope, name), value in bindings(configuration).items():
        selector, _, field = name.rpartition(".")
        if selector.rpartition(".")[2] == "Phase":
            scopes.setdefault(scope, {})[field] = value
    return {fields["name"]: fields for fields in scopes.values() if "name" in fields}


def resolved_settings(record: Mapping[str, Any]) -> dict[str, Any]:
    """What a phase was trained with, by gin name.

    Its own Phase and model are taken from where the record has them resolved; of the configuration
    the phases beside it are left out.
    """
    values: dict[str, Any] = {}
    for (scope, name), value in bindings(record.get("operative_config", "")).items():
        selector = name.rpartition(".")[0].rpartition(".")[2]
        if selector not in ("Phase", "LlamaConfig") and name not in _OF_THE_RUN:
            values[f"{scope}/{name}" if scope else name] = value
    own = record["lineage"][-1]
    values |= {f"LlamaConfig.{field}": value for field, value in record["model"].items()}
    values |= {f"Phase.{field}": value for field, value in own["settings"].items()}
    return {**values, "train.seed": own.get("seed"), "code version": own.get("code_version")}


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Values that differ, by name; None stands for one that is not there."""
    first = json.loads(json.dumps(first))  # tuples as the lists that JSON makes of them
    second = json.loads(json.dumps(second))
    return {
        key: (first.get(key), second.get(key))
        for key in sorted({*first, *second})
        if first.get(key) != second.get(key)
    }
