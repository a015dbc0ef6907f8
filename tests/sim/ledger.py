"""Follows what is published and checks every answer: each token, each score, each end and its reason."""

from collections import defaultdict

from headway.core.types import Accepted, Finished, PromptScored, Reason, Refused, Token
from headway.sim.executor import Script
from tests.sim.checked_executor import CheckedExecutor, scripted_score
from tests.sim.watched import Key, Watched

FAULT = "seeded fault"
DEATH = "seeded death"


class Ledger:
    """`script` says what each token must be, `watched` who asked for what and who was cancelled."""

    def __init__(self, script: Script, watched: Watched, executor: CheckedExecutor) -> None:
        self.verdicts: dict[int, object] = {}
        self.ends: dict[Key, Finished] = {}
        self._script = script
        self._watched = watched
        self._executor = executor
        self._tokens: dict[Key, list[int]] = defaultdict(list)
        self._scores: dict[Key, int] = defaultdict(int)
        self._due: dict[Key, Reason] = {}  # its last token ends it, for this reason

    def take(self, events) -> None:
        for event in events:
            if isinstance(event, Accepted | Refused):
                assert event.request_id not in self.verdicts, "a request gets one verdict"
                self.verdicts[event.request_id] = event
            elif isinstance(event, Token | PromptScored | Finished):
                key = (event.request_id, event.choice)
                assert isinstance(self.verdicts[event.request_id], Accepted)
                assert key not in self.ends, "nothing comes after the end"
                if isinstance(event, Token):
                    self._token(key, event.token)
                elif isinstance(event, PromptScored):
                    self._score(key, event)
                else:
                    self._end(key, event)
        assert self._due.keys() <= self.ends.keys(), "a last token comes with its end"

    def _token(self, key: Key, token: int) -> None:
        assert key not in self._due, "a token comes after the one that ends the sequence"
        request, tokens = self._watched.requests[key[0]], self._tokens[key]
        expected = self._script(self._watched.ids[key], len(request.prompt) + len(tokens))
        assert token == expected, "tokens are the executor's, each once and in order"
        tokens.append(token)
        if token in request.sampling.stop_ids and len(tokens) >= request.sampling.min_tokens:
            self._due[key] = Reason.STOP
        elif len(tokens) == request.sampling.max_tokens:
            self._due[key] = Reason.LENGTH

    def _score(self, key: Key, event: PromptScored) -> None:
        request = self._watched.requests[key[0]]
        assert request.sampling.prompt_logprobs is not None
        assert key[1] == 0, "the first choice's prompt is scored"
        first = 1 + self._scores[key]
        indices = range(first, first + len(event.logprobs))
        expected = [scripted_score(request.prompt[i], i) for i in indices]
        assert list(event.logprobs) == expected, "scores come in order, each once"
        self._scores[key] += len(event.logprobs)

    def _end(self, key: Key, event: Finished) -> None:
        self.ends[key] = event
        request, cancel = self._watched.requests[key[0]], self._watched.cancels.get(key)
        made = len(self._tokens[key])
        keep = made if cancel is None or cancel.keep is None else cancel.keep
        assert event.output_tokens == min(keep, made)
        if cancel is not None:
            assert event.reason is cancel.reason
        elif event.reason is Reason.ERROR:
            assert key not in self._due
            drawn = event.detail == FAULT and self._watched.ids[key] in self._executor.faulted
            assert drawn or event.detail == DEATH, "who fails was drawn to fail"
        elif event.reason is Reason.EXPIRED:
            assert made == 0
            assert event.at_s >= self._watched.expiry_s(request), "nobody expires before its time"
        else:
            assert event.reason is self._due.get(key), "who was not cancelled ends with its last token"
            asked = request.sampling.prompt_logprobs is not None and key[1] == 0
            assert self._scores[key] == (len(request.prompt) - 1 if asked else 0)
        shares = event.spent_ns
        assert min(shares) >= 0
        assert sum(shares) == round(event.at_s * 1e9) - round(request.arrival_s * 1e9), (
            "every nanosecond is accounted for"
        )
