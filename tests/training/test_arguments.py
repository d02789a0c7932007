import pytest

from lavseg.training import LavsegTrainingArguments


def test_defaults_that_differ_from_transformers(tmp_path):
    args = LavsegTrainingArguments(str(tmp_path))
    assert args.metric_protocols == ["frame"] and args.synthetic_null_probability == 0
    assert args.remove_unused_columns is False and args.ddp_find_unused_parameters is True


@pytest.mark.parametrize(
    "values, message",
    [
        ({"metric_protocols": ["frames"]}, "metric_protocols.*frames.*ref_avs"),
        ({"metric_protocols": []}, "metric_protocols"),
        ({"remove_unused_columns": True}, "remove_unused_columns"),
    ],
)
def test_wrong_values_are_refused(tmp_path, values, message):
    with pytest.raises(ValueError, match=message):
        LavsegTrainingArguments(str(tmp_path), **values)
