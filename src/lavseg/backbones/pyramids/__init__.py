from .modeling_pyramids import PvtV2Pyramid, ResNetPyramid, build_pyramid, load_pyramid

__all__ = ["PvtV2Pyramid", "ResNetPyramid", "build_pyramid", "load_pyramid"]
