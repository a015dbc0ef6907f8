"""The text side of a model whose tokens are bytes: a real Tokenizer and a real ChatTemplate, made here."""

import tokenizers
from tokenizers import AddedToken, models, pre_tokenizers

from headway.text.chat_template import ChatTemplate
from headway.text.parts import Spelling, TokenizerParts
from headway.text.spelling import byte_alphabet
from headway.text.tokenizer import Tokenizer
from tests.server.scripted_engine import end_token

template = (
    "{% for message in messages %}{% if message['content'] == 'refuse me' %}"
    "{{ raise_exception('no such thing') }}{% endif %}{{ message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}>{% endif %}"
)


def byte_tokenizer() -> Tokenizer:
    """Token ids are the bytes themselves; 256 ends a text, 257 begins one."""
    backend = tokenizers.Tokenizer(models.BPE(vocab=byte_alphabet(), merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.add_special_tokens([AddedToken("<|end|>"), AddedToken("<|begin|>")])
    assert backend.token_to_id("<|end|>") == end_token
    return Tokenizer(
        TokenizerParts(
            backend=backend,
            spelling=Spelling("byte-level"),
            bos_id=None,
            eos_ids=(end_token,),
            chat_template=template,
        )
    )


def byte_template(tokenizer: Tokenizer) -> ChatTemplate:
    return ChatTemplate(template, tokenizer.named_tokens)
