"""Write a GGUF file's weights as float32 into a folder of safetensors, for engines that cannot read the file.

Knows transformers' reading of GGUF and nothing of Headway: a peer's weights must not come through our code.
Needs transformers, accelerate and gguf.

    python gguf_as_float32.py MODEL.gguf FOLDER
"""

import sys
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer


def convert(gguf: Path, folder: Path) -> None:
    """Dequantize every tensor of `gguf` to float32; save model, config and tokenizer into `folder`."""
    parent, name = gguf.parent, gguf.name
    dequantized = AutoModelForCausalLM.from_pretrained(parent, gguf_file=name, dtype=torch.float32)
    # A model read from GGUF counts as quantized and refuses to be saved; a plain twin of it does not.
    config = AutoConfig.from_pretrained(parent, gguf_file=name)
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]
    plain.load_state_dict(dequantized.state_dict())
    plain.save_pretrained(folder)
    AutoTokenizer.from_pretrained(parent, gguf_file=name).save_pretrained(folder)


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
