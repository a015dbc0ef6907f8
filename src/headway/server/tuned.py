"""What can be changed while the server runs: classes and policy; and what a body asks them to become.

Owns the checks of a live change, all of them made before anything is done. Pure.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from headway.classes import most_names, read_classes
from headway.core.slo import BUILT_IN, ServiceClass
from headway.metrics.trial import Rule
from headway.server.errors import bad
from headway.server.schema import Tune
from headway.server.settings import ServerSettings


class Tuned(NamedTuple):
    classes: Mapping[str, ServiceClass]
    policy: str

    def without(self, other: "Tuned") -> "Tuned":
        """Its policy, and those of its classes that are not the same there."""
        own = {name: each for name, each in self.classes.items() if other.classes.get(name) != each}
        return Tuned(own, self.policy)


def asked_for(body: Tune, now: Tuned, known: Collection[str], settings: ServerSettings) -> Tuned:
    """What shall be in force instead of `now`. `known`: every class there ever was. Raises ApiError 400."""
    if not (body.classes or "").strip("; ") and body.policy is None and not body.remove:
        raise bad("the body changes nothing; give classes, remove or policy", "classes")
    if body.policy is not None and body.policy not in settings.policies:
        words = f"{body.policy[:40]!r} is not allowed; it must be one of {', '.join(settings.policies)}"
        raise bad(f"policy: {words}", "policy")
    left = _left(body.remove or [], now.classes, _led_to(settings))
    try:
        classes = read_classes(body.classes, left)
    except ValueError as error:
        field = "remove" if body.classes is None else "classes"
        raise bad(f"{field}: {error}", field) from None
    names = len({*known, *classes})
    if names > most_names:
        words = (
            f"classes: with these there were {names} names since the start, over the limit of {most_names}"
        )
        raise bad(f"{words}; each stays in the metrics, so use one again", "classes")
    return Tuned(classes, now.policy if body.policy is None else body.policy)


def _led_to(settings: ServerSettings) -> Mapping[str, str]:
    """The classes that options lead requests to, and one such option."""
    own = {} if settings.default_class is None else {settings.default_class: "--default-class"}
    keys = dict.fromkeys(settings.class_keys.values(), "a --class-key")
    return {**keys, **{name: f"--alias {alias}" for alias, name in settings.aliases.items()}, **own}


def _left(
    names: list[str], classes: Mapping[str, ServiceClass], led_to: Mapping[str, str]
) -> Mapping[str, ServiceClass]:
    """The classes but for those that are removed, which requests can then no longer ask for."""
    for name in names:
        if name not in classes:
            raise bad(f"remove: {name[:40]!r} is no class; there are {', '.join(classes)}", "remove")
        if name in BUILT_IN:
            words = f"{name} is built in and stays: tiers and priorities lead to it; its keys can be changed"
            raise bad(f"remove: {words}", "remove")
        if name in led_to:
            raise bad(f"remove: {name} is what {led_to[name]} names, and stays", "remove")
    return {name: each for name, each in classes.items() if name not in names}


def rule_of(body: Tune) -> Rule | None:
    """By what the change is judged; None: it stays whatever comes. Raises ApiError 400."""
    if body.rollback is False:
        for name in ("window_s", "tolerance"):
            if getattr(body, name) is not None:
                raise bad(f"{name}: rollback is false, so nothing is judged; leave one of them out", name)
        return None
    given = {"window_s": body.window_s, "tolerance": body.tolerance}
    return Rule(**{name: value for name, value in given.items() if value is not None})
