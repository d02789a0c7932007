"""Configuration of SimToken."""

from copy import deepcopy

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig, Sam2VideoConfig
from transformers.configuration_utils import SubConfigSpec

from ...backbones.sam.configuration_sam import vit_sam_config, with_original_norms
from ...backbones.vggish import VggishConfig
from ...modeling.configuration import AudioVisualConfig
from ...modeling.inputs import check_choices

# Of `LlamaConfig`: Vicuna-7B v1.5 with one more token.
_VICUNA = {"vocab_size": 32001, "rms_norm_eps": 1e-5, "max_position_embeddings": 4096}
# Of `CLIPVisionConfig`: ViT-L/14.
_CLIP = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "patch_size": 14,
}


@strict
class SimTokenConfig(AudioVisualConfig):
    """Configuration of [`SimTokenModel`]. The defaults are the released code's (Jin et al., "SimToken: A Simple
    Baseline for Referring Audio-Visual Segmentation", ICASSP 2026).

    Args:
        language_config: the language model, any causal decoder that takes `inputs_embeds` and keeps keys and values.
            Vicuna-7B, with one more token.
        vision_config: CLIP's frame encoder, of which the last but one layer is read. ViT-L/14 at 224.
        sam_config: the host, a `SamConfig` (ViT-H), whose decoder's LayerNorms are set to the 1e-5 they were trained
            with; or a `Sam2VideoConfig`, this package's own variant, which is set to give one mask everywhere, as SAM
            does here.
        audio_config: VGGish without its final ReLU.
        merge_levels: clusters that the patches of a frame are merged to, level by level, and how many neighbours say
            how dense it is around a patch.
        merge_noise: break ties between equally dense patches by noise, as released, of a generator of the model's own:
            the same clip gives the same result. The release draws anew in each run, on which its results hang where a
            clip shows a still image, or has more than 16 frames.
        target_frame: the frame whose patches the prompt shows once more, the middle one of clips that do not have it.
        prompted_frames: frames that are given the prompt: "every", or "first", from which SAM2 tracks, in training too.
            SAM takes the former alone.
        max_frames: frames that a clip is segmented with at a time.
        seg_token_id: the token [SEG]; the last one of the language model when None.
        train_projector: train the layer from CLIP's patches to the language model, which the release takes over
            trained; needed with a language model that has none.
        alignment: what draws together the prompts of sentences about the same object.

            "release": log-softmax over what the sentence should resemble alone, which evens out these similarities and
            with one of them is constant.

            "contrastive": against prompts of other objects of the clip and of the other sentences of the batch.

    ```python
    config = SimTokenConfig(alignment="contrastive")
    model = SimTokenModel(config)
    ```

    Raises:
        ValueError: for a choice that is none, a tower other than CLIP's, levels that do not become smaller, more
            clusters than patches, or tracking on SAM.
    """

    model_type = "simtoken"
    sub_configs_defaults = {
        "language_config": SubConfigSpec(config_class=AutoConfig, model_type="llama", init_kwargs=_VICUNA),
        "vision_config": SubConfigSpec(config_class=AutoConfig, model_type="clip_vision_model", init_kwargs=_CLIP),
        "sam_config": SubConfigSpec(config_class=AutoConfig, model_type="sam"),
        "audio_config": VggishConfig,
    }
    keys_to_ignore_at_inference = ["loss_dict", "prompt_embeddings", "key_frames"]

    language_config: dict | PreTrainedConfig | None = None
    vision_config: dict | PreTrainedConfig | None = None
    sam_config: dict | PreTrainedConfig | None = None
    audio_config: dict | PreTrainedConfig | None = None
    merge_levels: list[list[int]] | tuple[tuple[int, int], ...] = ((64, 5), (32, 3), (16, 3))
    merge_noise: bool = True
    target_frame: int = 5
    prompted_frames: str = "every"
    max_frames: int = 10
    seg_token_id: int | None = None
    train_projector: bool = False
    alignment: str = "release"

    def __post_init__(self, **kwargs):
        if self.sam_config is None:
            self.sam_config = vit_sam_config("huge")
        if self.audio_config is None:
            self.audio_config = VggishConfig(final_relu=False)
        super().__post_init__(**kwargs)
        on_sam2 = isinstance(self.sam_config, Sam2VideoConfig)
        self.sam_config = (_with_one_mask if on_sam2 else with_original_norms)(self.sam_config)
        if self.seg_token_id is None:
            self.seg_token_id = self.language_config.vocab_size - 1
        self._check()

    def _check(self) -> None:
        check_choices(self, {"alignment": ("release", "contrastive"), "prompted_frames": ("every", "first")})
        if self.prompted_frames == "first" and not isinstance(self.sam_config, Sam2VideoConfig):
            raise ValueError("prompted_frames: SAM does not track from the first; give a Sam2VideoConfig as sam_config")
        if self.vision_config.model_type != "clip_vision_model":
            raise ValueError(
                f"vision_config: a {self.vision_config.model_type!r} was given, 'clip_vision_model' is needed"
            )
        if not all(len(level) == 2 and level[1] > 0 for level in self.merge_levels):
            raise ValueError(
                f"merge_levels: each is a number of clusters and one of neighbours, got {self.merge_levels}"
            )
        counts = [clusters for clusters, _ in self.merge_levels]
        patches = (self.vision_config.image_size // self.vision_config.patch_size) ** 2
        steps = zip([patches, *counts], [*counts, 1], strict=True)
        if not counts or any(wider < narrower for wider, narrower in steps):
            raise ValueError(
                f"merge_levels: each has at most as many clusters as what comes before it, the first as the {patches} "
                f"patches of a frame, got {counts}"
            )
        for name in ("target_frame", "max_frames"):
            if getattr(self, name) < (name == "max_frames"):
                raise ValueError(f"{name}: {getattr(self, name)} was given, it has to be a number of frames")
        words = self.language_config.vocab_size
        if not 0 <= self.seg_token_id < words:
            raise ValueError(f"seg_token_id: {self.seg_token_id} was given, the language model has {words} tokens")


def _with_one_mask(config: Sam2VideoConfig) -> Sam2VideoConfig:
    """A copy that never chooses among three masks, of which nothing here would train the choice."""
    config = deepcopy(config)
    config.multimask_output_in_sam = False
    config.mask_decoder_config.dynamic_multimask_via_stability = False
    return config


__all__ = ["SimTokenConfig"]
