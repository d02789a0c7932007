import pytest
import torch
from tiny.configurations import tiny_config
from transformers import AutoModel, AutoModelForSemanticSegmentation

from lavseg.models.tpavi import TpaviConfig, TpaviForSemanticSegmentation, TpaviProcessor

FIELDS = {"frame_size": 64, "num_labels": 6, "audio_projection_bias": False}


def make_model():
    torch.manual_seed(0)
    config = tiny_config(TpaviConfig, architectures=["TpaviForSemanticSegmentation"], **FIELDS)
    return TpaviForSemanticSegmentation(config).eval()


def make_inputs():
    torch.manual_seed(1)
    mask = torch.tensor([[True, True, True], [True, True, False]])
    return {
        "pixel_values": torch.randn(2, 3, 3, 64, 64),
        "audio_embeddings": torch.rand(2, 3, 32),
        "frame_mask": mask,
    }


@torch.no_grad()
def test_masks_are_where_a_class_is_likeliest():
    model, inputs = make_model(), make_inputs()
    outputs = model(**inputs)
    assert outputs.class_logits.shape == (2, 6, 3, 64, 64)
    classes = outputs.class_logits.argmax(1)
    assert torch.equal(outputs.pred_masks[:, 0] > 0, (classes != 0) & inputs["frame_mask"][..., None, None])
    processor = TpaviProcessor.from_config(model.config)
    first, second = processor.post_process_semantic_segmentation(outputs, [(64, 64)] * 2, inputs["frame_mask"])
    assert torch.equal(first, classes[0].byte()) and torch.equal(second, classes[1, :2].byte())


def test_the_loss_is_a_mean_over_labelled_frames():
    model, inputs = make_model(), make_inputs()
    labels = torch.randint(0, 6, (2, 3, 64, 64))
    marks = torch.tensor([[True, True, False], [False, True, False]])
    outputs = model(**inputs, class_labels=labels, label_mask=marks)
    logits = outputs.class_logits.transpose(1, 2)[marks]
    expected = torch.nn.functional.cross_entropy(logits, labels[marks])
    torch.testing.assert_close(outputs.loss_dict["class"], expected.detach())
    outputs.loss.backward()
    assert model.blocks["0"].audio_projection.weight.grad.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": torch.zeros(2, 3, 64, 64)}, "^class_labels: missing"),
        ({"class_labels": torch.full((2, 3, 64, 64), 255)}, "^class_labels: has to hold ids from 0 to 5, got 255"),
        ({"class_labels": torch.zeros(2, 2, 64, 64).long()}, "^class_labels: has to be"),
    ],
)
def test_class_labels_that_do_not_fit_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        make_model()(**make_inputs(), **change)


def test_a_checkpoint_says_which_model_it_is(tmp_path):
    make_model().save_pretrained(tmp_path)
    for auto in (AutoModel, AutoModelForSemanticSegmentation):
        assert type(auto.from_pretrained(tmp_path)) is TpaviForSemanticSegmentation


@pytest.mark.parametrize(("fields", "message"), [({"use_text": True}, "^use_text"), ({"num_labels": 1}, "^num_labels")])
def test_what_cannot_name_classes_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        TpaviForSemanticSegmentation(tiny_config(TpaviConfig, **{**FIELDS, **fields}))


@torch.no_grad()
def test_class_labels_are_compared_with_embeddings_too():
    model, inputs = make_model(), dict(make_inputs())
    frames = model.embed_frames(inputs.pop("pixel_values").flatten(0, 1))
    inputs["image_embeddings"] = [values.unflatten(0, (2, 3)) for values in frames]
    with pytest.raises(ValueError, match=r"^class_labels: has to be"):
        model(**inputs, class_labels=torch.zeros(2, 2, 64, 64).long())
