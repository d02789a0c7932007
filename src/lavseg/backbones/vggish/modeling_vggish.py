"""VGGish as a Transformers model."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput, can_return_tuple

from ...modeling.inputs import check_weights
from .configuration_vggish import VggishConfig

PATCH_SHAPE = (96, 64)


@dataclass
class VggishOutput(ModelOutput):
    """`embeddings` `[..., C, D]`: one embedding of width `config.embedding_size` for each input patch and channel.
    `hidden_states`, if asked for: what comes out of each of the four poolings, `[N, width, h, w]` of all `N` patches.

    ```python
    features = feature_extractor(waveform, sampling_rate=16000, return_tensors="pt")
    embeddings = model(**features).embeddings
    ```
    """

    embeddings: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None


class VggishPostprocessor(nn.Module):
    """PCA whitening and 8-bit quantisation of the AudioSet release. An unconverted one has the identity as its PCA."""

    def __init__(self, config: VggishConfig):
        super().__init__()
        size = config.embedding_size
        self.register_buffer("pca_eigen_vectors", torch.eye(size))
        self.register_buffer("pca_means", torch.zeros(size, 1))

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Embeddings `[N, D]` to whole numbers 0..255 of the same shape and dtype."""
        whitened = (embeddings - self.pca_means[:, 0]) @ self.pca_eigen_vectors.T
        return torch.round((whitened.clamp(-2.0, 2.0) + 2.0) * (255.0 / 4.0))


class VggishPreTrainedModel(PreTrainedModel):
    """Configuration and initialisation of VGGish.

    ```python
    model = VggishModel.from_pretrained("runs/vggish")
    ```
    """

    config: VggishConfig
    config_class = VggishConfig
    base_model_prefix = "vggish"
    main_input_name = "input_features"
    input_modalities = ("audio",)
    # It has no attention: models that hold it take any implementation that their other parts take.
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True

    @classmethod
    def from_pretrained(cls, *args, **kwargs) -> "VggishPreTrainedModel":
        """As in Transformers.

        Raises:
            ValueError: when a weight is NaN or infinite.
        """
        loaded = super().from_pretrained(*args, **kwargs)
        check_weights(loaded[0] if isinstance(loaded, tuple) else loaded)
        return loaded

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d | nn.Linear):
            init.kaiming_normal_(module.weight, nonlinearity="relu")
            init.zeros_(module.bias)
        elif isinstance(module, VggishPostprocessor):
            init.eye_(module.pca_eigen_vectors)
            init.zeros_(module.pca_means)


class VggishModel(VggishPreTrainedModel):
    """VGGish: log-mel patches of 0.96 s to embeddings. Parameter names are those of the public PyTorch checkpoints.

    ```python
    model, feature_extractor = VggishModel(VggishConfig()), VggishFeatureExtractor()
    features = feature_extractor(waveform, sampling_rate=44100, return_tensors="pt")["input_features"]
    embeddings = model(features).embeddings
    ```
    """

    def __init__(self, config: VggishConfig):
        super().__init__(config)
        layers, in_channels = [], 1
        for index, width in enumerate(config.conv_channels):
            layers += [nn.Conv2d(in_channels, width, kernel_size=3, padding=1), nn.ReLU()]
            if index in (0, 1, 3, 5):
                layers.append(nn.MaxPool2d(kernel_size=2))
            in_channels = width
        self.features = nn.Sequential(*layers)
        pooled_positions = (PATCH_SHAPE[0] // 16) * (PATCH_SHAPE[1] // 16)
        self.embeddings = nn.Sequential(
            nn.Linear(pooled_positions * in_channels, config.hidden_size),
            nn.ReLU(),
            nn.Linear(config.hidden_size, config.hidden_size),
            nn.ReLU(),
            nn.Linear(config.hidden_size, config.embedding_size),
            nn.ReLU() if config.final_relu else nn.Identity(),
        )
        self.postprocessor = VggishPostprocessor(config) if config.postprocess else None
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The first convolution."""
        return self.features[0]

    @can_return_tuple
    def forward(
        self,
        input_features: torch.Tensor,
        audio_mask: torch.Tensor | None = None,
        output_hidden_states: bool | None = None,
    ) -> VggishOutput:
        """Embed every channel of every patch by itself.

        Args:
            input_features: log-mel patches `[..., C, 96, 64]` (time by mel band) with any number of leading axes, any
                of which may be empty.
            audio_mask: not used, every patch is embedded by itself; feature extractors hand it out.
            output_hidden_states: give the states after each pooling; as the configuration says when None.

        Returns:
            [`VggishOutput`] with `embeddings` `[..., C, D]`.

        Raises:
            ValueError: when the trailing axes are not `[C, 96, 64]`.
        """
        shape = tuple(input_features.shape)
        if len(shape) < 3 or shape[-2:] != PATCH_SHAPE:
            raise ValueError(
                f"input_features must be log-mel patches [..., channels, {PATCH_SHAPE[0]}, {PATCH_SHAPE[1]}] as "
                f"VggishFeatureExtractor makes them, got shape {list(shape)}"
            )
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        maps = input_features.flatten(0, -3).unsqueeze(1).to(self.dtype)
        states = []
        for layer in self.features:
            maps = layer(maps)
            if output_hidden_states and isinstance(layer, nn.MaxPool2d):
                states.append(maps)
        # The released weights expect the channel to be the fastest axis.
        embeddings = self.embeddings(maps.permute(0, 2, 3, 1).flatten(1))
        if self.postprocessor is not None:
            embeddings = self.postprocessor(embeddings)
        return VggishOutput(embeddings.unflatten(0, shape[:-2]), tuple(states) if output_hidden_states else None)


def load_vggish(audio: str | VggishModel | None) -> VggishModel:
    """A VGGish model as it is, or that of a folder or Hub id.

    Raises:
        ValueError: when `audio` is None, as an untrained one would hear nothing; or a file, or another model's folder.
    """
    if audio is None:
        raise ValueError(
            "audio: a VGGish checkpoint is needed; convert the public vggish-10086976.pth with "
            "lavseg.backbones.vggish.convert_vggish and pass its folder"
        )
    if isinstance(audio, VggishModel):
        return audio
    if Path(audio).is_file():
        raise ValueError(f"audio: {audio} is a file; make a folder of it with `lavseg convert vggish`")
    model, report = VggishModel.from_pretrained(audio, output_loading_info=True)
    if missing := sorted(report["missing_keys"]):
        lacking = f"{len(missing)} tensors, such as {missing[0]}"
        raise ValueError(f"audio: {audio} is no VGGish: its weights lack {lacking}")
    return model


__all__ = ["VggishModel", "VggishOutput", "VggishPostprocessor", "VggishPreTrainedModel", "load_vggish"]
