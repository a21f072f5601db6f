"""Mixed precision of optimizer wrappers."""

import pytest
import torch

from proxyclip.engine.training.optim import CPUAmpOptimWrapper, enable_mixed_precision


def test_enable_mixed_precision_follows_the_device():
    plain = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=1.0))
    on_cuda = {**plain, "type": "AmpOptimWrapper", "dtype": "float16", "loss_scale": "dynamic"}
    assert enable_mixed_precision(plain, "cuda") == on_cuda
    assert enable_mixed_precision({**plain, "dtype": "bfloat16"}, "cuda")["dtype"] == "bfloat16"
    on_cpu = enable_mixed_precision({**plain, "loss_scale": 512.0}, "cpu")
    assert on_cpu == {**plain, "type": "CPUAmpOptimWrapper"}
    with pytest.raises(ValueError, match="'OptimWrapper', but got 'Mine'"):
        enable_mixed_precision(dict(type="Mine"), "cpu")
    with pytest.raises(ValueError, match="'bfloat16' on a CPU, but got 'float16'"):
        CPUAmpOptimWrapper(dtype="float16", optimizer=torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))]))
