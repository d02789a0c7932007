"""Language-aided audio-visual segmentation: the published methods as ordinary Transformers models.

Importing this package makes the Auto classes know its architectures. Everything heavy is imported when it is used.
"""

from importlib import import_module

from .registration import register_with_transformers

__version__ = "0.1.0"

# Public names and the modules that define them.
_PUBLIC = {
    "AudioVisualSegmentationOutput": "modeling.outputs",
    "AuralSam2Config": "models.aural_sam2",
    "AuralSam2ForSemanticSegmentation": "models.aural_sam2",
    "AuralSam2Model": "models.aural_sam2",
    "AuralSam2Output": "models.aural_sam2",
    "AuralSam2PreTrainedModel": "models.aural_sam2",
    "AuralSam2Processor": "models.aural_sam2",
    "AvsMetric": "metrics",
    "AvsegFormerConfig": "models.avsegformer",
    "AvsegFormerForSemanticSegmentation": "models.avsegformer",
    "AvsegFormerModel": "models.avsegformer",
    "AvsegFormerPreTrainedModel": "models.avsegformer",
    "AvsegFormerProcessor": "models.avsegformer",
    "AvsegFormerSemanticOutput": "models.avsegformer",
    "ClipAugmentation": "data.augmentation",
    "ClipCollator": "data.collator",
    "EemcConfig": "models.eemc",
    "EemcModel": "models.eemc",
    "EemcPreTrainedModel": "models.eemc",
    "EemcProcessor": "models.eemc",
    "FirstStage": "evaluation.first_stage",
    "GavsConfig": "models.gavs",
    "GavsModel": "models.gavs",
    "GavsPreTrainedModel": "models.gavs",
    "GavsProcessor": "models.gavs",
    "LavsegTrainer": "training",
    "LavsegTrainingArguments": "training",
    "ReferFormerConfig": "models.referformer",
    "ReferFormerModel": "models.referformer",
    "ReferFormerOutput": "models.referformer",
    "ReferFormerPreTrainedModel": "models.referformer",
    "ReferFormerProcessor": "models.referformer",
    "Sam2LoveConfig": "models.sam2_love",
    "Sam2LoveModel": "models.sam2_love",
    "Sam2LovePreTrainedModel": "models.sam2_love",
    "Sam2LoveProcessor": "models.sam2_love",
    "SamaAvsConfig": "models.sama_avs",
    "SamaAvsModel": "models.sama_avs",
    "SamaAvsPreTrainedModel": "models.sama_avs",
    "SamaAvsProcessor": "models.sama_avs",
    "SemanticMetric": "metrics",
    "SimTokenConfig": "models.simtoken",
    "SimTokenModel": "models.simtoken",
    "SimTokenPreTrainedModel": "models.simtoken",
    "SimTokenProcessor": "models.simtoken",
    "StBavaConfig": "models.st_bava",
    "StBavaModel": "models.st_bava",
    "StBavaOutput": "models.st_bava",
    "StBavaPreTrainedModel": "models.st_bava",
    "StBavaProcessor": "models.st_bava",
    "SteppingStonesConfig": "models.stepping_stones",
    "SteppingStonesForSemanticSegmentation": "models.stepping_stones",
    "SteppingStonesModel": "models.stepping_stones",
    "SteppingStonesOutput": "models.stepping_stones",
    "SteppingStonesPreTrainedModel": "models.stepping_stones",
    "SteppingStonesProcessor": "models.stepping_stones",
    "SteppingStonesSemanticOutput": "models.stepping_stones",
    "TpaviConfig": "models.tpavi",
    "TpaviForSemanticSegmentation": "models.tpavi",
    "TpaviModel": "models.tpavi",
    "TpaviOutput": "models.tpavi",
    "TpaviPreTrainedModel": "models.tpavi",
    "TpaviProcessor": "models.tpavi",
    "VggishConfig": "backbones.vggish",
    "VggishFeatureExtractor": "backbones.vggish",
    "VggishModel": "backbones.vggish",
    "VggishOutput": "backbones.vggish",
    "checkpoint_folder": "released",
    "evaluate": "evaluation.evaluate_model",
    "evaluate_semantic": "evaluation.evaluate_model",
    "iter_clip": "media",
    "load_avsbench": "data.avsbench",
    "load_checkpoint": "checkpoint",
    "load_ref_avs": "data.ref_avs",
    "read_audio": "media",
    "read_video": "media",
    "register_method": "auto",
    "segment_video": "inference.segment_video",
    "write_avsbench": "data",
    "write_ref_avs": "data",
}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'lavseg' has no attribute {name!r}")
    return getattr(import_module(f".{_PUBLIC[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])


register_with_transformers()
