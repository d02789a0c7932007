import re

import numpy as np
import pytest
from demo.examples import Example, examples_of, object_names

from lavseg.data import render_clip
from lavseg.data.synthetic.object_tables import ClipObject, clip_object


def shown(category, x, seconds=(1, 0), level=0.2):
    return ClipObject("clip", 0, category, x, level, np.array(seconds, bool))


def bars(page):
    """Of each lane the seconds and the heights of its bars."""
    lanes = re.findall(r'<(?:svg|div) class="lane".*?</(?:svg|div)>', page)
    return [
        [tuple(map(float, bar)) for bar in re.findall(r'x="([\d.]+)" .*?height="([\d.]+)"', lane)] for lane in lanes
    ]


@pytest.fixture(scope="module")
def clip():
    return render_clip(np.random.default_rng(0), 2, (32, 40))


def test_twins_are_told_apart():
    objects = [shown("guitar", 0.7), shown("dog", 0.5), shown("guitar", 0.2)]
    assert object_names(objects) == ["guitar (right)", "dog", "guitar (left)"]
    assert object_names([shown("guitar", x) for x in (0.5, 0.1, 0.9)]) == ["guitar 2", "guitar 1", "guitar 3"]


def test_a_figure_says_who_plays_when(clip):
    objects = [shown("drum", 0.1, (1, 1)), shown("bell", 0.5, (0, 1), 0.06), shown("dog", 0.9, (0, 0))]
    truth, found = np.zeros((3, 2, 32, 40), bool), np.zeros((2, 32, 40), bool)
    page = examples_of("sound", [Example("sound", "a < b", clip.frames, objects, truth, found, "J&F 0.50")], "Heard")
    loud, soft, silent = bars(page)
    assert [int(second) for second, _ in loud] == [0, 1] and [int(second) for second, _ in soft] == [1]
    assert loud[0][1] == 1 and 0.2 < soft[0][1] < 0.6 and not silent
    assert "Heard" in page and "a &lt; b" in page and "J&amp;F 0.50" in page and ">silent<" in page
    assert page.count("data:image/jpeg") == 3


def test_only_examples_of_the_kind_are_shown(clip):
    objects = [clip_object("clip", number, item) for number, item in enumerate(clip.objects)]
    found = np.zeros(clip.frames.shape[:3], bool)
    example = Example("multi", None, clip.frames, objects, clip.masks, found, "J&F 0.00", silent=found)
    assert examples_of("single", [example]) == ""
    assert examples_of("multi", [example]).count("data:image/jpeg") == 4
