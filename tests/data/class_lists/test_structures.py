"""Class lists as programs print them."""

import json

import numpy as np
import pytest
import yaml

from proxyclip.data.class_lists.structures import read_collection
from proxyclip.data.vocabulary import parse_vocabulary

NAMES = ["lake", "stop sign", "lord's table"]
PRINTED = [
    str(NAMES), json.dumps(NAMES), json.dumps(NAMES, indent=2), str(tuple(NAMES)), f"CLASSES = {NAMES}",
    f"a.b = {tuple(NAMES)};",
    f"{NAMES},", str(dict(enumerate(NAMES))), json.dumps(dict(enumerate(NAMES))),
    str({n: i for i, n in enumerate(NAMES)}),
    str(dict(enumerate(NAMES, 1))),
    json.dumps({"info": {}, "categories": [dict(id=i, name=n) for i, n in enumerate(NAMES, 1)]}),
    yaml.safe_dump({"path": "x", "nc": 3, "names": NAMES}), yaml.safe_dump({"names": dict(enumerate(NAMES))}),
    f"nc: 3\nnames: {NAMES}", str(np.array(NAMES)), repr(np.array(NAMES)), str([[name] for name in NAMES]),
    "".join(f'item {{\n  id: {i}\n  name: "{n}"\n}}\n' for i, n in enumerate(NAMES, 1)),
    f"METAINFO = dict(\n    classes={tuple(NAMES)},\n    palette=[[1, 2, 3], [4, 5, 6], [7, 8, 9]],\n)",
    json.dumps({"classes": [dict(title=n, shape="any") for n in NAMES], "tags": []}),
    str(list(enumerate(NAMES))), "[lake, stop sign, lord's table]", "{0: lake, 1: stop sign, 2: lord's table}",
]  # fmt: skip


@pytest.mark.parametrize("text", PRINTED, ids=lambda text: ascii(text[:30]))
def test_printed_lists_are_read(text):
    assert [names[0] for names in parse_vocabulary(text, "site.json").classes] == NAMES


def test_synonyms_of_a_printed_list():
    assert parse_vocabulary('[["lake", "pond"], "road"]').classes == (("lake", "pond"), ("road",))


@pytest.mark.parametrize(
    "text", ["lake\nroad", "[unknown]", "[a]\n[b]", "{lake", "(front) door", "names of lakes", "", "a = b"]
)
def test_other_text_is_none(text):
    assert read_collection(text, "x") is None


WRONG = [
    ("['lake' 'road', 'hut']", "comma between 'lake' and 'road'"), ("['lake', 'road]", "cannot be read"),
    ("{'lake', 'road'}", "no order"), ("{0: 'lake', 2: 'road'}", "has 2, where 1"), ("['lake', 5]", "got 5"),
    ("item {\n name: 'lake'\n}", "id and name"), ("item {\n id: 4\n name: 'lake'\n}", "has 4, where 1"),
    ("{'id': 'lake'}", "the entry 'id'"), ('{"names": [1, 2]}', "got 1"), ("['lake', '']", "got ''"),
    ("['lake', '__ignore__']", "entry 2 of the vocabulary"), ("[0, 1]", "got 0"), ("[lake, no]", "got False"),
    ('[{"id": 1, "name": "lake"}, "road"]', "label of every class"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), WRONG, ids=lambda value: ascii(value)[:24])
def test_broken_lists_are_refused(text, message):
    with pytest.raises(ValueError, match="Expected") as error:
        parse_vocabulary(text)
    assert message in str(error.value)
