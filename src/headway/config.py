"""Frozen settings, what each may be, and every rule between them.

A setting is one field: default, bounds and help stand together; flags, variables, files and the README's
table are made from it. Knows nothing of models or machines: what depends on them is decided in `build.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

from headway.classes import leading_to, read_classes
from headway.core.slo import ServiceClass
from headway.kinds import Kind, choice, memory, seconds, switch, text, whole

endless_queue = 1 << 20
POLICY_NAMES = ("static", "prefill-first", "decode-first", "stall-free", "aimd", "adaptive")
ALLOCATION_NAMES = ("paged", "reserved-request", "reserved-context")
KERNEL_NAMES = ("auto", "native", "plain")
GROUPS = ("Model", "Scheduling", "Memory", "Server")
_lists = {"classes": "class", "aliases": "alias", "class_keys": "class-key"}  # and how one is called


class ConfigError(ValueError):
    """A setting that cannot be honoured. The message is one line: which one, why, and what would work."""


class Option(NamedTuple):
    """One setting as flags, variables and files name it.

    A list is one text of several, with ; between; as a flag it is given once for each.
    """

    name: str  # of the field
    kind: Kind
    group: str
    help: str
    default: object
    default_words: str  # for help and README

    @property
    def key(self) -> str:
        """Its name in a file."""
        return _lists.get(self.name, self.name.replace("_", "-"))

    @property
    def is_list(self) -> bool:
        return self.name in _lists

    @property
    def is_secret(self) -> bool:
        return self.name.endswith(("_key", "_keys"))

    @property
    def flag(self) -> str:
        return "--" + self.key

    @property
    def variable(self) -> str:
        return "HEADWAY_" + self.key.upper().replace("-", "_")


def _setting(default: object, kind: Kind, group: str, help: str, default_words: str = "") -> Any:
    words = default_words or ("-" if default is None else str(default).lower())
    return field(default=default, metadata={"option": (kind, group, help, default, words)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything an engine and its server can be told. Raises ConfigError: none exists that breaks a rule."""

    model: str = _setting("smollm2", text("MODEL"), "Model", "A folder, a .gguf file, a hub id or an alias.")
    max_model_len: int | None = _setting(
        None,
        whole(1, 1 << 24, "TOKENS"),
        "Model",
        "Longest sequence, prompt and output.",
        "the most that fits",
    )
    chat_template: str | None = _setting(
        None, text("FILE"), "Model", "A chat template in place of the model's.", "the model's own"
    )
    seed: int | None = _setting(
        None, whole(0, (1 << 63) - 1), "Model", "Seed for requests that bring none.", "drawn at start-up"
    )
    threads: int | None = _setting(
        None, whole(1, 1024), "Model", "Threads for the model's arithmetic.", "one per core"
    )
    kernels: str = _setting(
        "auto",
        choice(*KERNEL_NAMES),
        "Model",
        "Whose arithmetic: native (compiled with Headway), plain (torch).",
    )
    profile: str | None = _setting(
        None,
        text("FILE"),
        "Model",
        "What headway calibrate measured, for the forecast to begin with; none: a guess.",
        "this model's, of this machine",
    )
    policy: str | None = _setting(
        None,
        choice(*POLICY_NAMES),
        "Scheduling",
        f"Who runs next: {', '.join(POLICY_NAMES)}.",
        "adaptive; offline, stall-free",
    )
    max_num_seqs: int = _setting(64, whole(1, 4096), "Scheduling", "Most sequences that run at a time.")
    # 256: on a CPU such a step takes most of a second, and that is the gap that a long prompt puts into
    # everyone's stream; half as many cost more per token, twice as many hardly less.
    max_num_batched_tokens: int = _setting(
        256, whole(1, 1 << 20, "TOKENS"), "Scheduling", "Most tokens of a step."
    )
    batch_wait: float = _setting(
        0.0, seconds(3600), "Scheduling", "With --policy static: how long a batch may wait to fill.", "0"
    )
    max_queue: int = _setting(
        512, whole(1, 1 << 20), "Scheduling", "Most sequences that wait; beyond it, 429."
    )
    classes: str | None = _setting(
        None,
        text("NAME:KEY=VALUE,...", 8192),
        "Scheduling",
        "A service class of yours, or other keys of a built-in one.",
        "chat, interactive, batch",
    )
    default_class: str | None = _setting(
        None,
        text("NAME", 32),
        "Scheduling",
        "The class of requests that name none.",
        "by streaming and length",
    )
    kv_cache_memory: int | None = _setting(
        None, memory, "Memory", "Memory for the KV cache.", "30 % of what is free, at most 4GiB"
    )
    block_size: int = _setting(16, whole(1, 256, "TOKENS"), "Memory", "Tokens of one KV block.")
    kv_allocation: str = _setting(
        "paged",
        choice(*ALLOCATION_NAMES),
        "Memory",
        f"How KV blocks are held: {', '.join(ALLOCATION_NAMES)}.",
    )
    prefix_caching: bool = _setting(True, switch, "Memory", "Reuse the KV of prompts that begin alike.")
    host: str = _setting("127.0.0.1", text("ADDRESS", 255), "Server", "Address to listen on.")
    port: int = _setting(8000, whole(0, 65535), "Server", "Port to listen on; 0 takes a free one.")
    served_model_name: str | None = _setting(
        None, text("NAME", 255), "Server", "The name clients ask for.", "the model as it was named"
    )
    aliases: str | None = _setting(
        None,
        text("NAME=CLASS", 8192),
        "Server",
        "A further name to ask for, whose requests have that class by default.",
        "that name alone",
    )
    api_key: str | None = _setting(
        None,
        text("KEY"),
        "Server",
        "Key that clients must send; best set as HEADWAY_API_KEY.",
        "none is asked",
    )
    class_keys: str | None = _setting(
        None,
        text("KEY=CLASS", 1 << 16),
        "Server",
        "Key whose requests have that class by default; it opens what --api-key does.",
        "no key has one",
    )
    tightening_key: str | None = _setting(
        None,
        text("KEY"),
        "Server",
        "Key whose requests may tighten their class's targets; it opens what --api-key does.",
        "only the admin key may",
    )
    admin_key: str | None = _setting(
        None,
        text("KEY"),
        "Server",
        "Key for live changes, drain and abort; best set as HEADWAY_ADMIN_KEY.",
        "no such call is taken",
    )
    record: str | None = _setting(
        None,
        text("FILE"),
        "Server",
        "A new file for the lengths, times and classes of requests; no text.",
        "nothing is recorded",
    )
    shutdown_timeout: float = _setting(
        30.0, seconds(3600), "Server", "On SIGTERM: how long running requests may take to finish.", "30"
    )

    def __post_init__(self) -> None:
        for option in OPTIONS.values():
            value = getattr(self, option.name)
            if not option.kind.allows(value) and (value is not None or option.default is not None):
                raise ConfigError(
                    f"{option.flag} is {shown(option, value)}, which is not {option.kind.words}"
                )
        seqs, tokens = self.max_num_seqs, self.max_num_batched_tokens
        if seqs > tokens:
            raise ConfigError(
                f"--max-num-seqs {seqs} is over --max-num-batched-tokens {tokens}: a step could not give "
                f"every running sequence its token; set --max-num-batched-tokens {seqs} "
                f"or --max-num-seqs {tokens}"
            )
        if self.batch_wait and self.policy != "static":
            raise ConfigError(
                f"--batch-wait {self.batch_wait:g} needs --policy static, the only one that waits for a "
                f"batch to fill; the policy is {self.policy_name}"
            )
        keys = {"--api-key": [self.api_key], "--tightening-key": [self.tightening_key]}
        for flag, others in {**keys, "--class-key": self.classes_by_key}.items():
            if self.admin_key is not None and self.admin_key in others:
                words = f"--admin-key is the same as {flag}: who has that could change everything"
                raise ConfigError(words)
        if self.served_name in self.classes_by_alias:
            words = f"--alias {self.served_name} is the model's own name; --default-class gives that a class"
            raise ConfigError(words)
        classes = self.service_classes
        if self.default_class is not None and self.default_class not in classes:
            words = f"--default-class {self.default_class} is no class; there are {', '.join(classes)}"
            raise ConfigError(words)

    @property
    def policy_name(self) -> str:
        return self.policy or "adaptive"

    @property
    def offline(self) -> "Settings":
        """For requests that are all here at once: the queue takes them, and no step is kept short for whoever
        might come."""
        return replace(self, max_queue=endless_queue, policy=self.policy or "stall-free")

    @property
    def service_classes(self) -> Mapping[str, ServiceClass]:
        """The built-in ones, as `classes` changes them, and its own."""
        try:
            return read_classes(self.classes)
        except ValueError as error:
            raise ConfigError(f"--class {error}") from None

    @property
    def served_name(self) -> str:
        return self.served_model_name or self.model

    @property
    def classes_by_alias(self) -> Mapping[str, str]:
        return self._leading_to("aliases")

    @property
    def classes_by_key(self) -> Mapping[str, str]:
        return self._leading_to("class_keys")

    def _leading_to(self, name: str) -> Mapping[str, str]:
        option, classes = OPTIONS[name], self.service_classes
        try:
            return leading_to(classes, getattr(self, name), secret=option.is_secret)
        except ValueError as error:
            raise ConfigError(f"{option.flag} {error}") from None

    def __repr__(self) -> str:
        pairs = (f"{o.name}={shown(o, getattr(self, o.name))}" for o in OPTIONS.values())
        return f"Settings({', '.join(pairs)})"


def shown(option: Option, value: object) -> str:
    """A value as messages may show it."""
    return "(hidden)" if option.is_secret and value is not None else repr(value)


OPTIONS: Mapping[str, Option] = {f.name: Option(f.name, *f.metadata["option"]) for f in fields(Settings)}
