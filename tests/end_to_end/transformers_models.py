"""Architectures of `transformers` at the smallest size, with random weights.

Configurations are made small by the names that their fields share; what that does not fit is set by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from tests.end_to_end.pytorch_models import Call

_SMALL = {
    32: ("hidden_size", "d_model", "n_embd", "dim", "embed_dim", "embedding_size", "emb_dim", "word_embed_proj_dim",
         "encoder_hidden_size", "decoder_hidden_size", "model_dim", "attention_hidden_size"),
    2: ("num_hidden_layers", "num_layers", "n_layer", "n_layers", "encoder_layers", "decoder_layers",
        "num_encoder_layers", "num_decoder_layers", "num_blocks", "n_layers_encoder", "num_key_value_heads",
        "multi_query_heads", "num_experts_per_tok", "num_hidden_groups"),
    4: ("num_attention_heads", "n_head", "n_heads", "num_heads", "encoder_attention_heads", "decoder_attention_heads",
        "num_local_experts", "num_experts", "n_routed_experts"),
    64: ("intermediate_size", "n_inner", "d_ff", "ffn_dim", "encoder_ffn_dim", "decoder_ffn_dim", "d_inner",
         "moe_intermediate_size", "hidden_dim", "max_position_embeddings", "n_positions", "n_ctx", "max_seq_len",
         "shared_expert_intermediate_size"),
    99: ("vocab_size",),
    8: ("head_dim", "d_kv", "attention_head_size", "kv_channels", "qk_nope_head_dim", "v_head_dim", "qk_rope_head_dim"),
    16: ("q_lora_rank", "kv_lora_rank"),
    1: ("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id", "sep_token_id", "cls_token_id"),
}  # fmt: skip
_PARTS = ("text_config", "vision_config", "audio_config", "encoder", "decoder", "backbone_config")

TEXT = (
    "albert", "roberta", "deberta-v2", "mpnet", "roformer", "fnet", "modernbert", "nystromformer", "convbert",
    "squeezebert", "big_bird", "mobilebert", "canine", "openai-gpt", "gpt_neo", "gpt_neox", "gptj", "codegen", "bloom",
    "opt", "falcon", "mpt", "phi", "phi3", "gemma", "gemma2", "gemma3_text", "qwen2", "qwen3", "mistral", "mixtral",
    "qwen2_moe", "olmo2", "olmoe", "stablelm", "starcoder2", "cohere", "granite", "granitemoe", "gpt_oss", "smollm3",
    "persimmon", "helium", "glm4", "mamba", "mamba2", "falcon_mamba", "rwkv", "recurrent_gemma", "jamba", "lfm2",
    "diffllama", "doge", "qwen3_next", "biogpt", "ctrl", "xglm", "ernie4_5", "nomic_bert", "layoutlm", "ibert",
)  # fmt: skip
IMAGES = (
    "beit", "bit", "cvt", "data2vec-vision", "deit", "dinov2", "dinov2_with_registers", "dinov3_vit", "focalnet",
    "glpn", "hiera", "levit", "mobilenet_v1", "mobilevit", "mobilevitv2", "poolformer", "pvt", "pvt_v2", "regnet",
    "segformer", "swiftformer", "vit_msn", "vitdet", "yolos", "dpt", "sam_vision_model", "siglip_vision_model",
    "clip_vision_model", "aimv2_vision_model", "hgnet_v2", "textnet", "ijepa", "swinv2", "donut-swin",
)  # fmt: skip
SEQUENCES = (
    "bart", "t5", "mbart", "pegasus", "marian", "m2m_100", "blenderbot", "prophetnet", "umt5", "plbart",
    "bigbird_pegasus", "nllb-moe",
)  # fmt: skip
SOUNDS = ("wav2vec2", "hubert", "wavlm", "unispeech", "sew", "data2vec-audio", "wav2vec2-conformer")
_FIELDS: dict[str, dict[str, Any]] = {
    "gptj": {"rotary_dim": 8},
    "codegen": {"rotary_dim": 8},
    "mamba2": {"num_heads": 8},
    "swinv2": {"embed_dim": 24},
    "donut-swin": {"embed_dim": 24},
}


def shrink(config: Any) -> Any:
    """The configuration with small sizes, those of its parts too."""
    for size, names in _SMALL.items():
        for name in names:
            if type(vars(config).get(name)) is int:
                setattr(config, name, size)
    for name in _PARTS:
        part = getattr(config, name, None)
        if hasattr(part, "to_dict"):
            shrink(part)
    return config


def tensors(results: Any) -> list[torch.Tensor]:
    """The tensors of a model's output, in order."""
    return [x for x in torch.utils._pytree.tree_leaves(results) if isinstance(x, torch.Tensor)]


def _words(rows: int, count: int) -> torch.Tensor:
    return torch.randint(3, 90, (rows, count))


def _inputs(name: str, config: Any) -> tuple[tuple[torch.Tensor, ...], Callable[..., Any]]:
    if name in TEXT:
        return (_words(2, 11),), lambda model, words: model(input_ids=words)
    if name in SEQUENCES:
        return (_words(2, 11), _words(2, 7)), lambda model, words, said: model(input_ids=words, decoder_input_ids=said)
    if name in SOUNDS:
        return (torch.randn(1, 4000),), lambda model, sound: model(input_values=sound)
    size = getattr(config, "image_size", 64)
    size = size if isinstance(size, int) else size[0]
    image = torch.randn(1, getattr(config, "num_channels", 3), size, size)
    return (image,), lambda model, pixels: model(pixel_values=pixels)


def architecture(name: str) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The model, which gives a list of tensors, and inputs for it."""
    from transformers import AutoConfig, AutoModel

    torch.manual_seed(0)
    config = shrink(AutoConfig.for_model(name))
    for field, value in {"use_cache": False, **_FIELDS.get(name, {})}.items():
        setattr(config, field, value)
    model = AutoModel.from_config(config).eval()
    inputs, call = _inputs(name, config)
    return Call(model, lambda *given: tensors(call(*given))), inputs
