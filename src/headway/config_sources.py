"""Where settings come from: a flag, else a HEADWAY_* variable, else the config file, else the default.

Owns reading them and naming the place of a mistake: flag, variable, file and line. The rules between settings
stand in `config.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from headway.config import OPTIONS, ConfigError, Option, Settings, shown

# Variables with a meaning of their own; the last says where tests find published traces.
not_settings = ("HEADWAY_CONFIG", "HEADWAY_CACHE", "HEADWAY_DATA")
file_bytes = 1 << 20  # the largest config file that is read


class _Given(NamedTuple):
    """A value, read and within its own bounds, or None for "as by default"."""

    name: str
    value: object


Flag = str | bool | Sequence[str] | None


def load_settings(
    flags: Mapping[str, Flag], environment: Mapping[str, str], file: Path | None = None
) -> Settings:
    """Flag, else HEADWAY_* variable, else file, else default. Flags go by field name; None: not given.

    A list is one value: that of a flag takes the place of the file's, whole.

    The file is the one named by the flag --config or by HEADWAY_CONFIG. Raises ConfigError.
    """
    if file is None and environment.get("HEADWAY_CONFIG"):
        file = Path(environment["HEADWAY_CONFIG"])
    chosen: dict[str, Any] = {}
    for given in (_from_file(file) if file else (), _from_environment(environment), _from_flags(flags)):
        chosen.update(given)
    return Settings(**chosen)


def as_file(settings: Mapping[str, Any]) -> str:
    """A config file's text with these settings, by their keys."""
    return yaml.safe_dump(dict(settings), sort_keys=False)


def _from_flags(flags: Mapping[str, Flag]) -> Iterator[_Given]:
    for name, value in flags.items():
        option = OPTIONS[name]
        text = str(value) if isinstance(value, str | bool) else ";".join(value or ())
        if value is not None and not (option.is_list and not text):
            yield _Given(name, _read(option, text, option.flag))


def _from_environment(environment: Mapping[str, str]) -> Iterator[_Given]:
    by_variable = {option.variable: option for option in OPTIONS.values()}
    for variable, text in sorted(environment.items()):
        if variable.startswith("HEADWAY_") and variable not in not_settings:
            if variable not in by_variable:
                raise ConfigError(
                    f"{variable} is not a setting{_nearest(variable, (*by_variable, *not_settings))}"
                )
            yield _Given(by_variable[variable].name, _read(by_variable[variable], text, variable))


def _from_file(path: Path) -> Iterator[_Given]:
    """One mapping of plain values; keys are flags without their dashes, with - or _ between words."""
    seen: dict[str, int] = {}
    by_key = {option.key: option for option in OPTIONS.values()}
    for key, value in _yaml_pairs(path):
        line = key.start_mark.line + 1
        where = f"{path} line {line}"
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigError(f"{where}: a key must be the name of a setting")
        option = by_key.get(key.value.replace("_", "-"))
        if option is None:
            raise ConfigError(
                f"{where}: {_cut(key.value)} is not a setting{_nearest(key.value, tuple(by_key))}"
            )
        if option.name in seen:
            raise ConfigError(f"{where}: {key.value} is already set in line {seen[option.name]}")
        seen[option.name] = line
        text = _texts(value, option) if option.is_list else _plain(value)
        if text is None:
            raise ConfigError(f"{where}: {key.value} is not {option.kind.words}")
        if value.tag != "tag:yaml.org,2002:null":
            yield _Given(option.name, _read(option, text, f"{where}: {key.value}"))


def _plain(node: yaml.Node) -> str | None:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else None


def _texts(node: yaml.Node, option: Option) -> str | None:
    """As flags have it: a text, a list, or a mapping of names to texts; of classes, to their keys too."""
    joint = ":" if option.name == "classes" else "="
    if isinstance(node, yaml.SequenceNode):
        parts = [_plain(item) for item in node.value]
    elif isinstance(node, yaml.MappingNode):
        parts = [_paired(key, joint, keys) for key, keys in node.value]
    else:
        return _plain(node)
    return None if None in parts else ";".join(filter(None, parts))


def _paired(name: yaml.Node, joint: str, keys: yaml.Node) -> str | None:
    if isinstance(keys, yaml.MappingNode) and joint == ":":
        pairs = [(_plain(key), _plain(value)) for key, value in keys.value]
        inner = None if any(None in pair for pair in pairs) else ",".join(f"{k}={v}" for k, v in pairs)
    else:
        inner = _plain(keys)
    return None if inner is None or _plain(name) is None else f"{_plain(name)}{joint}{inner}"


def _yaml_pairs(path: Path) -> list[tuple[yaml.Node, yaml.Node]]:
    """Composed, never constructed: no tag can make an object, and a value is read as a flag's text is."""
    try:
        with path.open("rb") as stream:
            data = stream.read(file_bytes + 1)
        if len(data) > file_bytes:
            raise ConfigError(f"{path}: larger than {file_bytes:,} bytes")
        root = yaml.compose(data, Loader=yaml.SafeLoader)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path} line {line}: not YAML: {error.problem}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: not YAML: {type(error).__name__}") from error
    if root is None:
        return []
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{path} line 1: not a mapping of settings to values")
    pairs: list[tuple[yaml.Node, yaml.Node]] = root.value
    return pairs


def _read(option: Option, text: str, where: str) -> object:
    try:
        value = option.kind.read(text.strip())
    except (ValueError, KeyError, OverflowError):
        value = None
    if value is None or not option.kind.allows(value):
        near = get_close_matches(text, option.kind.choices, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(f"{where}: {shown(option, _cut(text))} is not {option.kind.words}{hint}")
    return value


def _cut(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _nearest(name: str, known: tuple[str, ...]) -> str:
    near = get_close_matches(name, known, 1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else "; `headway serve --help` lists them"
