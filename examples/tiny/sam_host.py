"""Train a tiny SAM on synthetic frames from clicks, in a minute or two: a host for methods on SAM, of which none is
shipped.

As `sam2_host.py` does for SAM2. SAM has no memory, so single frames are all it learns from.
"""

import numpy as np
import torch
from torch import nn
from transformers import SamConfig, SamModel

from lavseg.backbones.sam.configuration_sam import with_original_norms

from .clicks import IMAGE_SIZE, ClipPool, click_loss, mean_iou
from .optimization import OnLog, collect_log, optimize, reset_layers

BATCH, PEAK_RATE = 16, 1e-3


def build_sam(seed: int) -> SamModel:
    """An untrained SAM of half a million parameters for frames of 192x192.

    Its patches have 8x8 pixels: with the published 16 the masks of so small frames would be coarse.
    """
    torch.manual_seed(seed)
    width, sizes = 64, {"image_size": IMAGE_SIZE, "patch_size": 8}
    config = SamConfig(
        vision_config={
            "hidden_size": width,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "mlp_ratio": 2.0,
            "window_size": 8,
            "global_attn_indexes": [1, 3],
            "output_channels": width,
            "num_pos_feats": width // 2,
            "initializer_range": 0.02,
            **sizes,
        },
        prompt_encoder_config={"hidden_size": width, **sizes},
        mask_decoder_config={
            "hidden_size": width,
            "num_attention_heads": 4,
            "mlp_dim": 2 * width,
            "iou_head_hidden_dim": width,
        },
    )
    sam = SamModel(with_original_norms(config))
    reset_layers(sam)
    nn.init.normal_(sam.vision_encoder.pos_embed, std=0.02)
    nn.init.normal_(sam.shared_image_embedding.positional_embedding).requires_grad_(False)
    return sam


def train_sam(
    seed: int,
    steps: int = 600,
    clips: int = 1000,
    on_log: OnLog = lambda entry: None,
) -> tuple[SamModel, list[dict]]:
    """A SAM trained from clicks on so many clips, and a log of `{step, loss, iou}`.

    Args:
        on_log: called with each new entry of the log.
    """
    sam, pool, rng = build_sam(seed), ClipPool.render(clips, 1, seed), np.random.default_rng(seed)
    sam.train()
    entries = optimize(sam.parameters(), lambda: click_terms(sam, *pool.draw(rng, BATCH)), PEAK_RATE, steps, "SAM")
    log = collect_log(entries, on_log)
    return sam.eval(), log


def click_terms(
    sam: SamModel, images: torch.Tensor, clicks: torch.Tensor, masks: torch.Tensor
) -> dict[str, torch.Tensor]:
    """`loss`, and the mean `iou` of the masks of highest predicted IoU.

    The arguments are what `ClipPool.draw` returns for clips of one frame.
    """
    embeddings = sam.vision_encoder(images[:, 0]).last_hidden_state
    labels = torch.ones(len(clicks), 1, 1, dtype=torch.int32)
    # SAM's prompt encoder adds half a pixel, which these clicks have already.
    sparse, dense = sam.prompt_encoder(clicks[:, None, None] - 0.5, labels, None, None)
    code = sam.get_image_wide_positional_embeddings().expand(len(clicks), -1, -1, -1)
    candidates, scores = sam.mask_decoder(embeddings, code, sparse, dense, multimask_output=True)
    candidates, scores, targets = candidates[:, 0], scores[:, 0], masks[:, 0]
    chosen = candidates[torch.arange(len(candidates)), scores.argmax(1)]
    return {"loss": click_loss(candidates, scores, None, targets), "iou": mean_iou(chosen, targets)}
