from further_sentences import measure
from tiny.configurations import tiny_config

from lavseg import SimTokenConfig


def test_a_further_sentence_costs_less_than_the_first():
    found = measure(tiny_config(SimTokenConfig), frames=4, runs=1, seed=0)
    assert found.keys() == {"one", "six", "further"}
    assert found["one"] > 0 and found["six"] > 0
