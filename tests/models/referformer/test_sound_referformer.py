import torch
from tiny.configurations import tiny_config

from lavseg.models.referformer import ReferFormerConfig
from lavseg.models.referformer.sound_referformer import ReferFormerSound, ReferFormerSoundFusion


@torch.no_grad()
def test_sounds_of_padding_frames_are_not_read():
    torch.manual_seed(0)
    config = tiny_config(ReferFormerConfig, use_audio=True)
    sound, fusion = ReferFormerSound(config).eval(), ReferFormerSoundFusion(config).eval()
    embeddings, mask = torch.randn(1, 3, 32), torch.tensor([[True, True, False]])
    added, heard = sound(embeddings, mask)
    assert added.shape == (1, 3, 32) and heard[0].shape == heard[1].shape == (1, 3, 32)
    tokens = torch.randn(1, 5, 32)
    _, fewer = sound(embeddings[:, :2], mask[:, :2])
    torch.testing.assert_close(fusion(tokens, *heard), fusion(tokens, *fewer))
