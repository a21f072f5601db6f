"""Archives of torch.save and torch.jit.save, made and changed entry by entry; pickles made opcode by opcode."""

import io
import pickle
import zipfile

import torch
from torch import nn


class StatefulModule(nn.Module):
    """TorchScript that writes a file while PyTorch reads it."""

    def __init__(self, marker):
        super().__init__()
        self.marker, self.x = str(marker), nn.Parameter(torch.zeros(2))

    @torch.jit.export
    def __getstate__(self):
        return self.x, self.marker, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, str, bool]):
        self.x, self.marker, self.training = state[0], state[1], state[2]
        torch.save(self.x, self.marker)

    def forward(self, x):
        return x + self.x


class Block(nn.Module):
    """A module with parameters, buffers of both kinds, a plain tensor, a list and a tied weight."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 4).half())
        self.register_buffer("seen", torch.tensor([1, 2]))
        self.register_buffer("hidden", torch.ones(2), persistent=False)
        self.plain = torch.zeros(3)
        self.numbers = [1, 2]

    def forward(self, x):
        return x + self.seen.sum() + self.hidden.sum() + self.plain.sum()


class Network(nn.Module):
    """Nested modules, shared and non-contiguous tensors, and scalars as OpenAI's archives have."""

    def __init__(self):
        super().__init__()
        self.block, self.same = Block(), None
        self.layers = nn.ModuleList([nn.Sequential(nn.Linear(2, 2), nn.ReLU()), Block()])
        self.turned = nn.Parameter(torch.randn(4, 3).t())
        self.tied = self.layers[0][0]
        base = torch.randn(6, 5)
        self.register_buffer("part", base[1:4, ::2])
        self.register_buffer("rest", base[2:])
        for name, value in (("input_resolution", 224), ("context_length", 77), ("vocab_size", 49408)):
            self.register_buffer(name, torch.tensor(value))

    def forward(self, x):
        return self.block(x) + self.layers[0](x).sum() + 0.5 + torch.arange(2)


def save_network(path, traced=False):
    """Save a TorchScript archive of `Network`; return torch's own state dict of it."""
    torch.manual_seed(0)
    module = Network().eval()
    script = torch.jit.trace(module, torch.ones(2)) if traced else torch.jit.script(module)
    script.save(str(path))
    return dict(torch.jit.load(str(path), map_location="cpu").state_dict())


def rewrite_archive(source, target, change=None, extra=(), rename=None):
    """Copy an archive: `change(name, data)` gives new data or None, `extra` adds (name, data), `rename` gives names."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
        for entry in old.infolist():
            data = old.read(entry)
            data = change(entry.filename, data) if change else data
            if data is not None:
                new.writestr(rename(entry.filename) if rename else entry.filename, data)
        for name, data in extra:
            new.writestr(name, data)
    return target


def make_pickle(*parts):
    """Join opcodes (bytes) and values into a pickle of protocol 2."""
    body = b"".join(part if isinstance(part, bytes) else pickle.dumps(part, 2)[2:-1] for part in parts)
    return b"\x80\x02" + body + b"."


def read_entry(path, end):
    """Return (name, data) of the entry whose name ends so."""
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.endswith(end))
        return name, archive.read(name)


def save_bytes(content, **options):
    """Return the bytes of torch.save."""
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()
