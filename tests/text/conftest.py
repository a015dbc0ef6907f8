"""The embedded model's tokenizer, read by us and by transformers from the same file."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from headway.hub import resolve
from headway.text.tokenizer import Tokenizer, load_tokenizer


@pytest.fixture(scope="session")
def smollm2_file() -> Path:
    return resolve("smollm2")


@pytest.fixture(scope="session")
def smollm2(smollm2_file: Path) -> Tokenizer:
    return load_tokenizer(smollm2_file)


@pytest.fixture(scope="session")
def reference(smollm2_file: Path) -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(smollm2_file.parent, gguf_file=smollm2_file.name)
