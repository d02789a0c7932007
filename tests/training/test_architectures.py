import pytest

from lavseg.models.aural_sam2 import AuralSam2Config, AuralSam2ForSemanticSegmentation, AuralSam2Model
from lavseg.models.sama_avs import SamaAvsConfig, SamaAvsModel
from lavseg.training.architectures import chosen_architecture, with_class_names


def test_the_class_is_the_one_asked_for_or_the_configurations():
    masks, classes = AuralSam2Config(), AuralSam2Config(architectures=["AuralSam2ForSemanticSegmentation"])
    assert chosen_architecture(None, masks, AuralSam2Model) is AuralSam2Model
    assert chosen_architecture(None, classes, AuralSam2Model) is AuralSam2ForSemanticSegmentation
    assert chosen_architecture("AuralSam2Model", classes, AuralSam2Model) is AuralSam2Model
    assert chosen_architecture(None, SamaAvsConfig(), SamaAvsModel) is SamaAvsModel
    with pytest.raises(ValueError, match=r"architecture: got 'AuralSam2Model', sama_avs has SamaAvsModel$"):
        chosen_architecture("AuralSam2Model", SamaAvsConfig(), SamaAvsModel)


def test_classes_are_the_data_sets_where_nothing_else_is_said():
    assert with_class_names(AuralSam2Model, {}, "ref_avs", []) == {}
    named = with_class_names(AuralSam2ForSemanticSegmentation, {"class_layers": 2}, "avsbench", ["v2"])
    assert named["class_layers"] == 2 and named["id2label"][0] == "background" and named["label2id"]["woman"] == 70
    own = {"id2label": {0: "background", 1: "dog"}}
    assert with_class_names(AuralSam2ForSemanticSegmentation, own, "avsbench", ["v2"]) == own
    with pytest.raises(ValueError, match="names classes, the masks of avsbench s4 do not say them"):
        with_class_names(AuralSam2ForSemanticSegmentation, {}, "avsbench", ["s4"])
