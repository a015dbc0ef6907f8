"""A plan in sentences: what is promised, what to take, what keeps it from more, TP beside PP."""

from collections.abc import Mapping

from headway.core.slo import ServiceClass
from headway.plan.plan import Choice, Plan
from headway.plan.question import Question
from headway.plan.search import Layout, contended

attained_words = "95 of 100 requests"


def promises(plan: Plan, question: Question) -> list[str]:
    """One for each class that occurs."""
    return [f"{name}: {_promise(question.classes[name])}" for name in plan.demand.of_class]


def _promise(of: ServiceClass) -> str:
    parts = []
    if of.ttft_p95_s is not None:
        parts.append(f"the first token within {seconds(of.ttft_p95_s)}")
    if of.itl_p95_s is not None:
        parts.append(f"95 of 100 gaps between tokens within {seconds(of.itl_p95_s)}")
    if of.deadline_s is not None:
        parts.append(f"the whole answer within {seconds(of.deadline_s)}")
    if not parts:
        return "no latency; nine tenths of its tokens are done"
    return f"{attained_words} have {', and '.join(parts)}"


def recommendation(plan: Plan, question: Question) -> str:
    if not plan.choices:
        return (
            "None of these keeps the promise at any rate: loosen a target, or offer larger devices, or more"
        )
    best, *others = plan.choices
    gpus = best.candidate.deployment.gpus
    many = f"{best.replicas} x " if question.rate is not None else ""
    take = f"Take {many}{gpus} x {best.device} ({best.candidate.name})"
    low_high = "" if best.interval is None else f" ({best.interval[0]:.3g} to {best.interval[1]:.3g})"
    holds = f"a replica holds {best.capacity:.3g} requests/s{low_high}"
    cost = f"1,000 good requests cost ${best.per_thousand_good:.3g}"
    bill = f", ${best.dollars_per_hour:,.4g} an hour in all" if question.rate is not None else ""
    beside = ""
    if others:
        more = others[0].per_thousand_good / best.per_thousand_good - 1
        beside = f"; {others[0].device}, the next, costs {100 * more:.0f} % more"
    return f"{take}: {holds}, and {cost}{bill}{beside}"


def bound(choice: Choice) -> str:
    """Which target goes first when more comes, and for want of what."""
    return f"{choice.seeds[0].missed}, by {choice.look.binds}"


def interval_words(plan: Plan, question: Question) -> str:
    count = len(question.seeds)
    if count == 1:
        return "Capacity: bisected to 5 % on one seed, so it has no interval; --seeds 3 gives one"
    return (
        f"Capacity: the mean of {count} seeds, each bisected to 5 %; in brackets its 95 % interval by "
        "Student's t, with the bisection's 5 % above. None stands where one seed was enough: a request costs "
        f"over {contended:g} times the best's. Latencies: at capacity, first seed"
    )


def against(choice: Choice) -> str:
    """TP beside PP on as many GPUs."""
    if not choice.layouts:
        return "not compared: it costs too much beside the best, or no TP and PP on as many GPUs can be had"
    tp, pp = choice.layouts
    better, other = (pp, tp) if _roomier(pp, tp) else (tp, pp)
    gpus = tp.candidate.deployment.gpus
    return (
        f"on {gpus} GPUs at {tp.point.rate:.3g} requests/s {_spent(tp)}; {_spent(pp)}. {_name(better)} has "
        f"more room: its worst p95 is at {better.strain:.2g} of what is promised, {_name(other)}'s at "
        f"{other.strain:.2g}"
    )


def _roomier(one: Layout, other: Layout) -> bool:
    """Without promises: the quicker stream."""
    return (one.strain, one.point.itl_p95_s) < (other.strain, other.point.itl_p95_s)


def _name(layout: Layout) -> str:
    of = layout.candidate.deployment
    return f"TP {of.tp}" if of.pp == 1 else f"PP {of.pp}" if of.tp == 1 else f"TP {of.tp} x PP {of.pp}"


def _spent(layout: Layout) -> str:
    of, spent = layout.candidate.deployment, layout.spent
    links = of.layout.link if of.pp == 1 else of.layout.stage_link
    bubbles = f" and {100 * spent.bubbles:.0f} % in bubbles" if of.pp > 1 else ""
    return (
        f"{_name(layout)} spends {100 * spent.communication:.0f} % of its steps' time in communication "
        f"({links.value}){bubbles}, first tokens {seconds(layout.point.ttft_p95_s)} and gaps "
        f"{seconds(layout.point.itl_p95_s)} at p95"
    )


def seconds(value: float) -> str:
    return f"{value:.3g} s" if value >= 1 else f"{1e3 * value:.3g} ms"


def prices(choices: Mapping[str, float]) -> str:
    return ", ".join(f"{name} ${dollars:g}" for name, dollars in choices.items())
