import pytest
from tiny.configurations import tiny_config

from lavseg.data.synthetic.sentences import build_tokenizer
from lavseg.models.gavs import GavsConfig, GavsProcessor


@pytest.mark.parametrize("reads", [True, False])
def test_a_tokenizer_is_there_where_the_model_reads(tmp_path, reads):
    tokenizer = build_tokenizer() if reads else None
    processor = GavsProcessor.from_config(tiny_config(GavsConfig, use_text=reads), tokenizer)
    processor.save_pretrained(tmp_path)
    loaded = GavsProcessor.from_pretrained(tmp_path)
    assert processor.needs_text == loaded.needs_text == reads
    assert (loaded.tokenizer is not None) == reads
    if not reads:
        with pytest.raises(ValueError, match="tokenizer: this GavsProcessor has none, its method reads no text"):
            loaded.batch_decode([[1]])


def test_configuration_and_tokenizer_have_to_agree():
    with pytest.raises(ValueError, match="tokenizer: missing; a model with use_text reads sentences"):
        GavsProcessor.from_config(tiny_config(GavsConfig, use_text=True))
    with pytest.raises(ValueError, match="a model with use_text=False"):
        GavsProcessor.from_config(tiny_config(GavsConfig, use_text=False), build_tokenizer())


def test_a_pushed_processor_has_its_tokenizer(tmp_path, hub):
    processor = GavsProcessor.from_config(tiny_config(GavsConfig, use_text=True), build_tokenizer())
    processor.save_pretrained(str(tmp_path / "reads"), push_to_hub=True, repo_id="org/reads")
    files = {path.name for path in (tmp_path / "reads").iterdir()}
    assert {"processor_config.json", "tokenizer.json", "tokenizer_config.json"} <= files
    assert files <= hub.repos["org/reads"]["files"].keys()
