from importlib.resources import files

import pytest
import torch
from example_record import example_record
from huggingface_hub import ModelCard
from tiny.configurations import tiny_config

from lavseg.auto import METHODS
from lavseg.hub import HUB_TASK, TASK
from lavseg.hub.model_card import model_card
from lavseg.hub.record import Record, Result
from lavseg.models.sam2_love import Sam2LoveConfig, Sam2LoveModel
from lavseg.models.sama_avs import SamaAvsConfig, SamaAvsModel, SamaAvsProcessor

NAME = "org/a-model"


@pytest.fixture(scope="module")
def model(tiny_processor):
    torch.manual_seed(0)
    return Sam2LoveModel(tiny_config(Sam2LoveConfig, vocab_size=len(tiny_processor.tokenizer))).eval()


@pytest.fixture
def record():
    return example_record()


def test_every_method_has_a_card_in_the_package():
    for config, _, _ in METHODS:
        text = (files("lavseg") / "model_cards" / f"{config.model_type}.md").read_text(encoding="utf-8")
        assert text.startswith("# ") and "\n## " in text


def test_the_card_tells_configuration_recipe_scores_and_data(model, tiny_processor, record):
    card = ModelCard(str(model_card(model, tiny_processor, NAME, record)))
    data = card.data.to_dict()
    assert data["pipeline_tag"] == HUB_TASK and TASK in data["tags"] and data["library_name"] == "transformers"
    assert data["base_model"] == record.base_models and data["license"] == record.license
    assert data["datasets"] == ["org/data"] and {"lavseg", "sam2_love"} <= set(data["tags"])
    found = {(r.dataset_split, r.metric_type, r.metric_config): r.metric_value for r in card.data.eval_results}
    assert found[("test_s", "jaccard", "ref_avs")] == 0.6123 and found[("test_n", "s", "frame")] == 0.25
    assert len(found) == 5 and all(r.metric_config in r.metric_name for r in card.data.eval_results)
    text = card.text
    assert text.lstrip().startswith("# SAM2-LOVE")
    order = ["## This checkpoint", "### Results", "### Use", "| learning_rate | 0.0001 |", "## What it is"]
    places = [text.index(part) for part in [*order, "## Published numbers"]]
    assert places == sorted(places) and not {"license_name", "license_link"} & data.keys()
    assert "| Ref-AVS | test_s | `ref_avs` | 0.6123 | 0.7000 | 0.6500 | 0.1000 |" in text
    assert "| Ref-AVS | test_n | `frame` |  |  |  | 0.2500 |" in text
    assert f"| hidden_size | {model.config.hidden_size} |" in text and "@inproceedings" in text
    assert "data at home" in text and "licences of the encoders" not in text


def test_scores_of_classes_have_columns_of_their_own(model, tiny_processor):
    scores = {"miou": 0.25, "f_score": 0.5, "miou_no_background": 0.125}
    text = model_card(model, tiny_processor, NAME, Record(results=[Result("AVS v2", "test", "avss", scores)])).text
    assert "| data | split | protocol | mIoU | F |" in text and "| AVS v2 | test | `avss` | 0.2500 | 0.5000 |" in text
    assert "- `avss`: AVSBench-semantic" in text


def test_the_card_claims_nothing_that_is_not_known(model, tiny_processor):
    card = model_card(model, tiny_processor, NAME, Record())
    assert card.data.license == "other" and not card.data.eval_results
    data = card.data.to_dict()
    assert not {"base_model", "datasets", "model-index", "model_name", "thumbnail"} & data.keys()
    assert data["license_name"] and data["license_link"].endswith(f"{NAME}#licence") and "### Licence" in card.text
    assert all(words in card.text for words in ("not recorded", "None are recorded", "licences of the encoders"))


def test_a_toys_card_says_so_and_shows_no_numbers_of_the_paper(model, tiny_processor, record, monkeypatch):
    monkeypatch.setattr(model.config, "notice", "a toy of this test")
    text = model_card(model, tiny_processor, NAME, record).text
    assert text.index("> a toy of this test") < text.index("## This checkpoint") and "| notice |" not in text
    assert "Published numbers" not in text and "43.5" not in text and "## What it is" in text
    assert "the papers'" not in model_card(model, tiny_processor, NAME, Record()).text


def test_a_method_that_does_not_read_is_shown_without_text():
    config = tiny_config(SamaAvsConfig)
    card = model_card(SamaAvsModel(config), SamaAvsProcessor.from_config(config), NAME, Record())
    assert 'segment("clip.mp4"):' in card.text and "language" not in card.data.to_dict()


def test_the_snippet_of_the_card_is_python(model, tiny_processor, record):
    block = model_card(model, tiny_processor, NAME, record).text.split("```python\n")[1].split("```")[0]
    compile(block, "card", "exec")


class Unheard(SamaAvsModel):
    """Nobody wrote a card for this.

    It has a second paragraph.
    """


def test_a_method_without_a_card_gets_a_plain_one_of_what_its_classes_tell():
    config = tiny_config(SamaAvsConfig)
    model, processor = Unheard(config), SamaAvsProcessor.from_config(config)
    model.config.model_type = "unheard"
    text = model_card(model, processor, NAME, Record()).text
    assert text.lstrip().startswith(
        "# unheard\n\nNobody wrote a card for this.\n\nIt has a second paragraph.\n\n## This"
    )
    assert "| classes | `SamaAvsConfig`, `Unheard`, `SamaAvsProcessor` |" in text
    assert "| stands on | sam (`sam`), audio (`vggish`) |" in text and "a clip and its sound; video files" in text
    assert all(f"{term} (weight {weight:g})" in text for term, weight in model.loss_weights.items())
    # Whoever follows the card has to import the package that the class is from.
    assert f"import {Unheard.__module__}  # registers the method" in text


def test_a_method_whose_code_lies_in_the_checkpoint_is_shown_with_trust(monkeypatch):
    monkeypatch.setattr(Unheard, "__module__", "transformers_modules.here.modeling_unheard")
    config = tiny_config(SamaAvsConfig)
    text = model_card(Unheard(config), SamaAvsProcessor.from_config(config), NAME, Record()).text
    assert f'model="{NAME}", trust_remote_code=True)' in text and "registers the method" not in text
