"""A record in which everything is known."""

from lavseg.hub.record import Record, Result

SCORES = {"jaccard": 0.61234567, "f_score": 0.7, "j_and_f": 0.65, "s": 0.1, "s_ratio": 0.01, "loss": 1.0}


def example_record():
    return Record(
        base_models=["facebook/sam2-hiera-large"],
        datasets=["org/data", "data at home"],
        license="cc-by-nc-4.0",
        recipe={"learning_rate": 1e-4, "steps": 12},
        results=[Result("Ref-AVS", "test_s", "ref_avs", SCORES), Result("Ref-AVS", "test_n", "frame", {"s": 0.25})],
    )
