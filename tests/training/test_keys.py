from lavseg.training.keys import own_keys, transformers_keys
from lavseg.training.run import accepted_keys


def test_every_accepted_key_is_listed_once_with_what_it_means():
    own, theirs = own_keys(), transformers_keys()
    assert own.keys() | theirs.keys() == accepted_keys() and not own.keys() & theirs.keys()
    assert own["dataset"] == ("ref_avs", "Layout of the data set, ref_avs or avsbench.")
    assert own["metric_protocols"][0] == "['frame']" and own["sam2"][1].startswith("Checkpoint of an encoder, of ")
    assert all(meaning for _, meaning in own.values())
    assert theirs["logging_steps"][0] == "10" and "earning rate" in theirs["learning_rate"][1]
