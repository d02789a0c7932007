"""What users of Transformers do with any model, as tests: half precision, adapters, int8, device maps, compilation.

Those with adapters need `peft` and those of quantisation `torchao`; where they are missing, these tests are skipped.
"""

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend
from transformers import AutoModel, Sam2VideoModel, SamModel, TorchAoConfig
from transformers.modeling_layers import GradientCheckpointingLayer

from ..backbones.sam2.every_frame_tracking import EveryFrameTracker
from ..backbones.sam2.tracking_sam2 import Sam2Tracker
from ..modeling.base import AudioVisualPreTrainedModel
from ..modeling.outputs import NO_MASK_LOGIT, AudioVisualSegmentationOutput
from .variants import Variant, as_double

_STEPS = (
    (Sam2Tracker, "attend"),
    (Sam2Tracker, "decode"),
    (Sam2Tracker, "encode_memory"),
    (EveryFrameTracker, "encode_memory"),
)


class LibraryUse:
    """Tests that [`MethodContract`] has for each of its variants."""

    @pytest.mark.slow
    def test_in_half_precision_it_loads_as_a_whole_and_runs(self, variant: Variant, tmp_path: Path) -> None:
        model = variant.make_model()
        model.save_pretrained(tmp_path / "single")
        model.to(torch.bfloat16).save_pretrained(tmp_path / "half")
        for folder, asked, dtype in (("single", {"dtype": torch.float16}, torch.float16), ("half", {}, torch.bfloat16)):
            loaded = AutoModel.from_pretrained(tmp_path / folder, **asked).eval()
            assert {parameter.dtype for parameter in loaded.parameters()} == {dtype}
            outputs = _outputs(loaded, variant.inputs)
            masks = outputs.pred_masks
            assert masks.dtype == dtype and masks.isfinite().all()
            assert torch.equal(masks == NO_MASK_LOGIT, variant.outputs.pred_masks == NO_MASK_LOGIT)
            if dtype == torch.float16:
                _assert_near(outputs, variant.outputs)

    def test_adapters_get_their_gradients(self, variant: Variant) -> None:
        model = _adapted(variant.make_model()).train()
        torch.manual_seed(0)
        model(**variant.inputs, **variant.labels).loss.backward()
        for name, parameter in model.named_parameters():
            reached = "lora_" in name and not any(part in name for part in variant.unreached)
            assert (parameter.grad is not None) == reached, name
        for name, part in model.get_base_model().backbones().items():
            reached = any(p.grad is not None and p.grad.any() for p in part.parameters())
            assert reached == bool(_linears(part)), name

    @pytest.mark.slow
    def test_layers_with_adapters_are_checkpointed(self, variant: Variant) -> None:
        model, runs = _adapted(variant.make_model()), {}
        model.gradient_checkpointing_enable()
        backbones = nn.ModuleDict(model.get_base_model().backbones())
        for name, layer in backbones.named_modules():
            first = next((part for key, part in layer.named_modules() if key.endswith("lora_A.default")), None)
            # The mask decoder of GAVS runs with adapters, which another run in the backward pass would lack.
            if isinstance(layer, GradientCheckpointingLayer) and first is not None and "mask_decoder" not in name:
                runs[name] = []
                first.register_forward_hook(lambda *_, kept=runs[name]: kept.append(1))
        loss = model.train()(**variant.inputs, **variant.labels).loss
        forward = {name: len(kept) for name, kept in runs.items()}
        loss.backward()
        # A run that no gradient comes back to, as of a frame that nothing is learned from, is not repeated.
        assert all(forward[name] < len(kept) <= 2 * forward[name] for name, kept in runs.items())
        # A ResNet has no linear layers, VGGish none that is checkpointed.
        assert runs or not any(_linears(part) for name, part in backbones.items() if name != "audio")

    def test_adapters_that_no_gradient_would_reach_are_refused(
        self, variant: Variant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names = variant.model.unreached_modules()
        idle = {name: _linears(variant.model.get_submodule(name), name) for name in names}
        idle = {name: layers for name, layers in idle.items() if layers}
        if not idle:
            return
        model = _adapted(variant.make_model(), [layer for layers in idle.values() for layer in layers])
        with pytest.raises(ValueError, match=rf"^{re.escape(', '.join(idle))}: .*exclude_modules"):
            model.train()
        monkeypatch.setattr(variant.model_class, "unreached_modules", lambda self: [])
        loss = model.train()(**variant.inputs, **variant.labels).loss
        assert not loss.requires_grad or not _reached(loss, model)

    @pytest.mark.slow
    def test_adapters_are_saved_reloaded_and_merged(self, variant: Variant, tmp_path: Path) -> None:
        peft = pytest.importorskip("peft")
        model, inputs = _adapted(variant.make_model().double()).eval(), as_double(variant.inputs)
        adapted = _outputs(model, inputs)
        assert (adapted.pred_masks - variant.outputs.pred_masks).abs().max() > 1e-4
        model.save_pretrained(tmp_path)
        merged = peft.PeftModel.from_pretrained(variant.make_model().double(), tmp_path).merge_and_unload().eval()
        assert merged.state_dict().keys() == variant.model.state_dict().keys()
        _assert_near(_outputs(merged, inputs), adapted, 1e-6)

    def test_a_reentrant_checkpoint_is_refused(self, variant: Variant) -> None:
        with pytest.raises(ValueError, match=r"^use_reentrant: has to be False"):
            variant.model.gradient_checkpointing_enable({"use_reentrant": True})

    def test_what_a_file_lacks_is_initialised(self, variant: Variant) -> None:
        model = variant.make_model()
        state = model.state_dict(keep_vars=True)
        for value in state.values():
            if value.is_floating_point():
                value.data.fill_(torch.nan)
            value._is_hf_initialized = False
        for module in model.modules():
            module._is_hf_initialized = False
        model.initialize_weights()
        assert not [name for name, value in model.state_dict().items() if not value.isfinite().all()]

    @pytest.mark.slow
    def test_it_runs_with_weights_of_8_bits(self, variant: Variant, tmp_path: Path) -> None:
        quantization = pytest.importorskip("torchao.quantization")
        variant.make_model().save_pretrained(tmp_path)
        asked = TorchAoConfig(quantization.Int8WeightOnlyConfig())
        model = AutoModel.from_pretrained(tmp_path, quantization_config=asked).eval()
        rounded = variant.make_model()
        for name, layer in _linears(model).items():
            assert isinstance(layer.weight, quantization.Int8Tensor), name
            rounded.get_submodule(name).weight.data = layer.weight.dequantize()
        _assert_near(_outputs(model, variant.inputs), _outputs(rounded.eval(), variant.inputs), 1e-3)

    @pytest.mark.slow
    @pytest.mark.parametrize("share", [0.3, 0.9])
    def test_what_exceeds_the_memory_stays_on_disk(self, variant: Variant, tmp_path: Path, share: float) -> None:
        variant.make_model().save_pretrained(tmp_path)
        size = sum(value.nbytes for value in variant.make_model().state_dict().values())
        given = {"max_memory": {"cpu": int(share * size)}, "offload_folder": tmp_path / "offloaded"}
        model = AutoModel.from_pretrained(tmp_path, device_map="auto", **given).eval()
        assert set(model.hf_device_map.values()) == {"cpu", "disk"}
        assert sum(parameter.nbytes for parameter in model.parameters() if not parameter.is_meta) < (share + 0.1) * size
        _assert_near(_outputs(model, variant.inputs), variant.outputs, 1e-3)

    @pytest.mark.slow
    def test_encoders_and_the_step_of_tracking_compile(self, variant: Variant, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a break in the graph; other inputs than those that were compiled with come out as they should."""
        given, model = (variant.inputs, variant.prepare([1])), variant.make_model()
        expected = [_outputs(model, inputs) for inputs in given]
        torch._dynamo.reset()
        counters = compile_parts(model, monkeypatch)
        for inputs, outputs in zip(given, expected, strict=True):
            _assert_near(_outputs(model, inputs), outputs, 1e-4)
        assert all(counter.frame_count for counter in counters.values()), counters


def compile_parts(
    model: AudioVisualPreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> dict[str, CompileCounterWithBackend]:
    """Compile the encoders of a model and the steps of tracking; counters of graphs by the names of those."""
    counters = defaultdict(lambda: CompileCounterWithBackend("eager"))
    for name, part in model.backbones().items():
        options = {"fullgraph": True, "backend": counters[name]}
        if isinstance(part, SamModel):
            monkeypatch.setattr(part, "encode", torch.compile(part.encode, **options))
        else:
            (part.vision_encoder.backbone if isinstance(part, Sam2VideoModel) else part).compile(**options)
    steps = _STEPS if model.tracking_host is not None else ()
    for tracker, step in steps:
        compiled = torch.compile(getattr(tracker, step), fullgraph=True, backend=counters[step])
        monkeypatch.setattr(tracker, step, compiled)
    return counters


def _linears(module: nn.Module, prefix: str = "") -> dict[str, nn.Linear]:
    return {name: part for name, part in module.named_modules(prefix=prefix) if isinstance(part, nn.Linear)}


def _adapted(model: AudioVisualPreTrainedModel, targets: str | list[str] = "all-linear") -> nn.Module:
    """The model with LoRA that changes its outputs; by default wherever training reaches."""
    peft = pytest.importorskip("peft")
    left_out = model.unreached_pattern() or None if targets == "all-linear" else None
    torch.manual_seed(0)
    config = peft.LoraConfig(r=2, target_modules=targets, exclude_modules=left_out, init_lora_weights=False)
    return peft.get_peft_model(model, config)


def _reached(loss: torch.Tensor, model: nn.Module) -> list[str]:
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    gradients = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
    return [name for name, gradient in zip(trained, gradients, strict=True) if gradient is not None]


@torch.no_grad()
def _outputs(model: nn.Module, inputs: dict[str, Any]) -> AudioVisualSegmentationOutput:
    return model(**inputs)


def _assert_near(
    found: AudioVisualSegmentationOutput, expected: AudioVisualSegmentationOutput, share: float = 0.05
) -> None:
    """Masks that differ by no more than a share of the largest logit, of objects with the same key frame.

    On an untrained model's scores, rounding may settle which frame is the best.
    """
    visible = expected.pred_masks > NO_MASK_LOGIT
    scale = expected.pred_masks[visible].abs().max()
    if expected.key_frames is not None:
        same = found.key_frames == expected.key_frames
        assert same.any()
        visible &= same[:, :, None, None, None]
    assert (found.pred_masks.double() - expected.pred_masks)[visible].abs().max() <= share * scale
