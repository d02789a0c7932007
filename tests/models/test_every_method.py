"""The contract, for every registered method and what it can stand on."""

import pytest
from tiny.configurations import nano_sam2_config, tiny_config, tiny_pyramid_config

from lavseg.auto import CLASS_ARCHITECTURES, METHODS
from lavseg.data import build_tokenizer
from lavseg.models.aural_sam2 import AuralSam2ForSemanticSegmentation
from lavseg.models.avsegformer import AvsegFormerForSemanticSegmentation
from lavseg.models.stepping_stones import SteppingStonesForSemanticSegmentation
from lavseg.models.tpavi import TpaviForSemanticSegmentation
from lavseg.testing import MethodContract, Variant

CLASSES = {config.model_type: (config, model, processor) for config, model, processor in METHODS}
TOKENIZER = build_tokenizer()

# The IoU head is not read where one mask of SAM is taken or all are added up.
SAM_IOU = ("sam.mask_decoder.iou_prediction_head",)
# SAM2-LOVE's prompt is a token: of the prompt encoder only the no-mask embedding is read, of the decoder no score.
LOVE = ("prompt_encoder.shared", "prompt_encoder.mask_embed", "prompt_encoder.point", "prompt_encoder.not_a_point")
LOVE_SCORES = ("iou_prediction_head", "pred_obj_score_head")
# SimToken: of CLIP the last but one layer is read.
SIMTOKEN = (*SAM_IOU, "vision_encoder.encoder.layers.2", "vision_encoder.post_layernorm")
ON_SAM2 = {"sam_config": nano_sam2_config()}
# Its one wait: on which frame SAM2 is surest of the object decides where tracking starts.
EVERY_OPTION = {
    "num_seg_tokens": 2,
    "learn_modality_tokens": True,
    "presence_head": True,
    "key_frame": "best",
    "handoff": "mask",
    "audio_temporal_embedding": True,
    "seg_readout": "attention",
}


def variant(method, parameters, trainable, reads=False, unreached=(), waits=0, architecture=None, **fields):
    config_class, model_class, processor_class = CLASSES[method]
    if architecture:
        model_class, fields["architectures"] = architecture, [architecture.__name__]
    config = tiny_config(config_class, len(TOKENIZER), **fields)
    tokenizer = TOKENIZER if reads else None
    return Variant(config, model_class, processor_class, parameters, trainable, tokenizer, unreached, waits)


class TestEveryMethod(MethodContract):
    variants = {
        "aural_sam2": variant("aural_sam2", 4_409_858, 2_786_592, reads=True),
        "aural_sam2-release": variant("aural_sam2", 4_346_050, 2_645_472, reads=True, behavior="release"),
        "aural_sam2-no_text": variant("aural_sam2", 4_322_146, 2_767_936, use_text=False),
        "aural_sam2-classes": variant(
            "aural_sam2",
            4_605_026,
            282_880,
            architecture=AuralSam2ForSemanticSegmentation,
            use_text=False,
            num_labels=6,
        ),
        "avsegformer": variant("avsegformer", 487_216, 411_984),
        "avsegformer-resnet": variant("avsegformer", 453_924, 378_692, vision_config=tiny_pyramid_config("resnet")),
        "avsegformer-text": variant("avsegformer", 564_592, 420_304, reads=True, use_text=True),
        "avsegformer-classes": variant(
            "avsegformer", 487_376, 412_144, architecture=AvsegFormerForSemanticSegmentation, num_labels=6
        ),
        "eemc": variant("eemc", 360_991, 26_130, reads=True),
        "eemc-paper": variant("eemc", 360_991, 76_050, reads=True, behavior="paper"),
        "gavs": variant("gavs", 186_796, 6_528, unreached=SAM_IOU),
        "gavs-sam2": variant("gavs", 1_652_770, 24_160, **ON_SAM2),
        "gavs-sam2_text": variant("gavs", 1_729_586, 31_920, reads=True, use_text=True),
        "referformer": variant("referformer", 246_173, 171_713, reads=True),
        "referformer-absence": variant("referformer", 290_078, 215_618, reads=True, absence_classifier=True),
        "referformer-sound": variant("referformer", 327_805, 178_113, reads=True, use_audio=True),
        "referformer-swin": variant(
            "referformer", 344_523, 271_307, reads=True, vision_config=tiny_pyramid_config("swin")
        ),
        "sam2_love": variant("sam2_love", 2_263_970, 873_873, reads=True, unreached=(*LOVE, *LOVE_SCORES)),
        "sam2_love-every_option": variant(
            "sam2_love", 2_836_793, 865_847, reads=True, unreached=LOVE_SCORES, waits=1, **EVERY_OPTION
        ),
        "sama_avs": variant("sama_avs", 184_620, 44_864, unreached=SAM_IOU),
        "sama_avs-sam2": variant("sama_avs", 1_638_418, 586_677, **ON_SAM2),
        "sama_avs-sam2_text": variant("sama_avs", 1_722_418, 601_621, reads=True, use_text=True),
        "simtoken": variant("simtoken", 380_972, 111_680, reads=True, unreached=SIMTOKEN),
        "simtoken-sam2": variant(
            "simtoken", 1_836_258, 654_885, reads=True, unreached=SIMTOKEN, prompted_frames="first", **ON_SAM2
        ),
        "st_bava": variant("st_bava", 220_492, 80_704, unreached=SAM_IOU),
        "st_bava-gate": variant("st_bava", 220_492, 80_704, unreached=SAM_IOU, spatial_mode="gate"),
        "stepping_stones": variant("stepping_stones", 225_409, 13_303),
        "stepping_stones-classes": variant(
            "stepping_stones", 228_805, 13_275, architecture=SteppingStonesForSemanticSegmentation, num_labels=6
        ),
        "tpavi": variant("tpavi", 348_289, 273_057),
        "tpavi-resnet": variant("tpavi", 314_997, 239_765, vision_config=tiny_pyramid_config("resnet")),
        "tpavi-text": variant("tpavi", 442_561, 298_273, reads=True, use_text=True),
        "tpavi-classes": variant(
            "tpavi",
            348_326,
            273_094,
            architecture=TpaviForSemanticSegmentation,
            num_labels=6,
            audio_projection_bias=False,
        ),
    }


def test_every_registered_method_is_tested():
    known = {*(model for _, model, _ in METHODS), *CLASS_ARCHITECTURES.values()}
    assert {value.model_class for value in TestEveryMethod.variants.values()} == known


EVERY_METHOD = (
    *("aural_sam2", "avsegformer-text", "eemc", "gavs-sam2_text", "referformer-sound", "sam2_love"),
    *("sama_avs-sam2_text", "simtoken", "st_bava", "stepping_stones", "tpavi-text"),
)


@pytest.mark.parametrize("name", EVERY_METHOD)
def test_training_encodes_the_sound_of_a_clip_and_each_sentence_once(name):
    variant, encoded = TestEveryMethod.variants[name], {"audio": 0, "text": 0}
    model, (clips, sentences) = variant.make_model().train(), variant.labels["labels"].shape[:2]

    def count(part):
        def hook(module, args, kwargs):
            encoded[part] += len(args[0] if args else kwargs["input_ids"])

        return hook

    parts = encoded.keys() & model.backbones().keys()
    for part in parts:
        model.backbones()[part].register_forward_pre_hook(count(part), with_kwargs=True)
    assert model(**variant.inputs, **variant.labels).loss is not None
    assert encoded == {"audio": clips, "text": clips * sentences if "text" in parts else 0}


def test_the_encoders_of_every_method_are_counted():
    assert {TestEveryMethod.variants[name].config.model_type for name in EVERY_METHOD} == CLASSES.keys()
