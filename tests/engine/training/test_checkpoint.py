"""Training checkpoints: plain values, reading, retention."""

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from proxyclip.engine.training.checkpoint import (
    find_latest_checkpoint,
    find_previous_checkpoint,
    make_checkpoint_plain,
    remove_checkpoints,
    to_plain_values,
)
from proxyclip.models.trained.state_dict import load_checkpoint_file, save_checkpoint_hash
from proxyclip.utils.hashing import hash_file


def test_make_checkpoint_plain_keeps_tensors_and_plain_values(tmp_path):
    hub = {"log_scalars": {"loss": HistoryBuffer([1], [1])}, "runtime_info": {"a": np.float64(1), "b": object()}}
    checkpoint = {
        "meta": {"iter": np.int64(3), "palette": np.eye(2), "classes": ("a", ["b"])},
        "state_dict": {"w": torch.ones(2)},
        "message_hub": {**hub, "resumed_keys": {}},
    }
    make_checkpoint_plain(checkpoint)
    assert checkpoint["message_hub"] == {"log_scalars": {}, "runtime_info": {"a": 1.0}, "resumed_keys": {"a": True}}
    file = tmp_path / "iter_3.pth"
    torch.save(checkpoint, file)
    loaded = load_checkpoint_file(file)
    meta = loaded["meta"]
    assert loaded["state_dict"]["w"].tolist() == [1, 1] and meta["iter"] == 3 and meta["classes"] == ("a", ["b"])
    assert torch.equal(meta["palette"], torch.eye(2, dtype=torch.float64))
    with pytest.raises(TypeError, match="got a object"):
        to_plain_values({"a": [object()]})


def test_find_latest_checkpoint_follows_the_last_checkpoint_file(tmp_path):
    assert find_latest_checkpoint(tmp_path) is None
    for number in (4, 10, 8):
        (tmp_path / f"iter_{number}.pth").touch()
    (tmp_path / "iter_best.pth").touch()
    assert find_latest_checkpoint(tmp_path) == tmp_path / "iter_10.pth"
    (tmp_path / "last_checkpoint").write_text("/elsewhere/iter_8.pth")
    assert find_latest_checkpoint(tmp_path) == tmp_path / "iter_8.pth"
    assert find_previous_checkpoint(tmp_path / "iter_8.pth") is None  # what is there is not whole
    save_checkpoint_hash(tmp_path / "iter_4.pth", hash_file(tmp_path / "iter_4.pth"))
    assert find_previous_checkpoint(tmp_path / "iter_8.pth") == tmp_path / "iter_4.pth"
    assert find_previous_checkpoint(tmp_path / "iter_4.pth") is None
    remove_checkpoints(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["iter_best.pth"]
