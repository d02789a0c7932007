import json
import math
import os

import pytest
from example_record import SCORES, example_record

from lavseg.hub.record import EVALUATION, RECORD, Record, Result, hub_ids, read_record


@pytest.fixture
def record():
    return example_record()


def test_a_record_with_a_score_that_is_no_number_is_not_made(tmp_path):
    with pytest.raises(ValueError, match="scores: have to be finite numbers"):
        Result("data", "test", "frame", {"jaccard": math.nan})
    with pytest.raises(ValueError, match="not JSON compliant"):
        Record(recipe={"learning_rate": math.inf}).save(tmp_path)
    assert not (tmp_path / RECORD).exists()


def test_a_record_is_read_as_it_was_written(record, tmp_path):
    record.datasets.append(os.fsdecode(b"caf\xe9"))
    record.save(tmp_path)
    assert read_record(tmp_path) == record
    report = {"data_root": "/data/AVS", "subsets": ["v1s"], "protocol": "avsbench", "splits": {"test": SCORES}}
    (tmp_path / EVALUATION).write_text(json.dumps(report))
    assert read_record(tmp_path).results == [*record.results, Result("AVS v1s", "test", "avsbench", SCORES)]


NO_RECORDS = (
    "{",
    "[1]",
    '{"nothing": "known"}',
    '{"data_root": "d", "protocol": "mine", "splits": {"test": {}}}',
    '{"data_root": "d", "protocol": "frame", "splits": {"test": {"jaccard": "good"}}}',
    '{"recipe": {"seed": NaN}}',
)


@pytest.mark.parametrize("name", [RECORD, EVALUATION])
def test_files_that_are_no_record_are_refused(tmp_path, name):
    for text in NO_RECORDS:
        (tmp_path / name).write_text(text)
        with pytest.raises(ValueError, match=name):
            read_record(tmp_path)


def test_a_record_that_cannot_be_written_leaves_the_earlier_one(record, tmp_path):
    record.save(tmp_path)
    with pytest.raises(ValueError, match="not JSON compliant"):
        Record(recipe={"learning_rate": math.inf}).save(tmp_path)
    assert read_record(tmp_path) == record and [path.name for path in tmp_path.iterdir()] == [RECORD]


def test_only_names_on_the_hub_count_as_base_models(tmp_path, monkeypatch):
    (tmp_path / "runs" / "vggish").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    cached = "/home/me/.cache/huggingface/hub/models--org--a-model/snapshots/0123abc"
    assert hub_ids(["", "a/b", "runs/vggish", "/some/where", "a/b", "one", cached]) == ["a/b", "org/a-model"]
