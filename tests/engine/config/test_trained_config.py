"""eval.py --checkpoint: from config and checkpoint of a trained model to the record."""

import hashlib
import shutil
from pathlib import Path

import pytest
import torch
from helpers.dummy_dataset import evaluate, make_world
from helpers.dummy_trained import DummyTrained, make_config, save
from mmengine.config import Config
from mmseg.registry import MODELS

from proxyclip.engine.config.components import BASE_SEGMENTOR, IncompatibleComponents, describe_method
from proxyclip.engine.config.load import load_config
from proxyclip.engine.config.names import ConfigNotFound, _known_configs, find_config
from proxyclip.engine.config.options import EvalOptions
from proxyclip.engine.config.overrides import check_model_arguments
from proxyclip.engine.evaluation import provenance
from proxyclip.engine.evaluation.identity import run_identity
from proxyclip.engine.evaluation.provenance import hash_code
from proxyclip.results.records import load_records
from proxyclip.tinyworld import CLASSES
from proxyclip.utils.paths import ROOT

TINY = "configs/cfg_tinyworld.py"

pytestmark = pytest.mark.usefixtures("own_environment")


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    return make_config(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="module")
def weights(config) -> Path:
    return save(config.parent / "iter_10.pth")


def load(config, **options):
    return load_config(EvalOptions(config=str(config), **options))[0]


@pytest.mark.slow
def test_evaluation_of_a_checkpoint_writes_its_record(config, weights, tmp_path, capsys):
    pictures = tmp_path / "pictures"
    arguments = ("--checkpoint", str(weights), "--show-dir", str(pictures), "--skip-bad")
    assert evaluate(config, tmp_path, *arguments) == 0
    assert "DummyTrained" in capsys.readouterr().out
    (run,) = load_records(tmp_path)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert run["trained"] == {"checkpoint": "iter_10.pth", "sha256": digest, "iteration": 10}
    assert run["files"] == {str(weights): digest} and run["code_sha256"] == hash_code(uses_trained_code=True)
    assert run["arguments"]["student"] == "Pixel()" and run["options"]["checkpoint"] == str(weights)
    assert run["precision"] == "fp32" and run["dataset"]["images"] == 2 and run["left_out"] == []
    assert run["vocabulary"]["classes"] == len(CLASSES) and run["templates"]["count"] == 1
    assert len(list(pictures.glob("*.png"))) == 2 and len(run["gallery"]) > 0
    assert len(list((tmp_path / "gallery" / run["identity"]).iterdir())) == 6


def test_evaluation_uses_the_weights_of_the_checkpoint(config, tmp_path):
    """A convolution that says one class everywhere is right where that is the label."""
    model = DummyTrained()
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    grass = CLASSES.index("grass")
    model.conv.bias.data[grass] = 1
    torch.save({"meta": {"iter": 7}, "state_dict": model.state_dict()}, tmp_path / "grass.pth")
    assert evaluate(config, tmp_path, "--checkpoint", str(tmp_path / "grass.pth"), "--limit", "1") == 0
    (run,) = load_records(tmp_path)
    pixels = [row["pixels"] for row in run["per_class"]]
    assert run["partial"] and run["trained"]["iteration"] == 7 and 0 < pixels[grass] < sum(pixels)
    assert run["metrics"]["aAcc"] == pytest.approx(100 * pixels[grass] / sum(pixels))


@pytest.mark.slow
def test_interrupted_run_resumes_with_a_moved_checkpoint(config, weights, tmp_path, monkeypatch, capsys):
    predict = DummyTrained.predict
    seen = []

    def stop_at_second(self, inputs, data_samples=None):
        seen.append(data_samples[0].img_path)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return predict(self, inputs, data_samples)

    monkeypatch.setattr(DummyTrained, "predict", stop_at_second)
    assert evaluate(config, tmp_path, "--checkpoint", str(weights), "--gallery", "0") == 130
    assert "1 of 2 images are scored" in capsys.readouterr().err
    moved = shutil.copy(weights, tmp_path / "moved.pth")
    assert evaluate(config, tmp_path, "--checkpoint", str(moved), "--gallery", "0") == 0
    assert len(seen) == 3 and seen[1] == seen[2] and load_records(tmp_path)[0]["resumed_images"] == 1


def test_model_is_wrapped_for_evaluation_under_a_launcher(config, weights, tmp_path, monkeypatch):
    for name, value in dict(RANK="0", LOCAL_RANK="0", WORLD_SIZE="1", MASTER_ADDR="127.0.0.1", MASTER_PORT="0").items():
        monkeypatch.setenv(name, value)
    assert evaluate(config, tmp_path, "--checkpoint", str(weights), "--launcher", "pytorch") == 0
    assert load_records(tmp_path)[0]["trained"]["iteration"] == 10


def test_load_config_removes_the_keys_of_training(config, weights):
    cfg = load(config, checkpoint=str(weights))
    assert not {key for key in cfg if key.startswith(("train_", "val_", "optim", "param_"))}
    assert cfg.model_wrapper_cfg == dict(type="EvalOnly") and not cfg.resume and cfg.load_from is None
    assert cfg.model.checkpoint == str(weights) and cfg.model.precision == "fp32"
    check_model_arguments(cfg)


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({}, ValueError, r"train it first: python train\.py \S+\.py; then python eval\.py --config \S+ --checkpoint"),
        (dict(checkpoint="no/such.pth"), FileNotFoundError, "checkpoint 'no/such.pth' does not exist"),
        (dict(checkpoint="docs"), FileNotFoundError, "to be a file, but .*docs is a folder"),
        (dict(checkpoint="README.md", method="naclip"), IncompatibleComponents, "naclip does not go with DummyTra"),
        (dict(vfm="dino", clip="ViT-B-32"), IncompatibleComponents, "Leave out --vfm dino --clip ViT-B-32"),
        (dict(config=TINY, checkpoint="README.md"), ValueError, "training-free: leave it out.*--vfm NAME,FILE"),
        (dict(config=TINY, checkpoint="README.md", method="maskclip"), ValueError, "MaskCLIP.* is training-free"),
    ],
)
def test_wrong_checkpoints_and_options_are_refused(config, options, error, message):
    with pytest.raises(error, match=message):
        load(**{"config": config, **options})


def test_missing_checkpoint_is_refused_before_data_are_read(config, tmp_path, capsys):
    assert evaluate(config, tmp_path, "--cfg-options", "test_dataloader.dataset.type=BaseSegDataset") == 1
    assert "train it first" in capsys.readouterr().err


def test_checkpoint_may_be_named_by_the_config(config, weights):
    by_option = load(config, cfg_options=(f"model.checkpoint={weights}",))
    assert by_option.model.checkpoint == str(weights)
    with pytest.raises(FileNotFoundError, match=r"last\.pth"):
        load(config, checkpoint=str(weights), cfg_options=("model.checkpoint=last.pth",))


def test_identity_follows_the_checkpoint_and_the_code(config, weights, tmp_path, monkeypatch):
    def identity(config=config, **options):
        return run_identity(*load_config(EvalOptions(config=str(config), **options)), "cpu")

    base = identity(checkpoint=str(weights))
    moved = shutil.copy(weights, tmp_path / "moved.pth")
    assert identity(checkpoint=str(moved)) == base
    assert identity(checkpoint=str(save(tmp_path / "other.pth", seed=2))) != base
    assert identity(checkpoint=str(weights), cfg_options=("model.student.depth=2",)) != base
    assert identity(checkpoint=str(weights), cfg_options=("train_cfg.max_iters=99",)) == base
    training_free = make_world(tmp_path / "world")
    hash_code = provenance.hash_code
    before = identity(training_free)
    for target in ("proxyclip.engine.evaluation.identity.hash_code", "proxyclip.engine.evaluation.record.hash_code"):
        monkeypatch.setattr(target, lambda trained=False: "other code" if trained else hash_code())
    assert identity(training_free) == before and identity(checkpoint=str(weights)) != base


def test_describe_method_reads_the_attributes_of_the_class(monkeypatch):
    own = type("OwnModel", (DummyTrained,), {"method": "some_method"})
    monkeypatch.setitem(MODELS.module_dict, "OwnModel", own)
    monkeypatch.setitem(MODELS.module_dict, "Derived", type("Derived", (own,), {}))
    info = describe_method(dict(type="OwnModel"))
    assert (info.name, info.needs_checkpoint, info.uses_trained_code) == ("some_method", True, True)
    assert describe_method(dict(type="Derived")).name == "Derived"  # a subclass is another method
    assert not describe_method(dict(type=BASE_SEGMENTOR)).needs_checkpoint
    unknown = describe_method(dict(type="no such model"))
    assert (unknown.name, unknown.cls, unknown.needs_checkpoint) == (None, None, False)
    info = describe_method(Config.fromfile(ROOT / "configs/trained/maskclip_plus/tinyworld_teacher.py").model)
    assert (info.name, info.needs_checkpoint, info.uses_trained_code) == ("maskclip_teacher", False, True)


def test_find_config_knows_configs_of_trained_models(tmp_path, monkeypatch):
    monkeypatch.setattr("proxyclip.engine.config.names.ROOT", tmp_path)
    for name in ("cfg_voc21", "trained/some_method/zero_shot/voc20", "trained/some_method/_base_/model"):
        path = tmp_path / f"configs/{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with pytest.raises(ConfigNotFound, match=r"did you mean configs/trained/\S+/voc20\.py\?"):
        find_config("configs/trained/some_method/voc20.py")
    with pytest.raises(ConfigNotFound, match=r"known are configs/cfg_voc21\.py and 1 in folders below configs$"):
        find_config("x")
    assert _known_configs() == ["configs/cfg_voc21.py", "configs/trained/some_method/zero_shot/voc20.py"]
