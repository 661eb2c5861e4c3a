"""Random configurations of the dispatches of whole models compute what the defaults do.

What `mlirage tune` tries must differ in time only: a block that does not divide its extent, tiles of one row, more
registers than there are.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchmarks.models import built
from mlirage.codegen.tuned import Tuned, TuningFile
from mlirage.options import make_options
from mlirage.tuning.model import ModelTuner, Share
from mlirage.tuning.timer import Arguments, Timer

MODELS = (
    "mlp_batch32", "transformer_layer", "lstm", "squeezenet", "shufflenet", "inception_v1", "mobilenet_v3_large",
    "unet", "resnet50_int8", "mobilenet_v2_int8", "gpt2_decode", "llama_110m_decode_bf16", "llama_110m_decode_int4",
    "whisper_tiny_encoder", "op_conv_grouped", "op_conv_dilated", "op_conv_transposed", "op_softmax_channels",
    "op_max_pool", "op_gru",
)  # fmt: skip
_EACH = 2


@pytest.mark.parametrize("name", MODELS)
def test_random_configurations(name: str, tmp_path: Path) -> None:
    model, inputs = built(name)
    tuner = ModelTuner(model, make_options(), lambda _: list(inputs.values()), "local-task", 2)
    choose = random.Random(name)
    tried = 0
    problems: list[str] = []
    with Timer("local-task", 2) as timer:
        for share in tuner.shares():
            tried += _try(tuner, share, timer, choose, tmp_path / "candidate", problems)
    assert tried > 0
    assert not problems, "\n".join(problems)


def _try(tuner: ModelTuner, share: Share, timer: Timer, choose: random.Random, path: Path, problems: list[str]) -> int:
    """How many configurations of a dispatch were tried; what is wrong with them goes to `problems`."""
    benchmark = share.benchmark
    text = benchmark.program.module.operation.get_asm(enable_debug_info=True)
    default, key, knobs = tuner._default(text)
    arguments = tuner.arguments_of(share)
    if not knobs or arguments is None:
        return 0
    timer.call_with(Arguments(arguments, written=benchmark.written))
    plain = tuner._compile(text, {}, "")
    for _ in range(_EACH):
        chosen = default
        for knob in knobs:
            if choose.random() < 0.5:
                chosen = knob.set(chosen, choose.choice(knob.values))
        TuningFile({key: Tuned(benchmark.name, chosen, 1.0)}).write(path)
        found = timer.compare(plain, tuner._compile(text, {}, str(path)), 0.0, 1)
        if found.difference:
            problems.append(f"{benchmark.name}: {chosen}: {found.difference}")
    return _EACH
