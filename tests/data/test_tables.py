import warnings

import pytest

from lavseg.data.tables import (
    DataError,
    DataWarning,
    check_listed,
    check_name,
    logged_warnings,
    read_table,
    summary,
)


def test_warnings_of_data_sets_are_logged_once_where_libraries_are_silenced(caplog):
    with warnings.catch_warnings(), logged_warnings():
        warnings.simplefilter("ignore")
        with logged_warnings():
            for message in ("one", "two", "one"):
                warnings.warn(message, DataWarning, stacklevel=1)
            warnings.warn("of a library", UserWarning, stacklevel=1)
    assert caplog.messages == ["one", "two"]


def test_a_table_needs_its_columns(tmp_path):
    path = tmp_path / "table.csv"
    with pytest.raises(ValueError, match=r"table\.csv does not exist; pass the folder that holds this and that"):
        read_table(path, ("a",), "this and that")
    path.write_text("a,b\n1,2\n\n")
    assert read_table(path, ("a",), "") == [{"a": "1", "b": "2"}]
    with pytest.raises(ValueError, match=r"columns c are missing, expected a, c; line 1 has 'a, b'"):
        read_table(path, ("a", "c"), "")


def test_quoted_fields_and_line_ends_of_all_systems_are_read(tmp_path):
    path = tmp_path / "table.csv"
    for end in ("\n", "\r\n", "\r"):
        path.write_bytes(end.join(["a,b", '1,"the ""loud"" dog, left"', 'x,a "quiet" cat', ""]).encode())
        expected = [{"a": "1", "b": 'the "loud" dog, left'}, {"a": "x", "b": 'a "quiet" cat'}]
        assert read_table(path, ("a", "b"), "") == expected


WRONG = {
    "too few fields": ("a,b\n1\n", r"row 0: got 1 fields in line 2, expected all columns, 2; .*quotes"),
    "comma without quotes": ("a,b\n1,2\n1,the dog, left\n", r"row 1: got 3 fields in line 3, expected all columns, 2"),
    "quote that is not closed": ('a,b\n1,"the dog\n1,2\n', r"line 2: quotes do not match"),
    "quote that another row closes": ('a,b\n1,"the dog\n1,"2"\n', r"line 2: quotes do not match"),
    "quote that swallows rows": ('a,b\n1,2\n1,"the dog\n1,the" cat\n', r"line 3: quotes do not match"),
    "text after a quote": ('a,b\n1,"loud" dog\n', r"line 2: quotes do not match"),
    "line break in a field": ('a,b\n1,"the\ndog"\n', r"line 2: a field goes on to line 3; .*close every quote"),
    "column twice": ("a,b,a\n1,2,3\n", r"line 1: column 'a' is there more than once"),
    "semicolons": ("a;b\n1;2\n", r"columns a, b are missing, .* separated by ';', not by commas"),
    "tabs": ("a\tb\n1\t2\n", r"columns a, b are missing, .* separated by '\\t', not by commas"),
    "field without end": (f"a,b\n1,{'x' * 200_000}\n", r"line 2: quotes do not match \(field larger"),
    "long field": (f"a,b\n1,{'x' * 3000}\n", r"row 0: got 3000 characters of b in line 2, expected up to 2000"),
    "control character": ("a,b\n1,the \x07 dog\n", r"row 0: b in line 2 holds control characters"),
    "Latin-1": ("a,b\n1,2\n1,the caf\xe9\n".encode("latin-1"), r"line 3: is not in UTF-8; save the table"),
    "UTF-16": ("a,b\n1,2\n".encode("utf-16"), r"line 1: is not in UTF-8"),
    "UTF-16 without its mark": ("a,b\n1,2\n".encode("utf-16-le"), r"line 1: holds zero bytes, as UTF-16 does"),
    "nothing": ("", r"columns a, b are missing"),
    "a header alone": ("a,b\n", r"has no rows"),
}


@pytest.mark.parametrize(("content", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_with_a_table_is_named_with_its_line(tmp_path, content, message):
    path = tmp_path / "table.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ValueError, match=message) as caught:
        read_table(path, ("a", "b"), "")
    assert str(path) in str(caught.value) and len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/etc", "a/b", "a\\b", "x" * 256, "ä" * 128])
def test_names_that_lead_elsewhere_are_refused(name):
    assert check_name("here", "uid", "-a_b c.mp4") == "-a_b c.mp4"
    with pytest.raises(ValueError, match=r"^here: uid is .*, expected the plain name of a file or folder"):
        check_name("here", "uid", name)


def test_words_that_differ_in_capitals_and_blanks_are_refused():
    for value in ("train", "TODO", "extra", ""):
        check_listed("here", "split", value, ("train", "TODO"))
    for value in ("Train", "train ", "todo"):
        with pytest.raises(ValueError, match=f"^here: split is '{value}', expected '(train|TODO)'"):
            check_listed("here", "split", value, ("train", "TODO"))


def test_faults_are_counted_by_kind_in_one_line():
    faults = [DataError(reason, "c", "a\nb.png", "Do.") for reason in ("one", "other", "other")]
    assert summary(faults) == "(2 other, 1 one). First: clip c: one: a b.png. Do."
