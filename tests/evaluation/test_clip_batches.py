import math

import pytest
import torch
from datasets import concatenate_datasets
from tiny.configurations import tiny_config
from transformers import BatchFeature

from lavseg.data import ClipCollator, clip_rows, load_ref_avs, write_ref_avs
from lavseg.data.clip_rows import clips_of
from lavseg.evaluation.clip_batches import ClipItems, load_clips, rows_together
from lavseg.evaluation.evaluate_model import evaluate
from lavseg.evaluation.loop import run
from lavseg.evaluation.scores import LossScores, MaskScores
from lavseg.metrics.protocols import PROTOCOLS, AvsMetric
from lavseg.models.eemc import EemcConfig, EemcModel, EemcProcessor
from lavseg.models.gavs import GavsConfig, GavsModel, GavsProcessor
from lavseg.models.referformer import ReferFormerModel
from lavseg.models.stepping_stones import SteppingStonesModel
from lavseg.testing.variants import as_double, shift_object_scores
from tiny_clips import away_from_zero
from tiny_methods import EVERY_METHOD, tiny_method

# Rows that are one batch of a protocol.
GROUP = 3


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Rows of a clip of three frames, of one of two, and of a null clip."""
    folder = tmp_path_factory.mktemp("by_clip")
    short, long = (
        write_ref_avs(folder / str(frames), {"test_s": 1, "test_n": 1}, frames, (32, 40), seed=frames)
        for frames in (2, 3)
    )
    return [load_ref_avs(long, "test_s"), load_ref_avs(short, "test_s"), load_ref_avs(short, "test_n")]


@pytest.fixture(scope="module")
def rows(parts):
    """Three, two and one rows of each, no two of a clip one after the other."""
    chosen = [part.select(range(count)) for part, count in zip(parts, (3, 2, 1), strict=True)]
    return concatenate_datasets(chosen).select([0, 3, 1, 5, 4, 2])


def in_double(inputs):
    return BatchFeature(as_double(inputs))


def row_by_row(model, collator, rows):
    """What the definitions make of the rows one by one: scores by protocol, and mean losses."""
    frames, losses = [], []
    for row in rows:
        batch = in_double(collator([row]))
        with torch.no_grad():
            outputs = model(**batch)
        size, logits = tuple(batch["labels"].shape[-2:]), collator.processor.gate_masks(outputs)
        curves = logits if outputs.curve_masks is None else outputs.curve_masks
        logits, curves = (model.scale_masks(maps[0, 0].float(), size) for maps in (logits, curves))
        frames.append((logits, batch["labels"][0, 0], curves))
        losses.append({"loss": outputs.loss} | {f"loss_{name}": value for name, value in outputs.loss_dict.items()})
    found = {name: (sum(loss[name] for loss in losses) / len(losses)).item() for name in losses[0]}
    for protocol in PROTOCOLS:
        metric = AvsMetric(protocol)
        for start in range(0, len(rows), GROUP):
            metric.update(*(torch.cat(part) for part in zip(*frames[start : start + GROUP], strict=True)))
        found |= {f"{protocol}_{name}": value for name, value in metric.compute().items()}
    return found


def by_clip(model, collator, rows, sentences):
    scores = [MaskScores(list(PROTOCOLS), collator.processor, model.scale_masks, len(rows), GROUP), LossScores()]
    run(model, load_clips(rows, collator, sentences), scores, transform=in_double)
    return {name: value for part in scores for name, value in part.compute().items()}


def prepared(model):
    """In double precision, in which nothing hangs on rounding, and finding something everywhere."""
    shift_object_scores(model, 20)
    if isinstance(model, ReferFormerModel | SteppingStonesModel):  # a fresh one gives whole frames or none
        torch.manual_seed(0)
        away_from_zero(model)
    return model.double()


@pytest.mark.parametrize("classes", EVERY_METHOD)
def test_all_sentences_of_a_clip_score_as_one_by_one_in_every_method_and_protocol(classes, tokenizer, rows):
    model, processor = tiny_method(classes, tokenizer)
    collator = ClipCollator(processor)
    frames = []
    model.image_blocks[0].register_forward_hook(lambda block, inputs, outputs: frames.append(len(inputs[0])))
    expected = row_by_row(prepared(model), collator, rows)
    assert sum(frames) == 3 * 3 + 3 * 2 and 0 < expected["frame_s_ratio"] < 1
    frames.clear()
    found = by_clip(model, collator, rows, 16)
    assert found.keys() == expected.keys()
    # The losses of Stepping-Stones are taken at random points.
    drawn = {name for name in found if isinstance(model, SteppingStonesModel) and name.startswith("loss")}
    found, expected = ({name: part[name] for name in part.keys() - drawn} for part in (found, expected))
    assert found == pytest.approx(expected, abs=1e-6)
    assert sum(frames) == 3 + 2 + 2  # those of each clip once
    frames.clear()


@pytest.mark.parametrize("sentences", [1, 2])
def test_more_sentences_than_are_run_together_take_further_runs(tokenizer, rows, sentences):
    model, processor = tiny_method(EVERY_METHOD[-1].values[0], tokenizer)
    collator = ClipCollator(processor)
    calls = []
    model.register_forward_hook(lambda module, inputs, outputs: calls.append(outputs.pred_masks.shape))
    model = prepared(model)
    found = [by_clip(model, collator, rows, number) for number in (sentences, 16)]
    assert found[0] == pytest.approx(found[1], abs=1e-6)
    assert len(calls) == {1: 6, 2: 4}[sentences] + 3


def test_a_model_that_encodes_with_words_is_asked_for_all_of_them_at_once(tokenizer, rows):
    config = tiny_config(GavsConfig, vocab_size=len(tokenizer), use_text=True)
    torch.manual_seed(0)
    model, collator = GavsModel(config).eval(), ClipCollator(GavsProcessor.from_config(config, tokenizer))
    expected = row_by_row(prepared(model), collator, rows)
    assert by_clip(model, collator, rows, 16) == pytest.approx(expected, abs=1e-6)


def test_frames_and_sound_of_a_clip_are_read_once(tokenizer, rows, monkeypatch):
    import datasets

    from lavseg.data import collator as collating

    processor = tiny_method(EVERY_METHOD[0].values[0], tokenizer)[1]
    images, sounds = [], []
    decode, read = datasets.Image.decode_example, collating.read_audio
    monkeypatch.setattr(
        datasets.Image,
        "decode_example",
        lambda self, value, **given: images.append(value["path"]) or decode(self, value, **given),
    )
    monkeypatch.setattr(collating, "read_audio", lambda source: sounds.append(source) or read(source))
    numbers = [batch["rows"] for batch in load_clips(rows, ClipCollator(processor))]
    assert numbers == [[0, 2, 5], [1, 4], [3]]
    # The first image of a list `datasets` decodes twice, to see what it is.
    later = [path for path in images if "frames" in path and not path.endswith("0.jpg")]
    assert len(later) == len({*later}) == 2 + 1 + 1 and len(sounds) == 3


def test_no_sentences_are_refused(tokenizer, rows):
    model, processor = tiny_method(EVERY_METHOD[0].values[0], tokenizer)
    with pytest.raises(ValueError, match=r"^sentences: has to be a number above 0, got 0"):
        evaluate(model, ClipCollator(processor), rows, sentences=0)


def test_the_last_batch_of_a_protocol_may_be_smaller(tokenizer, rows):
    model, processor = tiny_method(EVERY_METHOD[0].values[0], tokenizer)
    metric = evaluate(model, ClipCollator(processor), rows, "ref_avs", batch_size=4)
    assert metric.state[0] == math.ceil(len(rows) / 4)


def test_rows_that_attend_to_one_another_are_run_together(tokenizer, parts):
    rows = concatenate_datasets([parts[1].select(range(2)), parts[2].select(range(1))])
    torch.manual_seed(0)
    model = EemcModel(tiny_config(EemcConfig, len(tokenizer), across_clips=True)).eval().double()
    collator = ClipCollator(EemcProcessor.from_config(model.config, tokenizer))
    scores = [MaskScores(["ref_avs"], collator.processor, model.scale_masks, 3, 2), LossScores()]
    run(model, load_clips(rows, collator, together=rows_together(model, 2)), scores, transform=in_double)
    expected, losses = AvsMetric("ref_avs"), []
    for batch in (in_double(collator([rows[0], rows[1]])), in_double(collator([rows[2]]))):
        with torch.no_grad():
            outputs = model(**batch)
        losses += [outputs.loss.item()] * len(outputs.pred_masks)
        expected.update(
            model.scale_masks(outputs.pred_masks.flatten(0, 2).float(), (32, 40)), batch["labels"].flatten(0, 2)
        )
    assert scores[0].metrics()[0].compute() == pytest.approx(expected.compute(), abs=1e-6)
    assert scores[1].compute()["loss"] == pytest.approx(sum(losses) / 3)
    metric = evaluate(model, collator, rows, "ref_avs", batch_size=2, transform=in_double)
    assert metric.compute() == pytest.approx(expected.compute(), abs=1e-6)
    model.config.across_clips = False
    assert rows_together(model, 2) == 0
    alone = LossScores()
    run(model, load_clips(rows, collator), [alone], transform=in_double)
    assert alone.compute()["loss"] != pytest.approx(sum(losses) / 3, rel=1e-10)


def test_which_rows_are_about_a_clip_is_found_once(rows, monkeypatch):
    calls = []
    monkeypatch.setattr(clip_rows, "clips_of", lambda rows: calls.append(rows) or clips_of(rows))
    assert len(ClipItems(rows, 16)) == 3 and len(calls) == 1
