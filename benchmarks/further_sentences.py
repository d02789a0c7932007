"""What further sentences about a clip cost SimToken beside the first one: all but VGGish.

    python benchmarks/further_sentences.py
    python benchmarks/further_sentences.py --frames 10 --runs 3

Prints one JSON line. Weights and inputs are random, one clip, SAM ViT-B at 1024, CLIP ViT-L/14 and a language model of
0.5 billion parameters (24 layers of width 896) without its vocabulary, no gradient, one thread. `one` and `six` are
seconds for so many sentences, `further` what each of the five adds as a share of the first. Seconds are the
processor's; arms take turns, and each one's least count.
"""

from functools import partial

import torch
from arms import least_seconds, print_measured

from lavseg import SimTokenConfig, SimTokenModel, VggishConfig
from lavseg.backbones.sam.configuration_sam import vit_sam_config
from lavseg.models.simtoken.prompt_simtoken import AUDIO_TOKEN, IMAGE_TOKEN

WORDS, SECONDS, SENTENCES = 100, 10, 6
# Of the prompt, with the tokenizer of LLaMA some 100 tokens before the sentence and 60 from there on.
BEFORE, AFTER = 100, 60


def small_config() -> SimTokenConfig:
    """Networks of published sizes but for their words, and a VGGish that is next to nothing."""
    language = {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14}
    return SimTokenConfig(
        language_config={"model_type": "llama", "vocab_size": WORDS, **language, "num_key_value_heads": 2},
        sam_config=vit_sam_config("base"),
        audio_config=VggishConfig(conv_channels=[8] * 6, hidden_size=8, final_relu=False),
    )


@torch.inference_mode()
def measure(config: SimTokenConfig, frames: int, runs: int, seed: int) -> dict[str, float]:
    """Least seconds for one sentence and for six, and what each further one adds."""
    torch.manual_seed(seed)
    model, seg = SimTokenModel(config).eval(), config.seg_token_id
    sam, clip = config.sam_config.vision_config.image_size, config.vision_config.image_size
    media = [*[IMAGE_TOKEN] * 10, 1, AUDIO_TOKEN, 1, IMAGE_TOKEN]
    rows = [[*[1] * BEFORE, *media, *[2 + number] * AFTER, seg] for number in range(SENTENCES)]
    inputs = {
        "pixel_values": torch.randn(1, frames, 3, sam, sam),
        "clip_pixel_values": torch.randn(1, frames, 3, clip, clip),
        "input_features": torch.randn(1, SECONDS, 1, 96, 64),
    }
    tokens = torch.tensor([rows])
    arms = {
        "one": lambda: model(**inputs, input_ids=tokens[:, :1]).pred_masks,
        "six": lambda: model(**inputs, input_ids=tokens).pred_masks,
    }
    found = least_seconds(arms, runs)
    found["further"] = (found["six"] / found["one"] - 1) / (SENTENCES - 1)
    return {name: round(value, 4) for name, value in found.items()}


if __name__ == "__main__":
    print_measured(partial(measure, small_config()), __doc__, frames=2, runs=3, seed=0)
