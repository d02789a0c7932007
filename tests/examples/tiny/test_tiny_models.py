import torch
from tiny.hosts import save_host
from tiny.models import fresh_model, stereo_vggish
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


def test_a_fresh_model_says_that_it_is_a_toy(untrained, tmp_path):
    trained = AutoModel.from_pretrained(untrained)
    host = save_host("SAM2", tmp_path / "sam2", trained, seed=0, steps=0)
    model, _ = fresh_model("sama-avs", host, stereo_vggish(trained.audio_encoder), seed=0)
    assert model.config.notice.startswith("a toy that knows only drawn objects")
