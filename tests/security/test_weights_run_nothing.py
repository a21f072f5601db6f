"""Promise: reading weights runs no code, in whatever disguise it lies in the file."""

import pytest
import torch
from helpers.weights_archives import StatefulModule, make_pickle, read_entry, rewrite_archive, save_bytes, save_network

from proxyclip.models.weights import WeightsError
from proxyclip.models.weights.reading import read_state_dict, read_tensors

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


class Outer(torch.nn.Module):
    """A module with `StatefulModule` within."""

    def __init__(self, marker):
        super().__init__()
        self.inner = torch.nn.Sequential(StatefulModule(marker))
        self.weight = torch.nn.Parameter(torch.ones(2))

    def forward(self, x):
        return self.inner(x) + self.weight


def script(path, marker, traced=False):
    module = Outer(marker)
    (torch.jit.trace(module, torch.ones(2)) if traced else torch.jit.script(module)).save(str(path))
    return path


def change_code(old, new, is_name=False):
    """Change the text of all code entries, or their names."""

    def make(path, marker):
        source = script(path.with_name("source.pt"), marker)
        if is_name:
            rewrite_archive(source, path, rename=lambda name: name.replace(old, new))
        else:
            rewrite_archive(source, path, lambda n, d: d.replace(old, new) if n.endswith(".py") else d)

    return make


def change_pickle(build, end="data.pkl", keep=True, saved="plain"):
    """Replace the pickle of an archive by one of `build(marker)`; `keep` adds it before the archive's own."""

    def make(path, marker):
        source = path.with_name("source.pt")
        if saved == "script":
            save_network(source)
        else:
            torch.save({"w": torch.ones(2)}, source)
        attack = make_pickle(*build(str(marker)))

        def replace(name, data):
            return (attack[:-1] + b"0" + data[2:] if keep else attack) if name.endswith(end) else data

        rewrite_archive(source, path, replace)

    return make


def add_entries(*names):
    """Add entries with an attack to an archive of torch.save."""

    def make(path, marker):
        torch.save({"w": torch.ones(2)}, path.with_name("source.pt"))
        attack = make_pickle(b"cos\nmkdir\n", (str(marker),), b"R")
        rewrite_archive(path.with_name("source.pt"), path, extra=[(name, attack) for name in names])

    return make


def write_legacy(build):
    """A file of PyTorch before 1.6 with an attack as its main pickle."""

    def make(path, marker):
        whole = save_bytes({"w": torch.ones(2)}, _use_new_zipfile_serialization=False)
        start = whole.index(b"\x80\x02}q\x00X\x01\x00\x00\x00w")
        path.write_bytes(whole[:start] + make_pickle(*build(str(marker)))[:-1] + b"0" + whole[start + 2 :])

    return make


MKDIR = b"cos\nmkdir\n"
DISGUISES = {
    "a state function in a module within": script,
    "a state function of a traced module": lambda path, marker: script(path, marker, traced=True),
    "names of entries in capitals": change_code(".py", ".PY", is_name=True),
    "names of entries in another folder": change_code("/code/", "/CODE/", is_name=True),
    "lines that are joined": change_code(b"def __setstate__", b"def \\\n__setstate__"),
    "a name with a form feed": change_code(b"def __setstate__", b"def\f__setstate__"),
    "no name of it in the code": change_code(b"__setstate__", b"_setstate_"),
    "a function called on import": change_pickle(lambda m: (MKDIR, (m,), b"R")),
    "a function in TorchScript's pickle": change_pickle(lambda m: (MKDIR, (m,), b"R"), saved="script"),
    "a class of the code that is a function": change_pickle(lambda m: (b"c__torch__\nmkdir\n", (m,), b"R"), keep=False),
    "a name from two strings of the memo": change_pickle(
        lambda m: (b"\x8c\x02os\x94\x8c\x05mkdir\x94", b"h\x00h\x01\x93", (m,), b"R")
    ),
    "a name with a dot": change_pickle(lambda m: (b"\x8c\x05torch\x8c\x08os.mkdir", b"\x93", (m,), b"R")),
    "an attribute of a value": change_pickle(lambda m: (b"cbuiltins\ngetattr\n", ("os", "mkdir"), b"R")),
    "Python 2's names": change_pickle(lambda m: (b"c__builtin__\neval\n", (f"__import__('os').mkdir({m!r})",), b"R")),
    "an instance": change_pickle(lambda m: (b"(", m, b"ios\nmkdir\n")),
    "an object": change_pickle(lambda m: (b"(", MKDIR, m, b"o")),
    "a new object with keywords": change_pickle(lambda m: (MKDIR, (m,), {}, b"\x92")),
    "a new object": change_pickle(lambda m: (MKDIR, (m,), b"\x81")),
    "a number of the extension table": change_pickle(lambda m: (b"\x82\x01", (m,), b"R")),
    "a long number of the extension table": change_pickle(lambda m: (b"\x84\x01\x00\x00\x00", (m,), b"R")),
    "a state that sets a class": change_pickle(
        lambda m: (b"ccollections\nOrderedDict\n)R", None, {"__class__": 1}, b"\x86b", b"cos\nmkdir\n")
    ),
    "a state of a tensor's function": change_pickle(lambda m: (b"ctorch._utils\n_rebuild_tensor_v2\n", {"x": 1}, b"b")),
    "a persistent id that is a dict": change_pickle(lambda m: ({"storage": 1}, b"Q")),
    "a persistent id that is a number": change_pickle(lambda m: (2**80, b"Q")),
    "a persistent id of a module": change_pickle(lambda m: (("module", 1, "os", "import os"), b"Q")),
    "a persistent id in text": change_pickle(lambda m: (b"Pos.mkdir\n",)),
    "a tensor of a function": change_pickle(
        lambda m: (b"ctorch._utils\n_rebuild_tensor_v2\n", (m, 0, (1,), (1,), 0, 0), b"R")
    ),
    "a subclass of a tensor": change_pickle(
        lambda m: (b"ctorch._tensor\n_rebuild_from_type_v2\n(", MKDIR, b"ctorch\nTensor\n", (m,), {}, b"tR")
    ),
    "a parameter of a string": change_pickle(lambda m: (b"ctorch._utils\n_rebuild_parameter\n", (m, True, {}), b"R")),
    "a file that PyTorch opens": change_pickle(lambda m: (b"ctorch\nload\n", (m,), b"R")),
    "a class of PyTorch's packages": change_pickle(lambda m: (b"ctorch.hub\nload\n", (m, "x"), b"R")),
    "two pickles": add_entries("source/DATA.PKL"),
    "a pickle in another folder": add_entries("other/data.pkl"),
    "a pickle with an absolute name": add_entries("/source/data.pkl"),
    "a legacy pickle": write_legacy(lambda m: (MKDIR, (m,), b"R")),
    "a legacy module with source": write_legacy(lambda m: (("module", 1, "os", "import os"), b"Q")),
}  # fmt: skip


@pytest.mark.parametrize("disguise", DISGUISES)
def test_no_disguise_of_code_runs(disguise, tmp_path):
    marker, path = tmp_path / "was-here", tmp_path / "weights.pt"
    DISGUISES[disguise](path, marker)
    for read in (read_state_dict, read_tensors):
        with pytest.raises(WeightsError, match=r"weights\.pt cannot be read"):
            read(path)
    assert not marker.exists()


def test_a_disguise_runs_where_it_is_read_carelessly(tmp_path):
    """The attacks are real: PyTorch's own reader runs the first one."""
    torch.jit.load(str(script(tmp_path / "weights.pt", tmp_path / "was-here")))
    assert (tmp_path / "was-here").exists()


def test_code_beside_the_tensors_is_not_looked_at(tmp_path, monkeypatch):
    """Constants and forward functions stay bytes."""
    marker = tmp_path / "was-here"
    expected = save_network(tmp_path / "source.pt", traced=True)
    attack = make_pickle(MKDIR, (str(marker),), b"R")
    path = rewrite_archive(
        tmp_path / "source.pt", tmp_path / "weights.pt", lambda n, d: attack if n.endswith("constants.pkl") else d
    )
    assert read_entry(path, "constants.pkl")[1] == attack
    for module, name in ((torch.jit, "load"), (torch, "load"), (torch._C, "import_ir_module")):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("PyTorch's reader was called"))
    assert list(read_tensors(path)) == list(expected) and not marker.exists()
