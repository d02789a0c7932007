from .modeling_pyramids import PvtV2Pyramid, ResNetPyramid, SwinPyramid, build_pyramid, load_pyramid

__all__ = ["PvtV2Pyramid", "ResNetPyramid", "SwinPyramid", "build_pyramid", "load_pyramid"]
