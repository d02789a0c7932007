from lavseg.error_reasons import reason_of


def test_a_reason_is_one_line_and_never_empty():
    assert reason_of(ValueError("one\n  two")) == "one two"
    assert reason_of(TimeoutError()) == reason_of(TimeoutError(" \n")) == "TimeoutError"
