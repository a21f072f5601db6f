"""Names as CLIP reads them."""

import unicodedata

import pytest

from proxyclip.data.class_lists.shared_texts import (
    clean_class_text,
    find_foreign_names,
    find_label_names,
    find_shared_texts,
    quote_pairs,
    refuse_shared_texts,
)

CAFE = unicodedata.normalize("NFC", "cafe\u0301")
ONE_TEXT = [
    ("River", "river"), ("PICKUP truck", "pickup Truck"), (CAFE, unicodedata.normalize("NFD", CAFE)),
    ("salt & pepper", "salt &amp; pepper"), ("salt &amp;amp; pepper", "salt & pepper"),
    ("\uff52\uff4f\uff41\uff44", "road"),
    ("stop\u00a0sign", "stop sign"), ("stop  sign", "stop\tsign"), ("lord\u2019s table", "lord's table"),
    ("caf\u00c3\u00a9", CAFE), ("\ufb01eld", "field"),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second"), ONE_TEXT, ids=ascii)
def test_clean_class_text_equals_the_tokenizer_of_open_clip(first, second):
    from open_clip.tokenizer import get_clean_fn

    for lower, kind in ((True, "lower"), (False, "whitespace")):
        for name in (first, second):
            assert clean_class_text(name, lower) == get_clean_fn(kind)(name)
    assert clean_class_text(first) == clean_class_text(second)


@pytest.mark.parametrize(("first", "second"), ONE_TEXT, ids=ascii)
def test_names_that_are_one_text_are_refused_with_what_is_read(first, second):
    shared = find_shared_texts([["x"], [first], [second, "y"]])
    assert [(item.names, item.classes) for item in shared] == [((first, second), (1, 2))]
    with pytest.raises(ValueError, match="Expected every class once") as error:
        refuse_shared_texts(shared, ["x", first, second])
    assert repr(clean_class_text(first)) in str(error.value)
    if first.lower() != second.lower() and unicodedata.normalize("NFC", second) == first:
        assert "\\u0301" in str(error.value)  # else both look the same


def test_names_of_one_class_may_be_one_text_and_other_names_are_none():
    assert find_shared_texts([["Sky", "sky"], ["Skye"], ["sky diver"]]) == []
    refuse_shared_texts([], [])


def test_long_names_are_shortened_in_pairs():
    first, second = "x" * 60 + "a", "x" * 60 + "b"
    (item,) = find_shared_texts([[first], [second]], read=lambda name: name[:50])
    assert len(quote_pairs([item])) < 100
    with pytest.raises(ValueError, match="no further than their beginning"):
        refuse_shared_texts([item], [first, second])


def test_find_names_in_other_scripts():
    names = ["船", "кошка", "ηλιος", "Straße", "café", "tv 2", "\uff52\uff4f\uff41\uff44", "7", "T-шорт", "\U0001f600"]
    assert find_foreign_names(names) == ["船", "кошка", "ηλιος"]


def test_find_labels_of_tools():
    names = ["_background_", "__background__", "Void", "unlabeled", "background", "avoid", "other", "_"]
    assert find_label_names(names) == names[:4]
