"""What stands where on the page."""

from types import SimpleNamespace

import pytest

gr = pytest.importorskip("gradio", reason="Gradio is not installed (extra app)")

from lavseg.app.layout import MASK_FORMATS, about_model  # noqa: E402
from lavseg.inference.mask_files import MASK_FILES  # noqa: E402


def test_a_models_name_and_notice_are_shown_as_text():
    plain, noted = SimpleNamespace(config=object()), SimpleNamespace(config=SimpleNamespace(notice="a <b>toy"))
    assert about_model("org/<i>", plain) == "Model: <b>org/&lt;i&gt;</b>"
    assert about_model("tiny", noted) == "Model: <b>tiny</b><p><b>Note:</b> a &lt;b&gt;toy</p>"


def test_every_form_of_masks_is_offered():
    assert {value for _, value in MASK_FORMATS} == set(MASK_FILES)
