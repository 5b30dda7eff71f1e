"""What CTranslate2 and transformers run: dequantise.py MODEL.gguf FOLDER writes a float32 checkpoint, and one of int8.

FOLDER/float32 is transformers' own reading of the file, FOLDER/int8 the same through CTranslate2's converter, where
that is installed and knows the family.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def main(model: Path, folder: Path) -> None:
    floats = folder / "float32"
    if not (floats / "config.json").exists():
        where = {"pretrained_model_name_or_path": str(model.parent), "gguf_file": model.name}
        AutoTokenizer.from_pretrained(**where).save_pretrained(floats)
        read = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
        read.hf_quantizer = None  # its weights are floats now, whatever it remembers of the file
        if hasattr(read.config, "quantization_config"):
            del read.config.quantization_config
        read.save_pretrained(floats)
    if not (folder / "int8").exists():
        from ctranslate2.converters import TransformersConverter

        TransformersConverter(str(floats)).convert(str(folder / "int8"), quantization="int8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
