"""Class names against the tokenizer of a CLIP."""

import logging
import unicodedata
from types import SimpleNamespace

import pytest
import torch
from open_clip.tokenizer import SimpleTokenizer

from proxyclip.data.class_lists.notes import log_note
from proxyclip.models.clip.name_check import check_class_names, is_multilingual, log_name_check

TEMPLATES = ("a {}.", "a rather long photo of the {} in a park.")
TOKENIZER = SimpleTokenizer(context_length=24)
BEGIN = "very " * 30


def check(*classes, tokenizer=TOKENIZER, templates=TEMPLATES):
    return check_class_names(
        tokenizer, tuple((name,) if isinstance(name, str) else name for name in classes), templates
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Mill", "mill"),
        ("caf\u00e9", "cafe\u0301"),
        ("a &amp; b", "a & b"),
        ("\uff4d\uff49ll", "mill"),
        (BEGIN + "a", BEGIN + "b"),
    ],
    ids=ascii,
)
def test_names_with_equal_tokens_are_shared(first, second):
    (item,) = check("x", first, second).shared
    assert (item.names, item.classes) == ((first, second), (1, 2))


def test_names_are_shared_only_if_all_prompts_are_equal():
    first, second = "big " * 18 + "one", "big " * 18 + "two"  # cut in the long template alone
    assert check(first, second).shared == ()
    assert check(first, second, templates=TEMPLATES[1:]).shared
    assert check(first, second).cut == (first, second)
    assert check(("mill", "Mill"), "hill").shared == ()  # synonyms of one class


def test_a_tokenizer_that_keeps_case_tells_names_apart():
    cased = SimpleTokenizer(context_length=24, clean="whitespace")
    assert check("Turkey", "turkey", tokenizer=cased).shared == () != check("Turkey", "turkey").shared


def test_cut_and_empty_names():
    assert check("mill", BEGIN + "old mill", "an old mill with a roof").cut == (BEGIN + "old mill",)
    assert check("mill", "&nbsp;", " ").empty == ("&nbsp;", " ")


def test_foreign_names_are_noted_for_english_tokenizers_alone():
    def tokenize_many(texts):
        return torch.tensor([[len(text), *text.encode()[:1]] for text in texts])

    tokenize_many.vocab_size = 250_002
    names = ["мельница", "水車", "mill"]
    assert check(*names).foreign == tuple(names[:2])
    assert check(*names, tokenizer=tokenize_many).foreign == ()
    assert is_multilingual(SimpleNamespace(tokenizer=SimpleNamespace(vocab_size=256_000)))
    assert not is_multilingual(TOKENIZER)


def test_log_name_check_says_each_note_once_and_not_what_reading_has_said(caplog):
    log_note.cache_clear()
    clip = SimpleNamespace(tokenizer=TOKENIZER)
    classes = [["Mill"], ["mill"], ["水車"], [BEGIN + "a"], [unicodedata.normalize("NFC", BEGIN + "b")]]
    with caplog.at_level(logging.WARNING):
        log_name_check(clip, classes, TEMPLATES, "mills.txt")
        log_name_check(clip, classes, TEMPLATES, "mills.txt")
        log_name_check(SimpleNamespace(), classes, TEMPLATES, "mills.txt")  # no tokenizer, as of a stand-in
    assert len(caplog.messages) == 3 and all(text.startswith("mills.txt: ") for text in caplog.messages)
    assert "Mill" not in caplog.text and "水車" in caplog.text and max(map(len, caplog.messages)) < 250
