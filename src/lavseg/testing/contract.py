"""What every method has to do, as tests."""

import copy
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from transformers import AutoModel, AutoProcessor, PreTrainedModel

from ..modeling.outputs import NO_MASK_LOGIT, AudioVisualSegmentationOutput
from .device_waits import DeviceWaits
from .library_use import LibraryUse
from .variants import (
    FRAME_SIZE,
    LABEL_SIZE,
    LENGTHS,
    RATE,
    SENTENCES,
    Variant,
    as_double,
    make_clip,
    run,
    shift_object_scores,
)

# Outputs with one entry for each clip and sentence, or for each of their frames.
_PER_CLIP = ("presence_logits", "prompt_embeddings", "key_frames")
_PER_FRAME = ("pred_masks", "iou_scores", "object_score_logits")


def assert_same_outputs(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Both hold the same tensors, up to what single precision rounds."""
    tensors = {name: value for name, value in expected.items() if torch.is_tensor(value)}
    assert tensors.keys() == {name for name, value in found.items() if torch.is_tensor(value)}
    for name, value in tensors.items():
        torch.testing.assert_close(found[name], value, atol=1e-5, rtol=1e-5, msg=lambda text, name=name: name + text)


def check_reloaded(folder: str) -> None:
    """What a fresh process loads from sub-folders of `folder` is what `MethodContract` saved there."""
    for path in sorted(Path(folder).iterdir()):
        saved = torch.load(path / "saved.pt", weights_only=False)
        model = AutoModel.from_pretrained(path).eval()
        processor = AutoProcessor.from_pretrained(path)
        assert (type(model).__name__, type(processor).__name__) == saved["names"], path
        state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        assert state.keys() == saved["state"].keys(), path
        assert all(torch.equal(state[name], value) for name, value in saved["state"].items()), path
        assert {n for n, p in model.named_parameters() if p.requires_grad} == saved["trainable"], path
        inputs = processor(**saved["clip"])
        assert inputs.keys() == saved["inputs"].keys(), path
        for name, value in saved["inputs"].items():
            assert torch.equal(inputs[name], value) if torch.is_tensor(value) else inputs[name] == value, (path, name)
        assert_same_outputs(run(model, inputs), saved["outputs"])


class MethodContract(LibraryUse):
    """What every method has to do. A sub-class names its `variants`; every test runs for each of them."""

    variants: ClassVar[dict[str, Variant]] = {}

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "variant" in metafunc.fixturenames:
            metafunc.parametrize(
                "variant", [pytest.param(value, id=name) for name, value in self.variants.items()], scope="class"
            )

    def test_the_processor_names_what_it_makes_and_the_model_takes_it(self, variant: Variant) -> None:
        made = set(variant.inputs)
        assert made == set(variant.processor.model_input_names)
        assert made <= variant.arguments
        assert variant.model_class.main_input_name in made

    def test_outputs_have_their_shapes_and_types(self, variant: Variant) -> None:
        outputs = variant.outputs
        batch, frames = (len(LENGTHS), variant.num_sentences), max(LENGTHS)
        assert isinstance(outputs, AudioVisualSegmentationOutput)
        assert outputs.loss is None and outputs.loss_dict is None
        assert outputs.pred_masks.dim() == 5 and outputs.pred_masks.shape[:3] == (*batch, frames)
        for name in ("iou_scores", "object_score_logits"):
            assert getattr(outputs, name) is None or getattr(outputs, name).shape == (*batch, frames), name
        assert outputs.presence_logits is None or outputs.presence_logits.shape == batch
        assert outputs.prompt_embeddings is None or outputs.prompt_embeddings.shape[:-1] == batch
        for name in (*_PER_FRAME, "presence_logits", "prompt_embeddings"):
            value = getattr(outputs, name)
            assert value is None or (value.is_floating_point() and value.isfinite().all()), name
        if outputs.key_frames is not None:
            assert outputs.key_frames.dtype == torch.long and outputs.key_frames.shape == batch
            lengths = torch.tensor(LENGTHS)[:, None]
            assert ((outputs.key_frames >= 0) & (outputs.key_frames < lengths)).all()

    def test_masks_are_empty_on_padding_frames_and_nowhere_else(self, variant: Variant) -> None:
        for masks, length in zip(variant.outputs.pred_masks, LENGTHS, strict=True):
            assert (masks[:, length:] == NO_MASK_LOGIT).all()
            assert (masks[:, :length] > NO_MASK_LOGIT).all()

    def test_masks_of_absent_objects_are_emptied_by_the_processor_alone(self, variant: Variant) -> None:
        assert torch.equal(variant.processor.gate_masks(variant.outputs), variant.outputs.pred_masks)
        model = variant.make_model().double()
        if not shift_object_scores(model, -20):
            return
        outputs = run(model, variant.prepare([1]))
        assert (outputs.object_score_logits < 0).all()
        assert (outputs.pred_masks > NO_MASK_LOGIT).all()
        gated = variant.processor.gate_masks(outputs)
        assert (gated == NO_MASK_LOGIT).all() if variant.processor.empties_absent else gated is outputs.pred_masks

    @pytest.mark.parametrize("clip", range(len(LENGTHS)))
    def test_a_batch_gives_what_each_clip_and_sentence_gives_alone(self, variant: Variant, clip: int) -> None:
        for sentence in range(variant.num_sentences):
            alone = run(variant.model, variant.prepare([clip], SENTENCES[sentence : sentence + 1]))
            for name in (*_PER_FRAME, *_PER_CLIP):
                whole, single = getattr(variant.outputs, name), getattr(alone, name)
                assert (whole is None) == (single is None), name
                if whole is not None:
                    found = whole[clip, sentence]
                    found = found[: LENGTHS[clip]] if name in _PER_FRAME else found
                    torch.testing.assert_close(found, single[0, 0], atol=1e-5, rtol=1e-5)

    def test_it_hears_and_reads(self, variant: Variant) -> None:
        if variant.processor.needs_audio:
            inputs = {**variant.inputs, "input_features": variant.inputs["input_features"].flip(-2)}
            changed = (run(variant.model, inputs).pred_masks - variant.outputs.pred_masks).abs().amax((-3, -2, -1))
            assert (changed > 1e-6).all()
        if variant.tokenizer:
            first, second = variant.outputs.pred_masks.unbind(1)
            assert ((first - second).abs().amax((-3, -2, -1)) > 1e-6).all()

    def test_nothing_inside_a_clip_waits_for_the_device(self, variant: Variant) -> None:
        with DeviceWaits() as waits:
            run(variant.model, variant.inputs)
        assert sum(waits.counts.values()) == variant.waits, waits.counts

    def test_its_parameters_are_as_many_as_declared(self, variant: Variant) -> None:
        counts = [(p.numel(), p.requires_grad) for p in variant.model.parameters()]
        assert sum(count for count, _ in counts) == variant.parameters
        assert sum(count for count, trains in counts if trains) == variant.trainable

    def test_gradients_reach_what_trains_and_nothing_else(self, variant: Variant) -> None:
        for name, parameter in variant.trained.named_parameters():
            reached = parameter.requires_grad and not any(part in name for part in variant.unreached)
            assert (parameter.grad is not None) == reached, name
            assert parameter.grad is None or parameter.grad.isfinite().all(), name

    def test_frozen_parts_stay_in_evaluation_mode(self, variant: Variant) -> None:
        model = variant.trained
        assert model.training and model.frozen_modules()
        for module in model.frozen_modules():
            assert not module.training
            noisy = [part for part in module.modules() if isinstance(part, _DropoutNd | _BatchNorm)]
            assert not any(part.training for part in noisy)
        before, after = variant.make_model().state_dict(), model.state_dict()
        trains = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        frozen = [name for name in after if name not in trains and not _is_statistic(model, name)]
        assert all(torch.equal(before[name], after[name]) for name in frozen)

    def test_gradient_checkpointing_gives_the_same_gradients(self, variant: Variant) -> None:
        plain = dict(variant.trained.named_parameters())
        for name, parameter in variant.train_once(checkpointing=True).named_parameters():
            assert (parameter.grad is None) == (plain[name].grad is None), name
            if parameter.grad is not None:
                torch.testing.assert_close(parameter.grad, plain[name].grad, atol=1e-5, rtol=1e-4)

    def test_the_loss_is_the_sum_of_its_terms_over_labelled_frames(self, variant: Variant) -> None:
        inputs, labels = as_double(variant.prepare([1])), variant.labels
        labels = {name: value[:1].narrow(-3, 0, LENGTHS[1]).clone() for name, value in labels.items()}
        mask = torch.zeros(1, LENGTHS[1], dtype=torch.bool)
        losses = []
        with torch.no_grad():
            assert variant.model(**inputs, **labels, label_mask=mask).loss == 0
            mask[:, 0] = True
            for value in (0, 1):
                for given in labels.values():
                    given.movedim(-3, 0)[1:] = value
                torch.manual_seed(0)
                outputs = variant.model(**inputs, **labels, label_mask=mask)
                losses.append(outputs.loss)
        assert losses[0].dim() == 0 and losses[0].isfinite()
        assert losses[0] == losses[1] > 0
        torch.testing.assert_close(outputs.loss, sum(outputs.loss_dict.values()))

    def test_the_loss_is_the_mean_over_what_is_asked_of_a_clip(self, variant: Variant) -> None:
        if variant.model.names_classes:
            pytest.skip("classes are not asked for")
        inputs, counts = as_double(variant.prepare([1])), (1, len(SENTENCES), LENGTHS[1], *LABEL_SIZE)
        labels = torch.rand(counts, generator=torch.Generator().manual_seed(0)) > 0.5
        read = {"input_ids", "attention_mask"} & inputs.keys()

        def loss(of: slice) -> torch.Tensor:
            torch.manual_seed(0)
            return variant.model(
                **{**inputs, **{name: inputs[name][:, of] for name in read}}, labels=labels[:, of]
            ).loss

        with torch.no_grad():
            alone = [loss(slice(index, index + 1)) for index in range(len(SENTENCES))]
            assert alone[0] != alone[1]
            together = loss(slice(None))
            bound = max(1e-9, 4 * torch.finfo(together.dtype).eps)  # some losses are in single precision
            torch.testing.assert_close(together, sum(alone) / len(alone), atol=bound, rtol=bound)

    def test_every_implementation_of_attention_gives_the_same(
        self, variant: Variant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        inputs, found = variant.prepare([1]), []
        kinds = ["eager", *(["sdpa"] if variant.model_class._supports_sdpa else [])]
        for kind in kinds:
            model = AutoModel.from_config(copy.deepcopy(variant.config), attn_implementation=kind).double().eval()
            parts = [part for part in model.modules() if isinstance(part, PreTrainedModel)]
            assert {part.config._attn_implementation for part in parts} == {kind}
            model.load_state_dict(variant.model.state_dict())
            with monkeypatch.context() as patch:
                if kind == "eager" and variant.model_class._supports_attention_backend:
                    patch.setattr(F, "scaled_dot_product_attention", _not_asked_for)
                found.append(run(model, inputs))
        for outputs in found[1:]:
            assert_same_outputs(outputs, found[0])

    def test_the_implementation_of_attention_is_switched_there_and_back(self, variant: Variant) -> None:
        model, inputs = variant.make_model(), variant.prepare([1])
        parts = [part for part in model.modules() if isinstance(part, PreTrainedModel)]
        with torch.no_grad():
            before = model(**inputs).pred_masks
            for kind in ("eager", "sdpa"):
                model.set_attn_implementation(kind)
                assert {part.config._attn_implementation for part in parts} == {kind}
                torch.testing.assert_close(model(**inputs).pred_masks, before, atol=1e-3, rtol=1e-3)
            assert torch.equal(model(**inputs).pred_masks, before)

    def test_options_of_every_model_are_taken_by_argument_and_by_configuration(self, variant: Variant) -> None:
        model, inputs = variant.make_model(), variant.prepare([1])
        with torch.no_grad():
            outputs = model(**inputs, output_hidden_states=True)
            plain = model(**inputs, return_dict=False)
            model.config.return_dict, model.config.output_hidden_states = False, True
            by_configuration = model(**inputs)
            chosen = model(**inputs, output_hidden_states=[-1], return_dict=True).hidden_states
        states = outputs.hidden_states
        assert isinstance(plain, tuple) and isinstance(by_configuration, tuple)
        assert torch.equal(plain[0], outputs.pred_masks) and len(by_configuration) == len(plain) + 1
        assert len(states) == len(model.image_blocks) + 1 and all(len(state) >= LENGTHS[1] for state in states)
        assert all(torch.equal(found, state) for found, state in zip(by_configuration[-1], states, strict=True))
        assert torch.equal(chosen[-1], states[-1]) and set(chosen[:-1]) == {None}

    def test_attention_maps_are_given_where_there_are_some(self, variant: Variant) -> None:
        model, inputs = variant.make_model(), variant.inputs
        if not model.gives_attentions:
            with pytest.raises(
                ValueError, match=rf"^output_attentions: {variant.model_class.__name__} has no attention"
            ):
                model(**inputs, output_attentions=True)
            return
        with torch.no_grad():
            plain, outputs = model(**inputs), model(**inputs, output_attentions=True)
        torch.testing.assert_close(outputs.pred_masks, plain.pred_masks, atol=1e-3, rtol=1e-3)
        given = [name for name in outputs.attention_maps if outputs.get(name) is not None]
        assert given and not any(plain.get(name) for name in given)
        for name in given:
            for weights in outputs[name]:
                axes = (len(LENGTHS), *([variant.num_sentences] if weights.dim() == 6 else []), max(LENGTHS))
                assert weights.shape[:-3] == axes and weights.isfinite().all() and (weights >= 0).all(), name

    def test_flags_of_attention_claim_no_more_than_there_is(self, variant: Variant) -> None:
        # Flash attention is chosen through the same switch as everything else.
        assert variant.model_class._supports_attention_backend or not variant.model_class._supports_flash_attn

    def test_text_is_needed_where_it_is_read_and_refused_where_not(self, variant: Variant) -> None:
        video, sound = make_clip(0)
        inputs = {name: value for name, value in variant.inputs.items() if name not in ("input_ids", "attention_mask")}
        model, processor = variant.model_class.__name__, variant.processor_class.__name__
        if variant.tokenizer:
            heard = {"audio": sound, "sampling_rate": RATE} if variant.processor.needs_audio else {}
            with pytest.raises(ValueError, match=rf"^text: {processor} needs an expression"):
                variant.processor(video, **heard)
            with pytest.raises(ValueError, match=rf"^input_ids: {model} needs an expression"):
                run(variant.model, inputs)
        else:
            with pytest.raises(ValueError, match=rf"^text: {processor} reads no text; leave it out"):
                variant.processor(video, sound, SENTENCES, sampling_rate=RATE)
            with pytest.raises(ValueError, match=rf"^input_ids: {model} reads no text; leave it out$"):
                run(variant.model, {**inputs, "input_ids": torch.zeros(len(LENGTHS), 1, 4).long()})

    def test_processors_are_called_as_transformers_ones_are(self, variant: Variant) -> None:
        """`videos=`, sound as `datasets` gives it, options for the image processor, arrays out; all names are told."""
        (video, sound), processor = make_clip(0), variant.processor
        given = {"audio": {"array": sound, "sampling_rate": RATE}} if processor.needs_audio else {}
        given |= {"text": SENTENCES} if variant.tokenizer else {}
        expected, found = variant.prepare([0]), processor(videos=video, **given, return_tensors="np")
        assert found.keys() == expected.keys() == set(processor.model_input_names)
        for name, value in expected.items():
            same = np.array_equal(found[name], value) if torch.is_tensor(value) else found[name] == value
            assert same and isinstance(found[name], np.ndarray) == torch.is_tensor(value), name
        scaled = processor(videos=video, **given, images_kwargs={"do_normalize": False})["pixel_values"]
        assert scaled.min() >= 0 and not torch.equal(scaled, expected["pixel_values"])
        if not variant.tokenizer:
            with pytest.raises(ValueError, match="tokenizer"):
                processor.batch_decode([[0]])

    def test_sound_is_needed_where_it_is_heard_and_refused_where_not(self, variant: Variant) -> None:
        video, sound = make_clip(0)
        if not variant.processor.needs_audio:
            with pytest.raises(ValueError, match=rf"^audio: {variant.processor_class.__name__} hears nothing"):
                variant.processor(video, sound, *([SENTENCES] if variant.tokenizer else []), sampling_rate=RATE)
            return
        with pytest.raises(ValueError, match=r"^audio: missing"):
            variant.processor(video, None, *([SENTENCES] if variant.tokenizer else []))
        inputs = {name: value for name, value in variant.inputs.items() if name != "input_features"}
        with pytest.raises(ValueError, match=r"^input_features: missing"):
            run(variant.model, inputs)

    def test_inputs_of_wrong_shape_are_named(self, variant: Variant) -> None:
        mask = torch.ones(len(LENGTHS), max(LENGTHS), dtype=torch.bool)
        targets = {**variant.labels, "label_mask": mask}
        for name, value in {**variant.inputs, **targets}.items():
            if torch.is_tensor(value):
                named = "input_ids|attention_mask" if name in ("input_ids", "attention_mask") else name
                given = {**variant.inputs, **(targets if name in targets else {})}
                with pytest.raises(ValueError, match=rf"^({named}): "):
                    run(variant.model, {**given, name: value[..., 0]})
        given = {**variant.inputs, **targets}
        for name in given.keys() & {"frame_mask", "audio_mask", "label_mask"}:
            with pytest.raises(ValueError, match=rf"^{name}: .* of dtype bool"):
                run(variant.model, {**given, name: given[name].long()})
        with pytest.raises(ValueError, match=r"^frame_mask: every clip needs True"):
            run(variant.model, {**given, "frame_mask": torch.zeros_like(given["frame_mask"])})

    def test_masks_come_back_at_the_size_of_the_clip(self, variant: Variant) -> None:
        sizes, frames = variant.inputs["original_sizes"], variant.inputs["frame_mask"]
        assert sizes == [FRAME_SIZE] * len(LENGTHS)
        masks = variant.processor.post_process_masks(variant.outputs, sizes, frames)
        for mask, length in zip(masks, LENGTHS, strict=True):
            axes = (variant.num_sentences,) if variant.num_sentences > 1 else ()
            assert mask.dtype == torch.bool and mask.shape == (*axes, length, *FRAME_SIZE)

    def test_masks_are_scored_as_they_come_back(self, variant: Variant) -> None:
        """Scores and masks for a user take the same way to any size."""
        logits = torch.randn(variant.outputs.pred_masks.shape, generator=torch.Generator().manual_seed(0))[:1]
        for size in (FRAME_SIZE, (200, 130)):
            scaled = variant.model.scale_masks(logits.flatten(0, 2), size) > 0
            found = variant.processor.post_process_masks(logits, [size])[0]
            assert torch.equal(scaled, found.reshape(scaled.shape))

    def test_former_names_are_read_with_a_warning(self, variant: Variant, tmp_path: Path) -> None:
        with pytest.deprecated_call(match="^losses: is called loss_dict now"):
            assert variant.outputs.losses is variant.outputs.loss_dict
        variant.config.save_pretrained(tmp_path)
        variant.processor.save_pretrained(tmp_path)
        path = tmp_path / "processor_config.json"
        written = path.read_text(encoding="utf-8").replace('"fps": 1.0', '"frames_per_second": 2.0')
        path.write_text(written, encoding="utf-8")
        with pytest.deprecated_call(match="^frames_per_second: is called fps now"):
            assert variant.processor_class.from_pretrained(tmp_path).fps == 2.0

    @pytest.mark.slow
    def test_saved_and_loaded_in_a_fresh_process_they_are_the_same(self, tmp_path: Path) -> None:
        for name, variant in self.variants.items():
            variant.model.save_pretrained(tmp_path / name)
            variant.processor.save_pretrained(tmp_path / name)
            video, sound = make_clip(1)
            clip = {"video": video}
            clip |= {"audio": sound, "sampling_rate": RATE} if variant.processor.needs_audio else {}
            clip |= {"text": SENTENCES} if variant.tokenizer else {}
            inputs = variant.processor(**clip)
            saved = {
                "names": (variant.model_class.__name__, variant.processor_class.__name__),
                "state": {**dict(variant.model.named_parameters()), **dict(variant.model.named_buffers())},
                "trainable": {n for n, p in variant.model.named_parameters() if p.requires_grad},
                "clip": clip,
                "inputs": dict(inputs),
                "outputs": {n: v for n, v in run(variant.model, inputs).items() if torch.is_tensor(v)},
            }
            torch.save(saved, tmp_path / name / "saved.pt")
        modules = ", ".join(sorted({variant.model_class.__module__ for variant in self.variants.values()}))
        code = (
            f"import lavseg, {modules}; from lavseg.testing.contract import check_reloaded; "
            f"check_reloaded({str(tmp_path)!r})"
        )
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
        assert result.returncode == 0, result.stderr


def _is_statistic(model: nn.Module, name: str) -> bool:
    """Whether a tensor is one that batch normalisation keeps while it trains."""
    return isinstance(model.get_submodule(name.rpartition(".")[0]), _BatchNorm)


def _not_asked_for(*args: Any, **kwargs: Any) -> None:
    raise AssertionError("eager attention was asked for, this is scaled_dot_product_attention")
