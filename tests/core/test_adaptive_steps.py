"""How long the adaptive policy makes a step, on a machine whose speed is known."""

from itertools import pairwise

from headway.core.slo import BATCH, CHAT, ServiceClass
from headway.core.types import Stepped
from tests.core.timed_world import SLOW_CHAT, World, stamps, tokens_of


def test_a_step_is_as_long_as_the_tightest_streams_slack_allows():
    world = World()
    chat = world.ask("chat", 4)
    world.step()
    prompt = world.ask("chat", 400)
    batch = world.step()
    given = tokens_of(batch)
    assert given[chat] == 1
    assert 40 < given[prompt] < 80, "100 ms, less what a bare step takes and a little for safety"
    steps = [frame.step_s for frame in world.of(Stepped)]
    assert max(steps) <= 0.1


def test_with_nobody_to_wait_a_step_is_as_long_as_an_arrival_may_find():
    world = World()
    world.ask("chat", 2000)
    assert world.seconds(sum(tokens_of(world.step()).values())) <= 0.25 * 0.5 + 1e-6, "interactive's quarter"


def test_a_prompt_that_shorter_steps_would_make_late_gets_as_long_ones_as_it_needs():
    world = World(SLOW_CHAT, BATCH, max_step_tokens=1024)
    chat = world.ask("chat", 930)  # 0.95 s in one step, 1.03 s in those of a quarter of its target
    while not stamps(world, chat):
        world.step()
    assert stamps(world, chat)[0] <= 1.0


def test_a_prompt_at_risk_gets_a_step_as_long_as_its_own_target_allows_not_only_the_tightest():
    world = World(CHAT, ServiceClass(name="task", ttft_p95_s=0.5))
    task = world.ask("task", 420)  # 0.44 s in one step, 0.58 s in those of a quarter of chat's target
    while not stamps(world, task):
        world.step()
    assert stamps(world, task)[0] <= 0.5


def test_no_step_is_longer_than_twice_the_tightest_first_token_target_whatever_is_in_it():
    document = ServiceClass(name="document", ttft_p95_s=4.6)
    world = World(CHAT, document, max_step_tokens=4096)
    world.ask("document", 3900)  # 3.92 s in one step, and late otherwise
    chats, longest_s = [], 0.0
    while world.now < 4.0:
        if world.now >= 0.5 * len(chats):
            chats.append((world.now, world.ask("chat", 20, max_tokens=2)))
        began_s = world.now
        world.step()
        longest_s = max(longest_s, world.now - began_s)
    assert longest_s <= 0.6
    assert all(stamps(world, chat)[0] - asked_s <= 0.3 for asked_s, chat in chats)


def test_where_slack_is_scant_a_stream_spares_as_many_late_gaps_as_its_promise_leaves_for_prompts_at_risk():
    world = World(ServiceClass(name="stream", itl_p95_s=0.035), ServiceClass(name="task", ttft_p95_s=0.3))
    stream = world.ask("stream", 4, max_tokens=200)
    asked = []
    while len(stamps(world, stream)) < 200:
        if len(stamps(world, stream)) >= 15 * (len(asked) + 1):
            asked.append((world.now, world.ask("task", 150, max_tokens=1)))  # 0.4 s in the stream's slack
        world.step()
    late = sum(b - a > 0.035 for a, b in pairwise(stamps(world, stream)))
    in_time = sum(stamps(world, task)[0] - asked_s <= 0.3 for asked_s, task in asked if stamps(world, task))
    assert 0 < late <= 0.05 * 199
    assert in_time >= 0.6 * len(asked)
