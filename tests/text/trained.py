"""Small tokenizers trained here, each written out twice: as a model folder and as a GGUF file.

What a family's real tokenizer.json says is spelt out here with the tokenizers library's own parts.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from gguf import GGUFWriter
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

corpus = [
    "The quick brown fox jumps over the lazy dog, doesn't it? We'll see; they'd said 1234 times.",
    "def f(x):\n    return x ** 2  # 100.5%\n\n\nclass A:\n\tpass\n",
    "naïve café Ünïcödé — 日本語のテキスト 😀 👩‍👩‍👧 \r\n ٣٤٥ ½",
    "ALL CAPS and camelCase and snake_case, 3,141,592 and 2026-01-02.",
] * 20
texts = [
    *dict.fromkeys(corpus),
    "",
    " ",
    "  two  spaces  ",
    "\n\n1. one\n\n2. two",
    "a\t\tb\r\n\r\nc",
    "12345678901",
    "I'M, we'Ve, it's",
    "e\u0301 \ufb01 \u212b",
    "<s>hi</s> <tool> there",
    "xyz" * 50,
    "\x00\x7f\u200b\u2028",
    "$+<=>^~| `code`",
]
special = ("<unk>", "<s>", "</s>", "<|eot|>")
user_defined = "<tool>"
llama3_split = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def split(pattern: str) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def by_words() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


def byte_level(kind: str) -> Tokenizer:
    """Untrained, as the family's own tokenizer.json sets it up."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=kind == "llama-bpe"))
    if kind == "gpt-2":
        tokenizer.pre_tokenizer = by_words()
    elif kind == "smollm":
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), by_words()])
    elif kind == "falcon":
        threes = pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated")
        punctuation = pre_tokenizers.Punctuation("contiguous")
        steps = [punctuation, by_words(), pre_tokenizers.Digits(False), threes]
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    elif kind == "llama-bpe":
        tokenizer.pre_tokenizer = split(llama3_split)
    elif kind == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
        tokenizer.pre_tokenizer = split(llama3_split.replace("{1,3}", ""))
    tokenizer.decoder = decoders.ByteLevel()
    return train(tokenizer, pre_tokenizers.ByteLevel.alphabet())


def sentencepiece() -> Tokenizer:
    """As Llama 2's tokenizer.json: a space before the text, bytes for what has no token."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    back = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(back)
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")  # for training only
    trained = train(tokenizer, [], limit_alphabet=60, bytes_too=True)
    trained.pre_tokenizer = None
    return trained


def train(
    tokenizer: Tokenizer,
    alphabet: Sequence[str],
    *,
    limit_alphabet: int = 1000,
    bytes_too: bool = False,
) -> Tokenizer:
    pieces = [f"<0x{byte:02X}>" for byte in range(256)] if bytes_too else []
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        initial_alphabet=list(alphabet),
        limit_alphabet=limit_alphabet,
        special_tokens=[*special, *pieces],
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] in special]
    fresh = Tokenizer.from_str(json.dumps(state))
    fresh.add_tokens([AddedToken(user_defined, normalized=False)])
    return fresh


def write_folder(tokenizer: Tokenizer, folder: Path, **config: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**named, **config}))
    return folder


def write_gguf(tokenizer: Tokenizer, path: Path, *, pre: str | None, model: str = "gpt2") -> Path:
    """`pre` None: a SentencePiece vocabulary, whose merges are told by scores."""
    state = json.loads(tokenizer.to_str())
    ids = tokenizer.get_vocab()
    tokens = sorted(ids, key=lambda token: ids[token])
    kinds = {**dict.fromkeys(special, 3), "<unk>": 2, user_defined: 4}
    merges = [tuple(merge) for merge in state["model"]["merges"]]
    writer = GGUFWriter(path, "llama")
    writer.add_tokenizer_model("llama" if pre is None else model)
    writer.add_token_list(tokens)
    writer.add_token_types([kinds.get(t, 6 if t.startswith("<0x") and pre is None else 1) for t in tokens])
    if pre is None:
        rank = {left + right: i for i, (left, right) in reversed(list(enumerate(merges)))}
        writer.add_token_scores([float(-rank.get(token, 10_000)) for token in tokens])
    else:
        writer.add_tokenizer_pre(pre)
        writer.add_token_merges([" ".join(merge) for merge in merges])
    writer.add_bos_token_id(ids["<s>"])
    writer.add_eos_token_id(ids["</s>"])
    writer.add_unk_token_id(ids["<unk>"])
    writer.add_eot_token_id(ids["<|eot|>"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
