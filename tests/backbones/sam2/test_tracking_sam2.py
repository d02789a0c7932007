import copy

import pytest
import torch
from tiny.configurations import nano_sam2_config
from transformers import Sam2VideoModel
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

from lavseg.backbones.sam2.encoder_sam2 import encode_images
from lavseg.backbones.sam2.tracking_sam2 import Memory, Sam2Tracker, project_features, propagate


def make_sam(seed=0, **overrides):
    config = nano_sam2_config()
    for name, value in overrides.items():
        setattr(config, name, value)
    torch.manual_seed(seed)
    sam = Sam2VideoModel(config).eval()
    with torch.no_grad():
        for parameter in sam.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return sam


VERSIONS = {
    "2.0": {},
    "2.1": {"enable_temporal_pos_encoding_for_object_pointers": True, "enable_occlusion_spatial_embedding": True},
}


@pytest.fixture(scope="module", params=VERSIONS)
def sam(request, video):
    """A host whose objects come and go: the score head is scaled and centred on what it says about `video`."""
    sam = make_sam(**VERSIONS[request.param])
    tokens = torch.randn(2, 1, 128, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        head = sam.mask_decoder.pred_obj_score_head.proj_out
        head.weight.mul_(20)
        head.bias.sub_(track(sam, video, tokens)[1].median())
    return sam


@pytest.fixture(scope="module")
def video():
    return torch.randn(2, 10, 3, 128, 128, generator=torch.Generator().manual_seed(1))


def features_of(sam, clips, repeat=1):
    """Features of a frame for objects laid out clip by clip."""
    rows = torch.arange(len(clips)).repeat_interleave(repeat)
    return lambda frame: project_features(sam, encode_images(sam, clips[:, frame])).select(rows)


def track(sam, clips, sparse, key_frame=0, repeat=1):
    """Gated masks `[N, T, h, w]` and object scores `[N, T]`."""
    tracker = Sam2Tracker(sam, clips.shape[1])
    frames = sorted(propagate(tracker, features_of(sam, clips, repeat), sparse, key_frame), key=lambda item: item[0])
    masks = torch.stack([prediction.gated_masks for _, prediction in frames], 1)
    return masks, torch.stack([prediction.object_score_logits for _, prediction in frames], 1)


def session_with_points(sam, clip, points, frame):
    """The stock session: one click an object on one frame, propagated forward and back. Masks `[N, T, h, w]`."""
    session = Sam2VideoInferenceSession(video=clip, video_height=128, video_width=128, dtype=torch.float32)
    for index, point in enumerate(points):
        object_index = session.obj_id_to_idx(index)
        inputs = {"point_coords": point.view(1, 1, 1, 2), "point_labels": torch.ones(1, 1, 1, dtype=torch.int32)}
        session.add_point_inputs(object_index, frame, inputs)
    session.obj_with_new_inputs = list(range(len(points)))
    masks = {}
    with torch.inference_mode():
        sam(session, frame_idx=frame)
        for reverse in (False, True):
            for output in sam.propagate_in_video_iterator(session, start_frame_idx=frame, reverse=reverse):
                masks[output.frame_idx] = output.pred_masks[:, 0].clone()
    return torch.stack([masks[index] for index in sorted(masks)], 1)


def click(sam, points):
    labels = torch.ones(len(points), 1, 1, dtype=torch.int32)
    return sam.prompt_encoder(points.view(-1, 1, 1, 2), labels, None, None)[0][:, 0]


@pytest.mark.parametrize("key_frame", [0, 4, 9])
@torch.no_grad()
def test_several_objects_agree_with_the_stock_session(sam, video, key_frame):
    points = torch.tensor([[20.0, 30.0], [100.0, 64.0], [64.0, 110.0]])
    expected = session_with_points(sam, video[0], points, key_frame)
    masks, scores = track(sam, video[:1], click(sam, points), key_frame, repeat=len(points))
    torch.testing.assert_close(masks, expected, atol=1e-4, rtol=0)
    assert (scores > 0).any()


@torch.no_grad()
def test_a_token_prompt_agrees_with_a_session_given_the_decoders_result(sam, video):
    """An embedding handed to the decoder by hand, its result stored in a session as conditioning output."""
    token, frame = torch.randn(1, 1, 128, generator=torch.Generator().manual_seed(3)), 3
    session = Sam2VideoInferenceSession(video=video[0], video_height=128, video_width=128, dtype=torch.float32)
    index = session.obj_id_to_idx(0)
    stock, _ = sam._prepare_vision_features(session, frame, 1)
    maps = [m.permute(1, 2, 0).reshape(1, -1, *size) for m, size in zip(stock, sam.backbone_feature_sizes, strict=True)]
    maps[-1] = maps[-1] + sam.no_memory_embedding.view(1, -1, 1, 1)
    dense = sam.prompt_encoder.no_mask_embed.weight.view(1, -1, 1, 1).expand(1, -1, 8, 8)
    masks, iou, tokens, score = sam.mask_decoder(
        image_embeddings=maps[-1],
        image_positional_embeddings=sam.get_image_wide_positional_embeddings(),
        sparse_prompt_embeddings=token[:, None],
        dense_prompt_embeddings=dense,
        multimask_output=True,
        high_resolution_features=maps[:-1],
    )
    best = iou[0, 0].argmax()
    low = torch.where(score > 0, masks[:, :, best].flatten(1), -1024.0).view(1, 1, 32, 32)
    high = torch.nn.functional.interpolate(low, size=(128, 128), mode="bilinear", align_corners=False)
    seen = (score[:, 0] > 0).float()
    pointer = seen * sam.object_pointer_proj(tokens[:, 0, best]) + (1 - seen) * sam.no_object_pointer
    pointer = pointer[:, None]
    output = {"pred_masks": low, "object_pointer": pointer, "high_res_masks": high, "object_score_logits": score[:, 0]}
    session.store_output(index, frame, output_value=output, is_conditioning_frame=True)
    sam._batch_encode_memories(session, frame, [index], [high], [score[:, 0]], [True])
    expected = {}
    for reverse in (False, True):
        for result in sam.propagate_in_video_iterator(session, start_frame_idx=frame, reverse=reverse):
            expected[result.frame_idx] = result.pred_masks[:, 0].clone()
    found, _ = track(sam, video[:1], token, frame)
    torch.testing.assert_close(found[0], torch.cat([expected[i] for i in range(10)]), atol=1e-4, rtol=0)


@torch.no_grad()
def test_a_given_mask_agrees_with_the_stock_session(sam, video):
    """Whoever decodes prompted frames, their masks are handed over as if a user had drawn them; one has none."""
    drawn = torch.zeros(3, 128, 128, dtype=torch.bool)
    drawn[0, 20:60, 30:90], drawn[1, 64:, 64:] = True, True
    session = Sam2VideoInferenceSession(video=video[0], video_height=128, video_width=128, dtype=torch.float32)
    for index, mask in enumerate(drawn):
        session.add_mask_inputs(session.obj_id_to_idx(index), 0, mask[None, None].float())
    session.obj_with_new_inputs = [0, 1, 2]
    sam(session, frame_idx=0)
    results = sam.propagate_in_video_iterator(session, start_frame_idx=0)
    expected = {result.frame_idx: result.pred_masks[:, 0].clone() for result in results}

    tracker, features_at = Sam2Tracker(sam, 10), features_of(sam, video[:1], 3)
    memory = Memory(prompted={0: tracker.encode_mask(features_at(0), drawn)})
    for frame in range(1, 10):
        prediction = tracker.track(features_at(frame), memory, frame)
        memory = tracker.remember(memory, frame, features_at(frame), prediction)
        torch.testing.assert_close(prediction.gated_masks, expected[frame], atol=1e-4, rtol=0)


@torch.no_grad()
def test_a_prompt_decoder_hands_its_mask_to_the_stock_decoder(sam, video):
    twin, tokens = copy.deepcopy(sam.mask_decoder), torch.randn(2, 1, 128, generator=torch.Generator().manual_seed(4))
    for parameter in twin.parameters():
        parameter.mul_(1.1)
    features_at, tracker = features_of(sam, video), Sam2Tracker(sam, 10, prompt_decoder=twin)
    predictions = dict(propagate(tracker, features_at, tokens))
    embeddings = features_at(0).stride16 + sam.no_memory_embedding.view(1, -1, 1, 1)
    alone = tracker.decode(features_at(0), embeddings, tokens, decoder=twin)
    assert torch.equal(predictions[0].masks, alone.masks)
    drawn = torch.nn.functional.interpolate(alone.gated_masks[:, None], (128, 128), mode="bilinear")[:, 0] > 0
    memory = Memory(prompted={0: tracker.encode_mask(features_at(0), drawn)})
    torch.testing.assert_close(predictions[1].masks, tracker.track(features_at(1), memory, 1).masks)


@torch.no_grad()
def test_nothing_is_remembered_of_the_frame_that_comes_last(sam, video, monkeypatch):
    remembered, remember = [], Sam2Tracker.remember
    monkeypatch.setattr(
        Sam2Tracker, "remember", lambda *args, **kwargs: remembered.append(args[2]) or remember(*args, **kwargs)
    )
    order = [frame for frame, _ in propagate(Sam2Tracker(sam, 4), features_of(sam, video), torch.zeros(2, 1, 128), 2)]
    assert (order, remembered) == ([2, 3, 1, 0], [2, 3, 1])


@torch.no_grad()
def test_a_batch_of_clips_equals_single_runs(sam, video):
    tokens = torch.randn(4, 1, 128, generator=torch.Generator().manual_seed(2))
    masks, scores = track(sam, video, tokens, 2, repeat=2)
    for clip in range(2):
        single, single_scores = track(sam, video[clip : clip + 1], tokens[2 * clip : 2 * clip + 2], 2, repeat=2)
        torch.testing.assert_close(masks[2 * clip : 2 * clip + 2], single, atol=1e-4, rtol=0)
        torch.testing.assert_close(scores[2 * clip : 2 * clip + 2], single_scores, atol=1e-4, rtol=0)


def test_gradients_flow_from_the_last_frame_to_the_prompt(video):
    sam = make_sam()
    with torch.no_grad():  # keep the hard gate open, its closed side is a constant
        sam.mask_decoder.pred_obj_score_head.proj_out.bias.add_(50.0)
    token = torch.randn(1, 1, 128, requires_grad=True)
    masks, _ = track(sam, video[:1, :3], token)
    masks[:, -1].sum().backward()
    assert token.grad.abs().max() > 0
    assert sam.memory_attention.layers[0].linear1.weight.grad.abs().max() > 0
    assert sam.memory_encoder.projection.weight.grad.abs().max() > 0


@pytest.mark.parametrize("key_frame", [0, 20])
@torch.no_grad()
def test_memory_does_not_grow_with_the_clip(key_frame):
    sam = make_sam()
    clip = torch.randn(1, 1, 3, 128, 128)
    features = features_of(sam, clip)(0)
    tracker = Sam2Tracker(sam, 60)
    prediction = tracker.prompt(features, torch.randn(1, 1, 128))
    memory = tracker.remember(Memory(), key_frame, features, prediction, prompted=True)
    sizes = []
    for frame in range(key_frame + 1, 60):
        prediction = tracker.track(features, memory, frame)
        memory = tracker.remember(memory, frame, features, prediction)
        sizes.append((len(memory.tracked), sum(entry.spatial is not None for entry in memory.tracked.values())))
    assert max(count for count, _ in sizes) <= 2 * sam.config.max_object_pointers_in_encoder
    assert max(maps for _, maps in sizes) <= 2 * sam.config.num_maskmem
    assert sizes[-1] == sizes[-2] == sizes[-5]


@torch.no_grad()
def test_dropping_memory_out_of_reach_changes_nothing(sam):
    """A clip longer than every reach, against the stock session, which drops nothing."""
    clip = torch.randn(1, 30, 3, 128, 128, generator=torch.Generator().manual_seed(5))
    points = torch.tensor([[40.0, 50.0]])
    expected = session_with_points(sam, clip[0], points, 12)
    masks, _ = track(sam, clip, click(sam, points), 12)
    torch.testing.assert_close(masks, expected, atol=1e-4, rtol=0)
