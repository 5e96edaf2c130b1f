"""Write the scripted model as a GGUF: ``python make_gguf.py FILE``, with the package gguf."""

from __future__ import annotations

import sys

import chain
import numpy as np
from gguf import GGUFWriter, TokenType

_HEADS = chain.WIDTH // 64
_CONTEXT = 131_072


def _kind(token: str) -> TokenType:
    if token in chain.CONTROL:
        return TokenType.CONTROL
    if token in chain.WORDS:
        return TokenType.USER_DEFINED
    return TokenType.UNUSED if token.startswith("<|unused") else TokenType.NORMAL


def _write(path: str) -> None:
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(_CONTEXT)
    writer.add_embedding_length(chain.WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(64)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_dimension_count(64)
    writer.add_vocab_size(len(chain.TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(chain.TOKENS)
    writer.add_token_types([_kind(token) for token in chain.TOKENS])
    writer.add_token_merges([" ".join(chain.MERGE)])
    writer.add_eos_token_id(chain.TOKENS.index(chain.END))
    writer.add_bos_token_id(chain.TOKENS.index(chain.START))
    writer.add_add_bos_token(False)  # noqa: FBT003 - the package's own form
    writer.add_chat_template(chain.TEMPLATE)
    for name, values in _tensors().items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _tensors() -> dict[str, np.ndarray]:
    tokens, width, head = len(chain.TOKENS), chain.WIDTH, 64
    embedding = np.zeros((tokens, width), np.float16)
    output = np.zeros((tokens, width), np.float16)
    spoken = tokens - len(chain.UNUSED)
    embedding[range(spoken), range(spoken)] = 1
    for token, following in chain.successors().items():
        output[following, token] = 1
    shapes = {
        "attn_q": (width, width),
        "attn_k": (head, width),
        "attn_v": (head, width),
        "attn_output": (width, width),
        "ffn_gate": (64, width),
        "ffn_up": (64, width),
        "ffn_down": (width, 64),
    }
    layer = {f"blk.0.{name}.weight": np.zeros(s, np.float32) for name, s in shapes.items()}
    norms = ("blk.0.attn_norm.weight", "blk.0.ffn_norm.weight", "output_norm.weight")
    return {
        "token_embd.weight": embedding,
        "output.weight": output,
        **layer,
        **{name: np.ones(width, np.float32) for name in norms},
    }


if __name__ == "__main__":
    _write(sys.argv[1])
