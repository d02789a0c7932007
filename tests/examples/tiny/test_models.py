import torch
from tiny.models import stereo_vggish
from transformers import AutoModel


@torch.no_grad()
def test_the_wider_vggish_hears_the_same(untrained):
    narrow = AutoModel.from_pretrained(untrained).audio_encoder
    wide = stereo_vggish(narrow)
    patches = torch.randn(3, 1, 96, 64, generator=torch.Generator().manual_seed(0))
    size = narrow.config.embedding_size
    found, expected = wide(patches).embeddings, narrow(patches).embeddings
    assert found.shape[-1] == 2 * size
    torch.testing.assert_close(found[..., :size], expected)
    assert ((found[..., :size] * found[..., size:]) == 0).all() and (found.amax((0, 1, 2)) > 0).any()
