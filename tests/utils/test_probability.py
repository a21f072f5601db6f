"""Probabilities as people write them."""

import pytest

from proxyclip.utils.probability import check_probability, parse_probability


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0.25", 0.25),
        (",25", 0.25),
        ("2.5e-1", 0.25),
        ("\u0660\u066b\u0662\u0665", 0.25),
        ("1", 1.0),
        ("0", 0.0),
        ("+1,0.", 1.0),
    ],
)
def test_parse_numbers(text, number):
    assert parse_probability(text) == number


@pytest.mark.parametrize(
    "text", ["wall", "7 seas", "0.3f", "", "%", "3d", "u-turn", "1 2", "route 66", "throne 2", "p2"]
)
def test_other_text_is_no_number(text):
    assert parse_probability(text) is None


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("25%", "not percent, write 0.25"), ("25 ％", "0.25"), ("25 percent", "0.25"),
        ("25", "not percent, write 0.25"),
        ("%25", "0.25"), ("25 Prozent", "0.25"), ("p = 0.25", "write 0.25"), ("threshold 0,25", "write 0.25"),
        ("25٪", "0.25"),
        ("250‰", "0.25"), ("1/4", "write 0.25"), ("¼", "write 0.25"), (">0.25", "write 0.25"), ("≥ 25 %", "0.25"),
        ("-0.25", "'-0.25'"), ("\u22120.25", "from 0 to 1"), ("1.5", "from 0 to 1"),
        ("250", "'250'"), ("nan", "nan"), ("-inf", "inf"),
    ],
)  # fmt: skip
def test_other_notations_are_refused_with_the_number(text, meant):
    with pytest.raises(ValueError, match="Expected a threshold from 0 to 1, a probability, but got") as error:
        parse_probability(text)
    assert meant in str(error.value)


def test_check_probability():
    assert (check_probability(0), check_probability(0.5)) == (0.0, 0.5)
    for value, message in (
        (40, "write 0.4"),
        ("40%", "write 0.4"),
        (True, "True"),
        (None, "None"),
        ([0, 3], "0, 3"),
        (-1, "-1"),
    ):
        with pytest.raises(ValueError, match=message):
            check_probability(value)
