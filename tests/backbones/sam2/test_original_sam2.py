"""Agreement of the hosts and of the tracking with the original `sam2` package on the same weights."""

import re

import pytest
import torch
from accelerate import init_empty_weights

from lavseg.backbones.sam2.configuration_sam2 import hiera_sam2_config
from lavseg.backbones.sam2.encoder_sam2 import encode_images
from lavseg.backbones.sam2.modeling_sam2 import Sam2Backbone
from lavseg.backbones.sam2.tracking_sam2 import Sam2Tracker, project_features, propagate

predictor = pytest.importorskip("sam2.sam2_video_predictor", reason="the original sam2 package is not installed")
build_sam = pytest.importorskip("sam2.build_sam")

VERSIONS = {
    "2.0": ("configs/sam2/sam2_hiera", {}),
    "2.1": (
        "configs/sam2.1/sam2.1_hiera",
        {"enable_temporal_pos_encoding_for_object_pointers": True, "enable_occlusion_spatial_embedding": True},
    ),
}
SIZES = {"tiny": "t", "small": "s", "base_plus": "b+", "large": "l"}

# Key of the original -> key in transformers, applied in this order.
RENAMES = [
    (r"^image_encoder\.trunk\.", "vision_encoder.backbone."),
    (r"^image_encoder\.neck\.convs\.(\d)\.conv\.", r"vision_encoder.neck.convs.\1."),
    (r"\.patch_embed\.proj\.", ".patch_embed.projection."),
    (r"^sam_", ""),
    (r"\.pe_layer\.positional_encoding_gaussian_matrix", ".shared_embedding.positional_embedding"),
    *[(rf"\.mask_downscaling\.{i}\.", f".mask_embed.{n}.") for i, n in ((0, "conv1"), (3, "conv2"), (6, "conv3"))],
    *[(rf"\.mask_downscaling\.{i}\.", f".mask_embed.layer_norm{n}.") for i, n in ((1, 1), (4, 2))],
    (r"\.output_upscaling\.0\.", ".upscale_conv1."),
    (r"\.output_upscaling\.1\.", ".upscale_layer_norm."),
    (r"\.output_upscaling\.3\.", ".upscale_conv2."),
    (r"\.mlp\.layers\.0\.", ".mlp.proj_in."),
    (r"\.mlp\.layers\.1\.", ".mlp.proj_out."),
    (r"(mlps\.\d|_head|obj_ptr_proj)\.layers\.0\.", r"\1.proj_in."),
    (r"(mlps\.\d|_head|obj_ptr_proj)\.layers\.2\.", r"\1.proj_out."),
    (r"(mlps\.\d|_head|obj_ptr_proj)\.layers\.1\.", r"\1.layers.0."),
    (r"\.mask_downsampler\.encoder\.12\.", ".mask_downsampler.final_conv."),
    *[(rf"\.encoder\.{3 * i}\.", f".layers.{i}.conv.") for i in range(4)],
    *[(rf"\.encoder\.{3 * i + 1}\.", f".layers.{i}.layer_norm.") for i in range(4)],
    (r"^memory_encoder\.pix_feat_proj", "memory_encoder.feature_projection"),
    (r"^memory_encoder\.out_proj", "memory_encoder.projection"),
    (r"\.fuser\.", ".memory_fuser."),
    (r"\.gamma$", ".scale"),
    (r"\.dwconv\.", ".depthwise_conv."),
    (r"\.pwconv(\d)\.", r".pointwise_conv\1."),
    (r"\.out_proj\.", ".o_proj."),
    (r"\.norm(\d?|_final_attn)\.", r".layer_norm\1."),
    (r"^maskmem_tpos_enc$", "memory_temporal_positional_encoding"),
    (r"^no_mem_embed$", "no_memory_embedding"),
    (r"^no_mem_pos_enc$", "no_memory_positional_encoding"),
    (r"^no_obj_ptr$", "no_object_pointer"),
    (r"^no_obj_embed_spatial$", "occlusion_spatial_embedding_parameter"),
    (r"^obj_ptr_proj\.", "object_pointer_proj."),
    (r"^obj_ptr_tpos_proj\.", "temporal_positional_encoding_projection_layer."),
]


def renamed(key):
    for pattern, replacement in RENAMES:
        key = re.sub(pattern, replacement, key)
    return key


def converted(original):
    """The original's weights under the keys of `Sam2VideoModel`."""
    state = {renamed(key): value for key, value in original.state_dict().items()}
    points = [state.pop(f"prompt_encoder.point_embeddings.{index}.weight") for index in range(4)]
    state["prompt_encoder.point_embed.weight"] = torch.cat(points)
    state["shared_image_embedding.positional_embedding"] = state["prompt_encoder.shared_embedding.positional_embedding"]
    return state


def original_host(version, size, image_size, device="cpu"):
    edge = image_size // 16
    overrides = [f"++model.image_size={image_size}"] + [
        f"++model.memory_attention.layer.{part}.feat_sizes=[{edge},{edge}]"
        for part in ("self_attention", "cross_attention")
    ]
    name = f"{VERSIONS[version][0]}_{SIZES[size]}.yaml"
    host = build_sam.build_sam2_video_predictor(name, device=device, hydra_overrides_extra=overrides)
    # Filling small holes needs the package's CUDA kernel and is no part of the tracking.
    host.fill_hole_area = 0
    return host


def our_host(version, size, image_size):
    config = hiera_sam2_config(size, image_size)
    for name, value in VERSIONS[version][1].items():
        setattr(config, name, value)
    return Sam2Backbone(config).eval()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("size", SIZES)
def test_every_size_takes_the_original_weights(version, size):
    with init_empty_weights():
        expected = converted(original_host(version, size, 1024, device="meta"))
        ours = our_host(version, size, 1024).state_dict()
    assert {key: value.shape for key, value in ours.items()} == {key: value.shape for key, value in expected.items()}


CASES = [
    *[(version, "tiny", 128, 9) for version in VERSIONS],
    pytest.param(("2.1", "tiny", 1024, 3), marks=pytest.mark.slow),
    pytest.param(("2.0", "base_plus", 512, 3), marks=pytest.mark.slow),
]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join(map(str, case[:3])))
def case(request):
    """Both hosts with the same random weights, a clip and two clicks on objects that come and go."""
    version, size, image_size, num_frames = request.param
    torch.manual_seed(2)
    original, ours = original_host(version, size, image_size), our_host(version, size, image_size)
    video = torch.randn(num_frames, 3, image_size, image_size)
    video[2::3] = 0.1 * video[2::3] + 3
    points = torch.tensor([[0.15, 0.25], [0.8, 0.6]]) * image_size
    head = original.sam_mask_decoder.pred_obj_score_head.layers[-1]
    with torch.no_grad():
        for parameter in original.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
        head.weight.mul_(20)
        bias = head.bias.clone()
        head.bias.add_(100)
        ours.load_state_dict(converted(original), strict=True)
        # What it says while the gate is open is centred between the two kinds of tracked frames, clicks above.
        scores = track(ours, video, points, 0)[1] - 100
        middle = (scores[:, 1:].min() + scores[:, 1:].max()) / 2
        sign = (scores[:, 0].mean() - middle).sign()
        head.weight.mul_(sign)
        head.bias.copy_(sign * (bias - middle))
        ours.load_state_dict(converted(original), strict=True)
    return original, ours, video, points


def track(sam, video, points, key_frame):
    """Gated masks `[N, T, h, w]` and object scores `[N, T]` of one click an object."""
    objects = torch.zeros(len(points), dtype=torch.long)
    labels = torch.ones(len(points), 1, 1, dtype=torch.int32)
    clicks = sam.prompt_encoder(points.view(-1, 1, 1, 2), labels, None, None)[0][:, 0]

    def features_of(frame):
        return project_features(sam, encode_images(sam, video[frame : frame + 1])).select(objects)

    frames = dict(propagate(Sam2Tracker(sam, len(video)), features_of, clicks, key_frame))
    ordered = [frames[frame] for frame in range(len(video))]
    masks = torch.stack([prediction.gated_masks for prediction in ordered], 1)
    return masks, torch.stack([prediction.object_score_logits for prediction in ordered], 1)


def track_with_the_original(sam, video, points, key_frame, monkeypatch):
    size = video.shape[-1]
    monkeypatch.setattr(predictor, "load_video_frames", lambda **_: (video, size, size))
    state = sam.init_state(None)
    for index, point in enumerate(points):
        sam.add_new_points_or_box(state, key_frame, index, points=point[None], labels=[1])
    for reverse in (False, True):
        for _ in sam.propagate_in_video(state, start_frame_idx=key_frame, reverse=reverse):
            pass
    masks, scores = [], []
    for stored in state["output_dict_per_obj"].values():
        frames = {**stored["cond_frame_outputs"], **stored["non_cond_frame_outputs"]}
        masks.append(torch.cat([frames[frame]["pred_masks"][:, 0] for frame in range(len(video))]))
        scores.append(torch.cat([frames[frame]["object_score_logits"][:, 0] for frame in range(len(video))]))
    return torch.stack(masks), torch.stack(scores)


@torch.no_grad()
def test_image_features_agree(case):
    original, ours, video, _ = case
    expected = original.image_encoder(video[:1])["backbone_fpn"]
    for found, value in zip(encode_images(ours, video[:1]), expected, strict=True):
        torch.testing.assert_close(found, value, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("place", [pytest.param("first", marks=pytest.mark.slow), "middle"])
@torch.no_grad()
def test_clicked_objects_are_tracked_alike(case, place, monkeypatch):
    original, ours, video, points = case
    key_frame = {"first": 0, "middle": len(video) // 2}[place]
    expected, expected_scores = track_with_the_original(original, video, points, key_frame, monkeypatch)
    masks, scores = track(ours, video, points, key_frame)
    torch.testing.assert_close(scores, expected_scores, atol=1e-4, rtol=0)
    torch.testing.assert_close(masks, expected, atol=1e-4, rtol=0)
    assert (scores > 0).any() and (scores < 0).any()
    # Only scores that tell the objects apart on tracked frames can show that each kept its own memory.
    tracked = torch.arange(len(video)) != key_frame
    assert (scores[0] - scores[1]).abs()[tracked].max() > 1e-3
