"""What the pretrained base classes of all methods have in common."""

import functools
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from inspect import Parameter, signature
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from huggingface_hub import CommitInfo
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel, Sam2VideoModel
from transformers.modeling_layers import GradientCheckpointingLayer

from .configuration import AudioVisualConfig, changed_fields, forget_precision
from .encoders import encode_text
from .inputs import check_keys, check_weights
from .offloading import keep_what_is_read
from .remote_code import AUTO_MAP, write_stub

_OPTIONS = ("output_hidden_states", "output_attentions", "return_dict")


def _with_options(forward: Callable) -> Callable:
    """`forward` with the options that all models of Transformers take; the configuration holds their defaults."""

    @functools.wraps(forward)
    def wrapper(self: "AudioVisualPreTrainedModel", *args, **kwargs):
        asked = {name: kwargs.pop(name, None) for name in _OPTIONS}
        asked = {name: getattr(self.config, name) if value is None else value for name, value in asked.items()}
        if asked["output_attentions"]:
            if not self.gives_attentions:
                raise ValueError(
                    f"output_attentions: {type(self).__name__} has no attention between sound, words and frames under "
                    "this configuration; leave it out"
                )
            kwargs["output_attentions"] = True
        selection = asked["output_hidden_states"]
        if selection is False:
            outputs = forward(self, *args, **kwargs)
        else:
            with _recorded(self.image_blocks) as states:
                outputs = forward(self, *args, **kwargs)
            outputs["hidden_states"] = _select(states, selection)
        return outputs if asked["return_dict"] else outputs.to_tuple()

    taken = signature(forward).parameters
    added = [Parameter(name, Parameter.KEYWORD_ONLY, default=None) for name in _OPTIONS if name not in taken]
    parameters = sorted([*taken.values(), *added], key=lambda parameter: parameter.kind)
    wrapper.__signature__ = signature(forward).replace(parameters=parameters)
    return wrapper


@contextmanager
def _recorded(blocks: nn.ModuleList) -> Iterator[list[list[torch.Tensor]]]:
    """Inside, what goes into the first of `blocks` and comes out of each is kept, for each time that they run."""
    states = [[] for _ in range(len(blocks) + 1)]

    def hook(kept: list[torch.Tensor]) -> Callable:
        return lambda module, args, output: kept.append(output[0] if isinstance(output, tuple) else output)

    handles = [blocks[0].register_forward_pre_hook(lambda module, args: states[0].append(args[0]))]
    handles += [block.register_forward_hook(hook(kept)) for block, kept in zip(blocks, states[1:], strict=True)]
    try:
        yield states
    finally:
        for handle in handles:
            handle.remove()


def _select(states: list[list[torch.Tensor]], selection: bool | int | list[int]) -> tuple[torch.Tensor | None, ...]:
    """One tensor for each layer that is selected, all by True, and None for the others; nothing if none ran."""
    if not states[0]:
        return ()
    chosen = range(len(states)) if selection is True else [selection] if isinstance(selection, int) else selection
    chosen = {index % len(states) for index in chosen if -len(states) <= index < len(states)}
    return tuple(torch.cat(kept) if index in chosen else None for index, kept in enumerate(states))


class AudioVisualPreTrainedModel(PreTrainedModel):
    """Base of the methods: saves under its own key names and keeps frozen parts frozen. Sub-classes say in `backbones`
    what they are composed of and in `frozen_modules` what never trains.

    ```python
    model = AutoModel.from_pretrained("checkpoint")
    outputs = model(**processor("clip.mp4", text="the dog that barks"))
    ```

    Attributes:
        default_loss_weights: weights of the terms of the loss by name, as published; 0 for terms that are not.
        loss_weights: those that `forward` takes. They belong to the training and are not saved with the model.
        takes_points: whether a user may show objects: `forward` takes `input_points`, `input_labels`, `input_boxes`,
            `input_masks` and `prompt_frames`, and so does the processor, but for the last.
        text_backbone: name in `backbones` of the network that reads, whose tokenizer goes with the model.
        names_classes: whether it names the classes inside its masks, those of `config.id2label`.
        takes_object_ids: whether training says which sentences are about the same object, as `object_ids`.
        takes_prior_masks: whether it takes masks of a first stage, `prior_masks [B, T, h, w]` from 0 to 1.
        training_key_frame: where training sees one frame of each clip in full, which that is: "first", or "random"
            for any that carries a label; `forward` then takes it as `key_frames`. None where it sees all frames.
    """

    main_input_name = "pixel_values"
    input_modalities = ("video", "audio", "text")
    supports_gradient_checkpointing = True
    # Flash attention takes no mask over what is attended to, and flex attention is not tried.
    _supports_sdpa = True
    _supports_attention_backend = True
    # The loss is a mean over the batch: the Trainer has to divide it by its accumulation steps.
    accepts_loss_kwargs = False
    default_loss_weights: ClassVar[dict[str, float]] = {}
    takes_points: ClassVar[bool] = False
    text_backbone: ClassVar[str] = "text"
    names_classes: ClassVar[bool] = False
    takes_object_ids: ClassVar[bool] = False
    takes_prior_masks: ClassVar[bool] = False
    training_key_frame: str | None = None

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "forward" in vars(cls):
            cls.forward = _with_options(cls.forward)

    def __init__(self, config: AudioVisualConfig):
        forget_precision(config)
        super().__init__(config)
        self.loss_weights = {**self.default_loss_weights, **getattr(config, "former_loss_weights", {})}

    def set_loss_weights(self, weights: Mapping[str, float]) -> None:
        """Weigh some terms of the loss differently.

        Args:
            weights: by names of terms, keys of `loss_weights`.

        Raises:
            ValueError: for a term that the loss does not have, or a weight that is no finite number of at least 0.
        """
        check_keys(f"loss_weights, of {', '.join(self.loss_weights)}", weights, self.loss_weights)
        for term, weight in weights.items():
            if not isinstance(weight, Real) or not 0 <= weight < math.inf:
                raise ValueError(f"loss_weights: {term} has to be a finite number of at least 0, got {weight!r}")
        self.loss_weights.update(weights)

    def weigh(self, terms: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Terms of the loss, each times its weight."""
        return {name: self.loss_weights[name] * value for name, value in terms.items()}

    @staticmethod
    def loss_fields(terms: dict[str, torch.Tensor]) -> dict[str, torch.Tensor | dict[str, torch.Tensor]]:
        """`loss` and `loss_dict` of an output, from weighted terms; neither without terms."""
        if not terms:
            return {}
        return {"loss": sum(terms.values()), "loss_dict": {name: value.detach() for name, value in terms.items()}}

    @classmethod
    def is_custom_code(cls) -> bool:
        """No: `_init_weights` of all methods keeps to Transformers' own rules. For other code Transformers passes over
        modules without tensors of their own, which it has to see."""
        return False

    def backbones(self) -> dict[str, nn.Module]:
        """The published networks this model is composed of, by the names `from_backbones` takes."""
        raise NotImplementedError

    @property
    def reads_text(self) -> bool:
        """Whether it takes sentences, as `input_ids`."""
        return self.text_backbone in self.backbones()

    @property
    def clip_length(self) -> int | None:
        """Frames that a clip is segmented with at a time, for a method that depends on them; None for any number."""
        return None

    @property
    def attends_across_clips(self) -> bool:
        """Whether clips and sentences of a batch attend to one another: then answers depend on what is in the batch."""
        return False

    def attend_across_clips(self) -> None:
        """Have them do so from now on; a method without that refuses."""
        raise ValueError(f"across_clips: {type(self).__name__} answers every sentence by itself; leave it out")

    @property
    def num_classes(self) -> int:
        """Classes that it names on top of masks, background not counted; 0 for masks alone."""
        return self.config.num_labels - 1 if self.names_classes else 0

    @property
    def gives_attentions(self) -> bool:
        """Whether `forward` takes `output_attentions` and returns the maps that its output class lists."""
        return False

    @property
    def image_blocks(self) -> nn.ModuleList:
        """Blocks of the image encoder, whose states are what `output_hidden_states` asks for: those of the SAM or SAM2
        in `backbones`."""
        encoder = next(part.vision_encoder for part in self.backbones().values() if hasattr(part, "vision_encoder"))
        return encoder.backbone.blocks if hasattr(encoder, "backbone") else encoder.layers

    @property
    def tracking_host(self) -> Sam2VideoModel | None:
        """The SAM2 whose memory can carry the masks to other frames, the one in `backbones`; None without one."""
        return next((part for part in self.backbones().values() if isinstance(part, Sam2VideoModel)), None)

    @property
    def frame_encoder(self) -> nn.Module | None:
        """The frozen network that turns single frames, whatever else the model is given, into `image_embeddings`, which
        `forward` takes in place of frames; None for a method without one."""
        return None

    @property
    def embedding_inputs(self) -> tuple[str, ...]:
        """What `embed_frames` takes, by the names that `forward` has for it: frames and, where the image encoder hears
        or reads, sound or sentences too. Nothing for a method whose `forward` takes no `image_embeddings` and no
        `text_embeddings`."""
        return ()

    def embed_frames(
        self, pixel_values: torch.Tensor, **others: torch.Tensor
    ) -> torch.Tensor | tuple[torch.Tensor, ...]:
        """What the image encoders make of `N` frames, each by itself.

        Args:
            pixel_values: `[N, 3, S, S]`.
            others: the rest of `embedding_inputs`: other forms of the frames, `audio_embeddings [N, D]`, the sound of
                each, and `text_embeddings [E, P, D]` with `attention_mask [E, P]`, sentences about them all.

        Returns:
            One or several tensors `[N, ...]`, or `[N, E, ...]` where the encoder reads. With a first axis for the clip
            `forward` takes them as `image_embeddings` in place of the frames.
        """
        raise NotImplementedError

    def embed_text(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        """States `[B, E, P, D]` of tokens `[B, E, P]`, which `forward` takes as `text_embeddings` in their place."""
        return encode_text(self.backbones()[self.text_backbone], input_ids, attention_mask)[0]

    def embed_audio(self, input_features: torch.Tensor) -> torch.Tensor:
        """Embeddings `[B, T, D]` of the sounds `[B, T, 1, 96, 64]` of frames, which `forward` takes as
        `audio_embeddings` in their place; of a method whose image encoder hears."""
        raise NotImplementedError

    def tracking_embeddings(
        self, image_embeddings: torch.Tensor | tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, ...] | None:
        """What `tracking_host` by itself makes of frames, the three maps that its mask decoder reads, out of what
        `embed_frames` returns; None where that holds something else."""
        return None

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Parameters whose learning rate the training arguments may set apart, by the name they have there."""
        return {name: list(part.parameters()) for name, part in self.backbones().items() if name == "audio"}

    @classmethod
    def from_backbones(cls, **config_overrides) -> "AudioVisualPreTrainedModel":
        """A model that starts from published networks. Methods take a Hub id or folder of each by its name in
        `backbones`, and fields of their configuration as `config_overrides`."""
        raise NotImplementedError

    @classmethod
    def encoder_names(cls) -> tuple[str, ...]:
        """The networks that `from_backbones` takes."""
        parameters = signature(cls.from_backbones).parameters.values()
        return tuple(taken.name for taken in parameters if taken.kind is not Parameter.VAR_KEYWORD)

    @classmethod
    def _compose(cls, parts: dict[str, PreTrainedModel], **config_overrides) -> "AudioVisualPreTrainedModel":
        """A model with the configurations and weights of `parts`, named as in `backbones`. Overrides may hold fields of
        these configurations, such as `{"sam2_config": {"num_maskmem": 5}}`."""
        configs = {f"{name}_config": part.config for name, part in parts.items()}
        own = cls.config_class(**configs, **{n: value for n, value in config_overrides.items() if n not in configs})
        inner = {name: value for name, value in config_overrides.items() if name in configs}
        model = cls(type(own).from_dict(changed_fields(own, inner)) if inner else own)
        try:
            model.load_backbones(parts)
        except RuntimeError as error:
            if not inner:
                raise
            raise ValueError(f"model: {', '.join(inner)} does not fit the encoder's weights ({error})") from error
        return model

    def load_backbones(self, parts: dict[str, nn.Module]) -> None:
        """Take over the weights of `parts`, named as in `backbones`.

        Raises:
            ValueError: when one of them holds NaN or infinite values.
        """
        for name, module in self.backbones().items():
            check_weights(parts[name])
            module.load_state_dict(parts[name].state_dict())

    def get_input_embeddings(self) -> nn.Module:
        """The first layer of the first of `backbones`, the one that is given the frames."""
        return next(iter(self.backbones().values())).get_input_embeddings()

    def frozen_modules(self) -> list[nn.Module]:
        """Sub-modules that never train under this configuration: the published networks, unless a method says more."""
        return list(self.backbones().values())

    def unreached_modules(self) -> list[str]:
        """Names of frozen sub-modules to which the loss gives no gradient, such as a memory where training does not
        track: adapters there would stay as they are."""
        return []

    def unreached_pattern(self) -> str:
        """A regular expression for the names of `unreached_modules` and of all in them; empty where there are none."""
        names = "|".join(map(re.escape, self.unreached_modules()))
        return rf"({names})(\..*)?" if names else ""

    def freeze(self) -> None:
        """Take the gradient from the frozen sub-modules, at the end of a model's `__init__` and after loading."""
        for module in self.frozen_modules():
            module.requires_grad_(False)

    @classmethod
    def from_pretrained(cls, *args, **kwargs) -> "AudioVisualPreTrainedModel":
        """As in Transformers, which makes every parameter trainable that it loads; what does not train is frozen.

        Raises:
            ValueError: when a weight is NaN or infinite.
        """
        loaded = super().from_pretrained(*args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        check_weights(model)
        keep_what_is_read(model)
        model.freeze()
        return loaded

    def train(self, mode: bool = True) -> "AudioVisualPreTrainedModel":
        """Set training mode; frozen parts stay in evaluation mode, so that their dropout stays off, but for that of
        adapters in them.

        Raises:
            ValueError: when adapters, or other parameters that should train, are where no gradient comes.
        """
        super().train(mode)
        if mode:
            self._check_reached()
        for module in self.frozen_modules():
            module.eval()
            for dropout in (part.lora_dropout for part in module.modules() if hasattr(part, "lora_dropout")):
                dropout.train(mode)
        self._checkpoint_what_learns()
        return self

    def _checkpoint_what_learns(self) -> None:
        """In frozen parts, let layers with adapters checkpoint as any other layer does: in training mode alone."""
        for layer in (layer for part in self.frozen_modules() for layer in part.modules()):
            if isinstance(layer, GradientCheckpointingLayer) and layer.gradient_checkpointing:
                learns = any(parameter.requires_grad for parameter in layer.parameters())
                layer.training = layer.training or (self.training and learns)

    def _check_reached(self) -> None:
        names = self.unreached_modules()
        idle = [name for name in names if any(p.requires_grad for p in self.get_submodule(name).parameters())]
        if idle:
            raise ValueError(
                f"{', '.join(idle)}: the loss of {type(self).__name__} gives no gradient there, so that nothing in it "
                f"would train; leave it out, of adapters by exclude_modules=r'{self.unreached_pattern()}'"
            )

    def _set_gradient_checkpointing(
        self, enable: bool = True, gradient_checkpointing_func: Callable = checkpoint, **kwargs
    ) -> None:
        if enable and getattr(gradient_checkpointing_func, "keywords", {}).get("use_reentrant", True):
            raise ValueError(
                "use_reentrant: has to be False; a reentrant checkpoint gives no gradient to layers whose input needs "
                "none, as adapters in an encoder of frames"
            )
        super()._set_gradient_checkpointing(enable, gradient_checkpointing_func, **kwargs)
        self._checkpoint_what_learns()

    def scale_masks(self, masks: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Mask logits `[N, h, w]` as the method was published brings them to the size `(H, W)` of labels or frames."""
        return F.interpolate(masks[:, None], size, mode="bilinear")[:, 0]

    def save_pretrained(self, save_directory: str | PathLike, *args, **kwargs) -> None:
        """As in Transformers, but under this model's own key names: with the legacy names of nested encoders the
        Trainer's resume would silently skip them. What `trust_remote_code=True` needs to find this package is added."""
        kwargs.setdefault("save_original_format", False)
        self.config.auto_map = dict(AUTO_MAP)
        super().save_pretrained(save_directory, *args, **kwargs)
        stub = write_stub(save_directory)
        # safetensors lets nobody but the owner read.
        for weights in Path(save_directory).glob("*.safetensors"):
            weights.chmod(stub.stat().st_mode)

    def _upload_modified_files(self, working_dir: str | PathLike, *args, **kwargs) -> CommitInfo:
        # With `push_to_hub` the library saves and uploads in one step.
        write_stub(working_dir)
        return super()._upload_modified_files(working_dir, *args, **kwargs)
