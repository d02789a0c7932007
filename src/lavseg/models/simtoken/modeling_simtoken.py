"""SimToken: a language model reads a clip and one sentence, and what it then expects prompts SAM (ICASSP 2026)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn
from transformers import DynamicCache, Sam2VideoModel, SamModel
from transformers.modeling_layers import GradientCheckpointingLayer

from ...backbones.sam.modeling_sam import SamBackbone
from ...backbones.sam2.tracking_sam2 import ImageFeatures
from ...backbones.vggish import VggishModel, load_vggish, without_relu
from ...losses import weighted_mean
from ...modeling.base import AudioVisualPreTrainedModel
from ...modeling.encoders import build_encoder, gradient_where_needed, let_train, load_encoder, load_host
from ...modeling.initialization import init_linear
from ...modeling.inputs import ClipInputs, check_given, check_text, embedding_shapes, prepare_clips, real_lengths
from ...modeling.outputs import NO_MASK_LOGIT, AudioVisualSegmentationOutput
from .configuration_simtoken import SimTokenConfig
from .host_simtoken import SegmentedClip, build_host, padded, prompt_every_frame, prompt_first_frame
from .language_simtoken import cache_argument, load_language_model
from .loss_simtoken import PromptBank, alignment, mask_losses
from .merging_simtoken import merge_clip, no_noise, seeded_noise
from .patches_simtoken import SimTokenPatches
from .prompt_simtoken import READ, ClipPrompt, lay_out
from .scaling_simtoken import scale_without_padding, sizes_of_clips


class SimTokenPreTrainedModel(AudioVisualPreTrainedModel):
    """Configuration and initialisation of SimToken.

    ```python
    model = SimTokenModel.from_backbones("Qwen/Qwen2.5-0.5B", audio="runs/vggish", train_projector=True)
    ```
    """

    config: SimTokenConfig
    config_class = SimTokenConfig
    base_model_prefix = "simtoken"

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, SimTokenModel):
            for layer in (module.mm_projector, module.audio_feature_layer, *module.text_hidden_fcs[::2]):
                init_linear(layer)


class SimTokenModel(SimTokenPreTrainedModel):
    """SimToken. With `labels` it returns a loss.

    Patches of CLIP, merged without parameters, and sound stand in a prompt that holds the answer, "Sure, it is [SEG]".
    The language model's state before [SEG] is the one prompt of SAM, on every frame. What SAM, CLIP and the language
    model make of the frames, the sound and the words before the sentence is computed once a clip; nothing is computed
    of what comes after that state.

    Terms of the loss, as released: `ce`, of the answer; `bce` and `dice` of the masks; `alignment` with earlier prompts
    of the same objects, where `object_ids` say which they are. On SAM2 also `object`, the cross-entropy of its object
    score, which says what it remembers.

    ```python
    model, processor = load_checkpoint("runs/simtoken")
    inputs = processor("clip.mp4", text=["the dog that barks", "the object making the loudest sound"])
    masks = processor.post_process_masks(model(**inputs), inputs["original_sizes"])
    ```
    """

    default_loss_weights = {"ce": 1.0, "bce": 2.0, "dice": 0.5, "alignment": 0.1, "object": 1.0}
    text_backbone = "language"
    takes_object_ids = True

    def __init__(self, config: SimTokenConfig):
        super().__init__(config)
        self.sam = build_host(config.sam_config)
        if isinstance(self.sam, SamBackbone):
            del self.loss_weights["object"]
        self.vision_encoder = SimTokenPatches(config.vision_config)
        self.language_model = build_encoder(config.language_config)
        self.audio_encoder = VggishModel(config.audio_config)
        width = config.language_config.hidden_size
        self.mm_projector = nn.Linear(config.vision_config.hidden_size, width)
        self.audio_feature_layer = nn.Linear(config.audio_config.embedding_size, width)
        self.lm_head = nn.Linear(width, config.language_config.vocab_size, bias=False)
        prompt_size = config.sam_config.mask_decoder_config.hidden_size
        self.text_hidden_fcs = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, prompt_size))
        self.bank = PromptBank()
        self.freeze()
        self.post_init()
        # FSDP looks for each of them; encoders name blocks of towers that are not here, too.
        self._no_split_modules &= {type(module).__name__ for module in self.modules()}

    @classmethod
    def from_backbones(
        cls,
        language: str = "Chat-UniVi/Chat-UniVi-7B-v1.5",
        vision: str = "openai/clip-vit-large-patch14",
        sam: str = "facebook/sam-vit-huge",
        audio: str | VggishModel | None = None,
        **config_overrides,
    ) -> "SimTokenModel":
        """Start training from published networks.

        Args:
            language: Hub id or folder of a causal language model, which gets one more token, [SEG]. From one of
                Chat-UniVi comes the layer from CLIP's patches, too; others take `train_projector=True`.
            vision, sam: those of CLIP, of which the tower that sees is taken, and of a SAM, or a SAM2 video model.
            audio: a VGGish model, or the folder or Hub id of a converted one, of which the final ReLU is left out as
                in the released code. It has no default: an untrained one says nothing about the sound.
            config_overrides: fields of [`SimTokenConfig`].

        Raises:
            ValueError: when `audio` is missing, `sam` is another model, or the layer from CLIP's patches would neither
                be there nor train.
        """
        parts = {
            "audio": load_vggish(audio),
            "sam": load_host("sam", sam, SamModel, Sam2VideoModel),
            "vision": load_encoder(vision, "vision_config"),
        }
        causal, projector = load_language_model(language)
        if not projector and not config_overrides.get("train_projector"):
            raise ValueError(
                f"train_projector: {language} holds no layer from CLIP's patches, set train_projector=True to train one"
            )
        causal.resize_token_embeddings(causal.get_input_embeddings().num_embeddings + 1, mean_resizing=False)
        parts["language"] = causal.base_model
        config_overrides["audio_config"] = without_relu(config_overrides.get("audio_config"))
        model = cls._compose(parts, **config_overrides)
        with torch.no_grad():
            model.lm_head.weight.copy_(causal.get_output_embeddings().weight)
        if projector:
            model.mm_projector.load_state_dict(projector)
        return model

    def backbones(self) -> dict[str, nn.Module]:
        encoders = {"vision": self.vision_encoder, "audio": self.audio_encoder}
        return {"sam": self.sam, "language": self.language_model, **encoders}

    def get_output_embeddings(self) -> None:
        """None: it writes nothing, `lm_head` is read in training alone."""

    @property
    def clip_length(self) -> int:
        return self.config.max_frames

    @property
    def embedding_inputs(self) -> tuple[str, ...]:
        return ("pixel_values", "clip_pixel_values")

    def embed_frames(self, pixel_values: torch.Tensor, clip_pixel_values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """As the base class says: SAM's embeddings, or the three maps that SAM2's mask decoder reads, and the patches
        `[N, hw, D]` of CLIP's last but one layer."""
        with gradient_where_needed(self.vision_encoder):
            patches = self.vision_encoder(clip_pixel_values.to(self.dtype))
        seen = self.sam.encode(pixel_values)
        return (*([seen] if torch.is_tensor(seen) else seen), patches)

    def tracking_embeddings(self, image_embeddings: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...] | None:
        return None if self.tracking_host is None else image_embeddings[:3]

    def embed_text(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        """The tokens themselves, `[B, E, P, 1]`: what is made of them depends on the clip before them."""
        return input_ids[..., None]

    def frozen_modules(self) -> list[nn.Module]:
        return [*super().frozen_modules(), *([] if self.config.train_projector else [self.mm_projector])]

    def unreached_modules(self) -> list[str]:
        last = len(self.vision_encoder.encoder.layers) - 1
        names = [f"vision_encoder.encoder.layers.{last}", "vision_encoder.post_layernorm"]
        if self.tracking_host is not None:
            names.append("sam.mask_downsample")
            if self.config.prompted_frames == "every":
                names += ["sam.memory_attention", "sam.memory_encoder", "sam.object_pointer_proj"]
        return names

    def freeze(self) -> None:
        super().freeze()
        let_train(self.sam.mask_decoder, self.language_model.get_input_embeddings())

    def _checkpoint_what_learns(self) -> None:
        super()._checkpoint_what_learns()
        # Frozen, but the gradient comes through them.
        for layer in self.language_model.modules():
            if isinstance(layer, GradientCheckpointingLayer):
                layer.training = self.training and layer.gradient_checkpointing

    def scale_masks(
        self, masks: torch.Tensor, size: tuple[int, int], seen: tuple[int, int] | None = None
    ) -> torch.Tensor:
        """As the base class says; of SAM's padded squares the part that held a frame of height and width `seen`, which
        are those of `size` when None."""
        if self.tracking_host is not None:
            return super().scale_masks(masks, size)
        return scale_without_padding(masks[:, None], seen or size, size)[:, 0]

    def forward(
        self,
        pixel_values: torch.Tensor | None = None,
        clip_pixel_values: torch.Tensor | None = None,
        input_features: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        frame_mask: torch.Tensor | None = None,
        audio_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        label_mask: torch.Tensor | None = None,
        original_sizes: list[tuple[int, int]] | None = None,
        image_embeddings: Sequence[torch.Tensor] | None = None,
        text_embeddings: torch.Tensor | None = None,
        object_ids: torch.Tensor | None = None,
    ) -> AudioVisualSegmentationOutput:
        """Segment `B` clips of up to `T` frames for `E` expressions each, or learn to.

        Args:
            pixel_values: `[B, T, 3, S, S]`, frames for SAM, padded to squares, or squares for SAM2.
            clip_pixel_values: `[B, T, 3, s, s]`, the same frames for CLIP.
            input_features: `[B, A, 1, 96, 64]`, log-mel patches of the mono sound.
            input_ids: `[B, E, P]`, or `[B, P]` for one expression per clip: whole prompts with place holders.
            attention_mask: as `input_ids`, 0 for padding, which comes last, 2 for the answer, which is learned, and 1
                for the rest.
            frame_mask, audio_mask: bool `[B, T]` and `[B, A]`, True for real frames and patches, which come first.
            labels: `[B, E, T, h, w]` or `[B, T, h, w]`, masks of 0 and 1 at any one size.
            label_mask: bool `[B, T]`, True for frames that carry a label; all real frames when None.
            original_sizes: `(height, width)` of the frames of each clip, which say how much of the squares is padding;
                in the loss on SAM those of the labels when None. Not used otherwise.
            image_embeddings: in place of both pixel values what `embed_frames` makes of them, each `[B, T, ...]`.
            text_embeddings: `[B, E, P, 1]` in place of `input_ids` what `embed_text` makes of them.
            object_ids: long `[B, E, 2]`, in training numbers of the clip and of the object in it that a sentence is
                about, for the term `alignment`.

        Returns:
            [`AudioVisualSegmentationOutput`] with masks `[B, E, T, S / 4, S / 4]`, `iou_scores`, `prompt_embeddings`,
            on SAM2 `object_score_logits`, and `key_frames` where it tracks.

        Raises:
            ValueError: when an input is missing or given twice, shapes do not fit together, or a prompt has not the
                form that the processor gives it.
        """
        check_given("pixel_values", pixel_values, "image_embeddings", image_embeddings)
        check_given("clip_pixel_values", clip_pixel_values, "image_embeddings", image_embeddings)
        check_given("input_features", input_features)
        read = input_ids if text_embeddings is None else text_embeddings
        check_text("input_ids", type(self).__name__, read, self.reads_text)
        if text_embeddings is not None:
            input_ids = text_embeddings[..., 0].long()
        frames = self._frame_shapes(pixel_values, clip_pixel_values, image_embeddings)
        sounds = {"input_features": (input_features, ("patches", 1, 96, 64))}
        given = prepare_clips(frames, sounds, input_ids, frame_mask, audio_mask, labels, label_mask)
        prompts = self._prompts(given, attention_mask)
        patches = real_lengths("audio_mask", given.audio_mask.tolist())
        with gradient_where_needed(self.audio_encoder):
            audio = self.audio_encoder(input_features).embeddings[:, :, 0]
        seen, prefixes = [], []
        for clip, length in enumerate(given.lengths):
            if image_embeddings is None:
                embedded = self.embed_frames(pixel_values[clip, :length], clip_pixel_values[clip, :length])
            else:
                embedded = tuple(made[clip, :length].to(self.dtype) for made in image_embeddings)
            seen.append(embedded[:-1])
            prefixes.append(self.embed_prefix(prompts[clip], embedded[-1], audio[clip, : patches[clip]]))
        if labels is None:
            tokens = [self.read(prompt, prefix) for prompt, prefix in zip(prompts, prefixes, strict=True)]
            terms = {}
        else:
            tokens, terms = self._read_to_learn(prompts, prefixes, given)
        tokens = torch.stack([self.text_hidden_fcs(states) for states in tokens])
        clips = [self.segment(features, of) for features, of in zip(seen, tokens, strict=True)]
        masks, ious, scores = (padded(parts, given.batch[2]) for parts in zip(*clips, strict=True))
        if labels is not None:
            sizes = sizes_of_clips(original_sizes, given.labels)
            terms |= self._mask_losses([clip.masks for clip in clips], scores, given, sizes)
            terms["alignment"] = self._alignment(tokens, given, object_ids)
        tracks = self.config.prompted_frames == "first"
        return AudioVisualSegmentationOutput(
            **self.loss_fields(self.weigh(terms)),
            pred_masks=masks.masked_fill(~given.frame_mask[:, None, :, None, None], NO_MASK_LOGIT),
            iou_scores=ious,
            object_score_logits=scores,
            prompt_embeddings=tokens,
            key_frames=torch.zeros(given.batch[:2], dtype=torch.long, device=masks.device) if tracks else None,
        )

    def _frame_shapes(
        self,
        pixel_values: torch.Tensor | None,
        clip_pixel_values: torch.Tensor | None,
        image_embeddings: Sequence[torch.Tensor] | None,
    ) -> dict[str, tuple[torch.Tensor | None, tuple[int | str, ...]]]:
        """For `prepare_clips` what is given for each frame, with its axes."""
        size, seen = self.config.sam_config.prompt_encoder_config.image_size, self.config.vision_config.image_size
        read = (("channels", "height", "width"),) if self.tracking_host is None else ImageFeatures.shapes(self.sam)
        return {
            "pixel_values": (pixel_values, (3, size, size)),
            "clip_pixel_values": (clip_pixel_values, (3, seen, seen)),
            **embedding_shapes(image_embeddings, *read, ("patches", "channels")),
        }

    def _prompts(self, given: ClipInputs, attention_mask: torch.Tensor | None) -> list[ClipPrompt]:
        ids = given.input_ids
        if attention_mask is not None and attention_mask.numel() != ids.numel():
            raise ValueError(
                f"attention_mask: has to be {list(ids.shape)} as input_ids, got {list(attention_mask.shape)}"
            )
        marks = torch.full_like(ids, READ) if attention_mask is None else attention_mask.view(ids.shape)
        rows = zip(ids.tolist(), marks.tolist(), strict=True)
        words = self.config.language_config.vocab_size
        return [lay_out(tokens, of, self.config.seg_token_id, words) for tokens, of in rows]

    def _embed(self, tokens: Sequence[Sequence[int]] | Sequence[int]) -> torch.Tensor:
        return self.language_model.get_input_embeddings()(torch.tensor(tokens, device=self.device))

    def embed_prefix(self, prompt: ClipPrompt, patches: torch.Tensor, audio: torch.Tensor) -> torch.Tensor:
        """What the language model is given of a clip and of the words before the sentence, `[L, D]`.

        Args:
            prompt: the layout.
            patches: `[T, hw, D]`, CLIP's.
            audio: `[A, D]`, VGGish's.
        """
        frame = self.config.target_frame if self.config.target_frame < len(patches) else len(patches) // 2
        noise = seeded_noise() if self.config.merge_noise else no_noise
        merged = merge_clip(patches, self.config.merge_levels, frame, noise)
        shown = self.mm_projector(torch.cat(merged))
        frames_and_video, image = shown.split([len(shown) - len(merged.image), len(merged.image)])
        media = {"video": frames_and_video, "image": image, "audio": self.audio_feature_layer(audio.to(shown.dtype))}
        return torch.cat([media[run] if isinstance(run, str) else self._embed(run) for run in prompt.prefix])

    def read(self, prompt: ClipPrompt, prefix: torch.Tensor) -> torch.Tensor:
        """States `[E, D]` before [SEG], of the prompts that begin with `prefix [L, D]`, which is run once."""
        known = DynamicCache(config=self.language_model.config)
        given = {cache_argument(type(self.language_model)): known, "use_cache": True}
        self.language_model(inputs_embeds=prefix[None], **given)
        known.reorder_cache(torch.zeros(len(prompt.suffixes), dtype=torch.long, device=prefix.device))
        longest = max(prompt.seg)
        tokens = [[*row[:seg], *[0] * (longest - seg)] for row, seg in zip(prompt.suffixes, prompt.seg, strict=True)]
        # Padding comes last: what is read does not see it.
        states = self.language_model(inputs_embeds=self._embed(tokens), **given)
        return states.last_hidden_state[list(range(len(prompt.seg))), [seg - 1 for seg in prompt.seg]]

    def _read_to_learn(
        self, prompts: list[ClipPrompt], prefixes: list[torch.Tensor], given: ClipInputs
    ) -> tuple[list[torch.Tensor], dict[str, torch.Tensor]]:
        """As `read` for all clips, as one batch of whole prompts, and the term `ce`."""
        rows, reads, places, answers, weights = [], [], [], [], []
        counted = given.labeled.any(1)
        for clip, (prompt, prefix) in enumerate(zip(prompts, prefixes, strict=True)):
            for suffix, seg, learned in zip(prompt.suffixes, prompt.seg, prompt.learned, strict=True):
                reads.append(len(prefix) + seg - 1)
                places += [(len(rows), len(prefix) + place - 1) for place in learned]
                answers += [suffix[place] for place in learned]
                weights.append(counted[clip].expand(len(learned)))
                rows.append(torch.cat([prefix, self._embed(suffix)]))
        padded = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        states = self.language_model(inputs_embeds=padded, use_cache=False).last_hidden_state
        read = states[list(range(len(reads))), reads].split([len(prompt.suffixes) for prompt in prompts])
        where = tuple(map(list, zip(*places, strict=True)))
        logits = self.lm_head(states[where])
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        costs = F.cross_entropy(logits, torch.tensor(answers, device=logits.device), reduction="none")
        return list(read), {"ce": weighted_mean(costs, torch.cat(weights).to(costs.dtype))}

    def segment(self, features: Sequence[torch.Tensor], tokens: torch.Tensor) -> SegmentedClip:
        """Masks of a clip, of which the host's mask decoder reads `features`, each `[T, ...]`, for prompts `[E, C]`."""
        prompt = prompt_first_frame if self.config.prompted_frames == "first" else prompt_every_frame
        return prompt(self.sam, features, tokens)

    def _mask_losses(
        self,
        masks: list[torch.Tensor],
        scores: torch.Tensor | None,
        given: ClipInputs,
        sizes: Sequence[tuple[int, int]],
    ) -> dict[str, torch.Tensor]:
        """Means over labelled frames, in single precision at least; `scores [B, E, T]` are SAM2's of the objects."""
        precise = torch.promote_types(masks[0].dtype, torch.float32)
        size = tuple(given.labels.shape[-2:])
        logits = []
        for each, seen in zip(masks, sizes, strict=True):
            scaled = self.scale_masks(each.flatten(0, 1).to(precise), size, tuple(seen))
            logits.append(scaled.view(*each.shape[:2], *size))
        return mask_losses(padded(logits, given.batch[2]), scores, given.labels, given.labeled)

    def _alignment(self, tokens: torch.Tensor, given: ClipInputs, object_ids: torch.Tensor | None) -> torch.Tensor:
        """The term `alignment`; training remembers the prompts."""
        if object_ids is None:
            return 0 * tokens.sum()
        if object_ids.shape != (*given.batch[:2], 2):
            raise ValueError(f"object_ids: has to be {[*given.batch[:2], 2]}, got {list(object_ids.shape)}")
        counted = [clip for clip, labeled in enumerate(given.labeled.any(1).tolist()) if labeled]
        prompts = tokens[counted].flatten(0, 1).float()
        objects = [tuple(of) for clip in counted for of in object_ids[clip].tolist()]
        loss = alignment(prompts, objects, self.bank, self.config.alignment == "contrastive")
        if self.training:
            self.bank.add(prompts, objects)
        return loss


__all__ = ["SimTokenModel", "SimTokenPreTrainedModel"]
