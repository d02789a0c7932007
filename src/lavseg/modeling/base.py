"""What the pretrained base classes of all methods have in common."""

import math
from collections.abc import Mapping
from numbers import Real
from os import PathLike
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedModel

from .configuration import AudioVisualConfig
from .inputs import check_keys, check_weights
from .remote_code import AUTO_MAP, write_stub


class AudioVisualPreTrainedModel(PreTrainedModel):
    """Base of the methods: saves under its own key names and keeps frozen parts frozen.

    Sub-classes say in `backbones` what they are composed of and in `frozen_modules` what never trains.

    ```python
    model = AutoModel.from_pretrained("checkpoint")
    outputs = model(**processor("clip.mp4", text="the dog that barks"))
    ```

    Attributes:
        default_loss_weights: weights of the terms of the loss by name, as published; 0 for terms that are not.
        loss_weights: those that `forward` takes. They belong to the training and are not saved with the model.
    """

    main_input_name = "pixel_values"
    input_modalities = ("video", "audio", "text")
    supports_gradient_checkpointing = True
    # Attentions of the methods' own do not go through Transformers' switch, which flash attention would need.
    _supports_sdpa = True
    # The loss is a mean over the batch: the Trainer has to divide it by its accumulation steps.
    accepts_loss_kwargs = False
    default_loss_weights: ClassVar[dict[str, float]] = {}

    def __init__(self, config: AudioVisualConfig):
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
        return "text" in self.backbones()

    @classmethod
    def _compose(cls, parts: dict[str, PreTrainedModel], **config_overrides) -> "AudioVisualPreTrainedModel":
        """A model with the configurations and weights of `parts`, named as in `backbones`."""
        configs = {f"{name}_config": part.config for name, part in parts.items()}
        model = cls(cls.config_class(**configs, **config_overrides))
        model.load_backbones(parts)
        return model

    def load_backbones(self, parts: dict[str, nn.Module]) -> None:
        """Take over the weights of `parts`, named as in `backbones`.

        Raises:
            ValueError: when one of them holds NaN or infinite values.
        """
        for name, module in self.backbones().items():
            check_weights(parts[name])
            module.load_state_dict(parts[name].state_dict())

    def frozen_modules(self) -> list[nn.Module]:
        """Sub-modules that never train under this configuration."""
        raise NotImplementedError

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
        model.freeze()
        return loaded

    def train(self, mode: bool = True) -> "AudioVisualPreTrainedModel":
        """Set training mode; frozen parts stay in evaluation mode, so that their dropout stays off."""
        super().train(mode)
        for module in self.frozen_modules():
            module.eval()
        return self

    def scale_masks(self, masks: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Mask logits `[N, h, w]` as the method was published brings them to the size `(H, W)` of labels or frames."""
        return F.interpolate(masks[:, None], size, mode="bilinear")[:, 0]

    def save_pretrained(self, save_directory: str | PathLike, *args, **kwargs) -> None:
        """As in Transformers, but under this model's own key names: with the legacy names of nested encoders the
        Trainer's resume would silently skip them. What `trust_remote_code=True` needs to find this package is added."""
        kwargs.setdefault("save_original_format", False)
        self.config.auto_map = dict(AUTO_MAP)
        super().save_pretrained(save_directory, *args, **kwargs)
        write_stub(save_directory)
