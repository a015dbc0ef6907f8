"""/v1/slo as JSON: what is promised to whom, how much is kept, what cannot be kept here, what was changed."""

from typing import Any

from headway.core.slo import ServiceClass, Targets
from headway.metrics.ledger import Ledger
from headway.metrics.promises import SLOS, Kept, Share, recent_s
from headway.metrics.telling import infeasible_words
from headway.metrics.trial import by_chance
from headway.server.tuned import Tuned
from headway.server.tuning import LiveChange, Tuning

Json = dict[str, Any]


def slo_json(ledger: Ledger, tuning: Tuning, now_s: float) -> Json:
    ledger.look(now_s)
    step = ledger.last_step
    infeasible = () if step is None else step.infeasible
    return {
        "policy": tuning.in_force.policy,
        "forecast_error": None if step is None else step.forecast_error,
        "recent_s": recent_s,
        "classes": [
            {
                **_promise(service_class),
                **_record(ledger.kept[name], now_s),
                "infeasible": [
                    {"target": target, "why": infeasible_words}
                    for other, target in infeasible
                    if other == name
                ],
            }
            for name, service_class in ledger.classes.items()
        ],
        "paying": list(ledger.paying.names),
        "live": None if tuning.last is None else live_json(tuning.last, tuning),
    }


def live_json(change: LiveChange, tuning: Tuning) -> Json:
    """A live change: what it changed, what becomes of it, and by which numbers."""
    rule = change.rule
    return {
        "number": change.number,
        "state": change.state,
        "why": change.why or None,
        "applied_at": tuning.at(change.applied_s),
        "ended_at": tuning.at(change.ended_s),
        "before": _tuned(change.before.without(change.now)),
        "now": _tuned(change.now.without(change.before)),
        "rollback": None
        if rule is None
        else {
            "window_s": rule.window_s,
            "tolerance": rule.tolerance,
            "by_chance": by_chance,
            "to": {
                **_tuned(change.back_to.without(change.now)),
                "remove": [name for name in change.now.classes if name not in change.back_to.classes],
            },
        },
        "attainment": [
            {"name": name, "before": _share(before), "after": _share(after)}
            for name, before, after in tuning.compared(change)
        ],
    }


def _tuned(tuned: Tuned) -> Json:
    return {"policy": tuned.policy, "classes": [_promise(each) for each in tuned.classes.values()]}


def _promise(service_class: ServiceClass) -> Json:
    return {
        "name": service_class.name,
        "level": service_class.level,
        "weight": service_class.weight,
        "targets": _targets(service_class.targets),
        "max_wait_ms": _ms(service_class.max_wait_s),
        "on_overload": service_class.on_overload,
        "downgrade_to": service_class.downgrade_to,
    }


def _targets(targets: Targets) -> Json:
    return {
        "ttft_ms": _ms(targets.ttft_s),
        "itl_ms": _ms(targets.itl_s),
        "deadline_ms": _ms(targets.deadline_s),
    }


def _record(kept: Kept, now_s: float) -> Json:
    return {
        "recent": _share(kept.of_late(now_s)),
        "since_start": _share(kept.since_start),
        "violated": {slo: kept.violated[slo] for slo in SLOS},
    }


def _share(share: Share) -> Json:
    """Attainment is null where nothing was asked."""
    return {"requests": share.requests, "attainment": share.attainment}


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1e3
