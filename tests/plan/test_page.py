"""What is shown of a plan."""

import re

from headway.plan.figures import columns, row
from headway.plan.page import frontier, plan_page
from headway.sim.devices import device
from tests.plan.made_up import A100, planned, question


def test_the_frontier_holds_what_nothing_beats_in_both() -> None:
    points = [(3.0, 1.0), (1.0, 3.0), (2.0, 3.0), (2.0, 2.0), (4.0, 1.0)]
    assert frontier(points) == [(1.0, 3.0), (2.0, 2.0), (3.0, 1.0)]


def test_a_page_has_the_promise_the_advice_the_plot_and_why_not_the_others() -> None:
    asked = question(lengths="300:4", seeds=(1, 2))
    made = planned(asked, A100, device("L4"), tp=(1, 2), pp=(1, 2))
    text = plan_page("<Plan>", "of a test", made, asked)
    assert "<h1>&lt;Plan&gt;</h1>" in text
    assert text.count('class="plot"') == 1
    assert not re.search(r'<(script|link|img)[^>]+(src|href)="http', text)
    order = [
        text.index(words)
        for words in (
            "<h2>The promise", "95 of 100 requests have the first token within 1 s", "Take 1 x",
            "What a shorter wait costs", "What each device does", "Tensor or pipeline", "Why not the others",
        )
    ]  # fmt: skip
    assert order == sorted(order)
    for refused in made.refused:
        assert f"<td>{refused.name}</td>" in text


def test_a_row_has_a_cell_for_every_column() -> None:
    (choice,) = planned(question(lengths="300:4"), A100).choices
    assert len(row(choice)) == len(columns)


def test_waiting_less_costs_more() -> None:
    (choice,) = planned(question(lengths="300:4"), A100).choices
    points = choice.look.points
    assert [round(point.rate / choice.seeds[0].rate, 2) for point in points] == [0.4, 0.7, 1.0]
    assert points[0].ttft_p95_s < points[-1].ttft_p95_s
    costs = [choice.per_million_at(point.rate) for point in points]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] == choice.per_million_tokens
