"""The names that dashboards and routers read, as Prometheus parses them."""

from array import array

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from headway.core.types import Accepted, Finished, Reason, Request, Sampling, Shares, Stepped, Token
from headway.metrics.export import Outlook, Pool, exposition
from headway.metrics.ledger import Ledger, Standing

expected_vllm = {
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:kv_cache_usage_perc",
    "vllm:cache_config_info",
    "vllm:prompt_tokens_total",
    "vllm:generation_tokens_total",
    "vllm:num_preemptions_total",
    "vllm:prefix_cache_queries_total",
    "vllm:prefix_cache_hits_total",
    "vllm:request_success_total",
    "vllm:time_to_first_token_seconds_bucket",
    "vllm:inter_token_latency_seconds_bucket",
    "vllm:request_time_per_output_token_seconds_bucket",
    "vllm:e2e_request_latency_seconds_bucket",
    "vllm:request_queue_time_seconds_bucket",
    "vllm:request_prefill_time_seconds_bucket",
    "vllm:request_decode_time_seconds_bucket",
    "vllm:iteration_tokens_total_bucket",
}


pool_of_100 = Pool(block_size=16, blocks=100)


def scrape(ledger: Ledger, pool: Pool | None = pool_of_100, state: str = "ready") -> list[Metric]:
    text = exposition(ledger, "a model", lambda: Outlook(20.0, state, pool))().decode()
    return list(text_string_to_metric_families(text))


def samples(metrics: list[Metric]) -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for metric in metrics:
        for sample in metric.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def busy_ledger() -> Ledger:
    ledger = Ledger()
    ledger.opened(Request(1, array("i", [1]), Sampling(), arrival_s=10.0, choices=2))
    said = {"running": 2, "blocks_used": 25, "blocks_cached": 5, "blocks_free": 70}
    numbers = dict.fromkeys(Stepped._fields, 0) | said | {"infeasible": ()}
    ledger.add([Accepted(1, 10.0, "chat"), Token(1, 0, 5, 11.0), Stepped(**numbers)])
    return ledger


def test_every_vllm_name_is_there_with_its_labels_before_the_first_request() -> None:
    found = samples(scrape(Ledger()))
    assert expected_vllm <= set(found)
    for name in expected_vllm:
        labels, _ = found[name][0]
        assert (labels["model_name"], labels["engine"]) == ("a model", "0")


def test_ends_are_told_by_the_reasons_that_dashboards_know() -> None:
    ledger = busy_ledger()
    ledger.add([Finished(1, 0, Reason.CANCELLED, 12.0, 1, 0, 1, Shares())])
    ends = {
        labels["finished_reason"]: value
        for labels, value in samples(scrape(ledger))["vllm:request_success_total"]
    }
    assert ends == {"stop": 0, "length": 0, "abort": 1, "error": 0, "timeout": 0}


def test_blocks_by_state_are_the_whole_pool() -> None:
    blocks = {labels["state"]: v for labels, v in samples(scrape(busy_ledger()))["headway:kv_blocks"]}
    assert blocks == {"free": 70, "used": 25, "cached": 5}


def test_blocks_are_shown_as_the_engine_says_also_when_some_are_lost() -> None:
    ledger = Ledger()
    ledger.stands(Standing(running=0, blocks_free=90, blocks_cached=5, blocks_used=3, slots_unused=7))
    found = samples(scrape(ledger))
    assert {labels["state"]: v for labels, v in found["headway:kv_blocks"]} == {
        "free": 90,
        "used": 3,
        "cached": 5,
    }
    assert found["headway:kv_slots_unused"] == [({}, 7.0)]
    assert found["vllm:kv_cache_usage_perc"][0][1] == 0.03


def test_the_pool_is_described_once_it_is_known() -> None:
    assert "vllm:cache_config_info" not in samples(scrape(Ledger(), pool=None, state="starting"))
    ((labels, _),) = samples(scrape(Ledger()))["vllm:cache_config_info"]
    assert (labels["block_size"], labels["num_gpu_blocks"]) == ("16", "100")


def test_our_latencies_carry_the_class() -> None:
    found = samples(scrape(busy_ledger()))
    assert found["headway:ttft_seconds_count"] == [({"class": "chat"}, 1.0)]


def test_two_servers_in_one_process_share_nothing() -> None:
    assert samples(scrape(busy_ledger()))["headway:running"] == [({}, 2.0)]
    assert samples(scrape(Ledger()))["headway:running"] == [({}, 0.0)]
