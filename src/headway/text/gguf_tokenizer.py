"""A tokenizer built from a GGUF file's metadata: vocabulary, merges or scores, and the kind of pre-tokenizer.

What the file says is followed; a kind that is not known here is refused by name, never guessed.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.pre_tokenizers import PreTokenizer

from headway.spec.gguf_file import read_gguf
from headway.spec.model import BadModel
from headway.text.parts import BadTokenizer, Spelling, TokenizerParts

unknown, control, user_defined = 2, 3, 4  # of tokenizer.ggml.token_type
most_tokens = 1 << 21  # the largest vocabularies in use have 2^18
longest_token = 1 << 10  # characters; the longest in use are runs of some hundred spaces

# How text is cut before merging, as each family's own tokenizer does it.
_llama3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_qwen2 = _llama3.replace(r"\p{N}{1,3}", r"\p{N}")
_tekken = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_gpt2 = ("default", "gpt-2")
_digit_by_digit = ("smollm", "starcoder", "refact", "command-r", "codeshell")
_as_llama3 = ("llama-bpe", "llama3", "llama-v3", "falcon3")
_as_qwen2 = ("qwen2", "deepseek-r1-qwen")
_patterns = {**dict.fromkeys(_as_llama3, _llama3), **dict.fromkeys(_as_qwen2, _qwen2), "tekken": _tekken}
# Of these a word that is in the vocabulary is not merged but taken, and a text begins with a token of its own
# where the file does not say otherwise.
_whole_words_and_bos = (*_as_llama3, "tekken")


def read_gguf_tokenizer(path: Path) -> TokenizerParts:
    """Raises BadModel."""
    try:
        return _Gguf(path).parts()
    except BadModel:
        raise
    except Exception as error:  # the tokenizers library raises bare Exceptions
        raise BadTokenizer(path, f"no tokenizer can be built from its metadata ({error})") from error


class _Gguf:
    """One file's metadata, and the tokenizer that it describes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._metadata = read_gguf(path).metadata
        self._pre = str(self._metadata.get("tokenizer.ggml.pre", "default"))
        self._tokens = [str(token) for token in self._list("tokens")]
        self._types = [int(kind) for kind in self._list("token_type")] or [1] * len(self._tokens)
        if not 0 < len(self._tokens) <= most_tokens or len(self._types) != len(self._tokens):
            raise self._bad(f"{len(self._tokens)} tokens with {len(self._types)} types")
        if len(set(self._tokens)) != len(self._tokens):
            raise self._bad("a token appears twice in its vocabulary")
        if (longest := max(map(len, self._tokens))) > longest_token:
            raise self._bad(f"a token of {longest:,} characters; at most {longest_token:,} are read")

    def parts(self) -> TokenizerParts:
        model = self._metadata.get("tokenizer.ggml.model")
        if model == "gpt2":
            backend, spelling = self._byte_level(), Spelling("byte-level")
            begins = self._flag("add_bos_token", self._pre in _whole_words_and_bos)
        elif model == "llama":
            prefix = self._flag("add_space_prefix", not self._is_gemma())
            backend, spelling = self._sentencepiece(prefix), Spelling("sentencepiece", prefix)
            begins = self._flag("add_bos_token", True)
        else:
            raise self._bad(f"tokenizer model {model!r} is not supported (gpt2 and llama are)")
        self._add_special(backend)
        self._add_ends(backend, begins, self._flag("add_eos_token", False))
        template = self._metadata.get("tokenizer.chat_template")
        ends = [self._id(name) for name in ("eos", "eot", "eom")]
        names = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
        ids = {f"{name}_token": self._id(key) for name, key in names.items()}
        return TokenizerParts(
            backend=backend,
            spelling=spelling,
            bos_id=self._id("bos"),
            eos_ids=tuple(dict.fromkeys(id for id in ends if id is not None)),
            chat_template=template if isinstance(template, str) else None,
            named_tokens={name: self._tokens[id] for name, id in ids.items() if id is not None},
        )

    def _byte_level(self) -> Tokenizer:
        merges = (str(merge).partition(" ") for merge in self._list("merges"))
        model = models.BPE(
            vocab={token: id for id, token in enumerate(self._tokens)},
            merges=[(left, right) for left, _, right in merges],
            ignore_merges=self._pre in _whole_words_and_bos,
        )
        tokenizer = Tokenizer(model)
        if self._pre in _as_qwen2:
            tokenizer.normalizer = normalizers.NFC()
        tokenizer.pre_tokenizer = self._pre_tokenizer()
        tokenizer.decoder = decoders.ByteLevel()
        return tokenizer

    def _pre_tokenizer(self) -> PreTokenizer:
        by_words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        if self._pre in _gpt2:
            return by_words
        if self._pre in _digit_by_digit:
            return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), by_words])
        if self._pre == "falcon":
            return pre_tokenizers.Sequence([
                pre_tokenizers.Punctuation("contiguous"),
                by_words,
                pre_tokenizers.Digits(individual_digits=False),
                pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated"),
            ])  # fmt: skip
        if pattern := _patterns.get(self._pre):
            bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
            return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), bytes_only])
        known = ", ".join(sorted({*_gpt2, *_digit_by_digit, "falcon", *_patterns}))
        raise self._bad(f"pre-tokenizer {self._pre!r} is not supported (known: {known})")

    def _sentencepiece(self, prefix: bool) -> Tokenizer:
        unk = self._id("unknown")
        if self._is_gemma():  # files spell its runs of spaces as spaces
            self._tokens = ["\u2581" * len(t) if t and not t.strip(" ") else t for t in self._tokens]
        model = models.BPE(
            vocab={token: id for id, token in enumerate(self._tokens)},
            merges=list(self._merges_by_score()),
            unk_token=None if unk is None else self._tokens[unk],
            fuse_unk=True,
            byte_fallback=True,
        )
        tokenizer = Tokenizer(model)
        replace = normalizers.Replace(" ", "\u2581")
        tokenizer.normalizer = (
            normalizers.Sequence([normalizers.Prepend("\u2581"), replace]) if prefix else replace
        )
        strip = [decoders.Strip(" ", 1, 0)] if prefix else []
        back = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
        tokenizer.decoder = decoders.Sequence([*back, *strip])
        return tokenizer

    def _merges_by_score(self) -> Iterator[tuple[str, str]]:
        """The merges that a vocabulary with scores implies, best first.

        SentencePiece joins whichever neighbours make the token of best score: every cut of a token into two
        tokens is a merge. Gemma's scores do not follow the order in which its merges were learnt; its ids do.
        """
        ids = {token: id for id, token in enumerate(self._tokens)}
        scores = [float(score) for score in self._list("scores")]
        if self._is_gemma() or len(scores) != len(self._tokens):
            scores = [-float(id) for id in range(len(self._tokens))]
        ranked: list[tuple[float, int, int, str]] = []
        for token, score in zip(self._tokens, scores, strict=True):
            for cut in range(1, len(token)):
                if token[:cut] in ids and token[cut:] in ids:
                    ranked.append((-score, -cut, cut - len(token), token))
        ranked.sort()
        return ((token[:-cut_minus], token[-cut_minus:]) for _, cut_minus, _, token in ranked)

    def _add_special(self, tokenizer: Tokenizer) -> None:
        """Control and user-defined tokens are found in text whole; the former are left out of answers."""
        added = [
            AddedToken(token, normalized=False, special=kind != user_defined)
            for token, kind in zip(self._tokens, self._types, strict=True)
            if kind in (unknown, control, user_defined) and token.strip("\u2581")
        ]
        tokenizer.add_special_tokens([token for token in added if token.special])
        tokenizer.add_tokens([token for token in added if not token.special])

    def _add_ends(self, tokenizer: Tokenizer, begins: bool, ends: bool) -> None:
        """What is put around a raw prompt."""
        before, after = self._named("bos") if begins else {}, self._named("eos") if ends else {}
        tokenizer.post_processor = processors.TemplateProcessing(
            single=[*before, "$A", *after], special_tokens=list({**before, **after}.items())
        )

    def _named(self, name: str) -> dict[str, int]:
        """The token of that role with its id, if there is one."""
        id = self._id(name)
        return {} if id is None else {self._tokens[id]: id}

    def _is_gemma(self) -> bool:
        return str(self._metadata.get("general.architecture", "")).startswith("gemma")

    def _id(self, name: str) -> int | None:
        id = self._metadata.get(f"tokenizer.ggml.{name}_token_id")
        return id if isinstance(id, int) and 0 <= id < len(self._tokens) else None

    def _flag(self, name: str, default: bool) -> bool:
        return bool(self._metadata.get(f"tokenizer.ggml.{name}", default))

    def _list(self, name: str) -> Sequence[str | int | float | bool]:
        found = self._metadata.get(f"tokenizer.ggml.{name}")
        return found if isinstance(found, list) else ()

    def _bad(self, reason: str) -> BadTokenizer:
        return BadTokenizer(self._path, reason)
