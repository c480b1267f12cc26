"""What only a CUDA device shows; run with -m gpu."""

import dataclasses
import warnings

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import Checkpoint
from rich.console import Console
from torch.utils.data import DataLoader

from stvit_video.datasets.batches import Batch
from stvit_video.datasets.from_settings import build_evaluation_loader, read_videos
from stvit_video.evaluation.evaluate import score_videos
from stvit_video.evaluation.predictor import Predictor
from stvit_video.evaluation.run import Results, run_evaluation
from stvit_video.models.device import choose_devices
from stvit_video.models.registry import build_model, create_model
from stvit_video.settings.data import AugmentationConfig, DataConfig
from stvit_video.settings.model import ModelConfig
from stvit_video.settings.training import OptimizerConfig, RunConfig, TrainConfig
from stvit_video.settings.views import ViewConfig
from stvit_video.training.callbacks import AverageWeights
from stvit_video.training.classifier import VideoClassifier
from stvit_video.training.fit import build_trainer
from stvit_video.training.run import run_training
from stvit_video.training.step_log import StepLog
from stvit_video.training.step_size import StepSize
from stvit_video.video.pixels.batch import BatchTransform

pytestmark = pytest.mark.gpu
VIEWS = ViewConfig(num_clips=2, num_crops=3)
DEVICES = (torch.device("cpu"), torch.device("cuda"))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_model(ModelConfig(name="demo_tiny", semantic="4x2x2@2"), num_classes=2)


@pytest.fixture(params=[0, 2])
def loaders(request, class_folder_root, model):
    """The same views, made on the CPU and on the GPU."""
    records = read_videos(class_folder_root).records
    return [
        build_evaluation_loader(
            records,
            model.preprocessing,
            data=DataConfig(num_workers=request.param),
            views=VIEWS,
            batch_size=12,
            device=device,
        )
        for device in DEVICES
    ]


def test_clips_made_on_the_gpu_are_those_of_the_cpu(loaders):
    for on_cpu, on_gpu in zip(*loaders, strict=True):
        assert on_gpu.clip.device.type == on_gpu.label.device.type == "cuda"
        assert torch.equal(on_cpu.label, on_gpu.label.cpu())
        assert torch.equal(on_cpu.video_index, on_gpu.video_index)
        difference = (on_cpu.clip.float() - on_gpu.clip.cpu().float()).abs()
        assert difference.max() <= 3  # grey levels


def test_scores_on_the_gpu_are_those_of_the_cpu(loaders, model):
    on_cpu, on_gpu = (
        score_videos(
            model,
            loader,
            preprocessing=model.preprocessing,
            views=VIEWS,
            device=device,
            batch_size=5,
        )
        for device, loader in zip(DEVICES, loaders, strict=True)
    )
    assert torch.equal(on_cpu.video_index, on_gpu.video_index)
    torch.testing.assert_close(on_cpu.scores, on_gpu.scores, atol=5e-3, rtol=0)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_many_predictions_on_the_gpu_are_those_of_each_file(class_folder_root, model, num_workers):
    files = [record.path for record in read_videos(class_folder_root).records]
    predictor = Predictor(model, views=VIEWS, device="cuda")
    found = list(predictor.predict_many(files, batch_size=13, num_workers=num_workers))
    alone = [predictor.predict(file) for file in files]
    assert [prediction.video for prediction in found] == list(map(str, files))
    for one, other in zip(found, alone, strict=True):
        scores = {entry["index"]: entry["score"] for entry in other.topk}
        assert {entry["index"]: entry["score"] for entry in one.topk} == pytest.approx(
            scores, abs=1e-4
        )
        assert one.model_milliseconds > 0


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method`:DeprecationWarning")  # torch's own
def test_training_on_the_gpu_learns_from_files(class_folder_root, tmp_path):
    run = RunConfig(
        model=ModelConfig(name="demo_tiny"),
        data=DataConfig(train=class_folder_root, val=class_folder_root, num_workers=2),
        augmentation=AugmentationConfig(flip=0.0),
        train=TrainConfig(epochs=8, batch_size=4, devices=1),
    )
    report = run_training(run, tmp_path / "run", console=Console(quiet=True), label="train")
    assert len(report.epochs) == 8
    assert report.epochs[-1].train_loss < report.epochs[0].train_loss
    assert (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("setting", ["16@2", "4x1x4@2,centers=far,scope=tube,layers=1"])
def test_far_centres_are_one_graph(setting, dtype):
    torch.manual_seed(0)
    model = create_model("demo_tiny", semantic=setting).eval().to("cuda", dtype)
    clip = torch.randn(2, 3, 8, 64, 64, device="cuda", dtype=dtype)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    with torch.inference_mode():
        torch.testing.assert_close(compiled(clip), model(clip))


def test_far_centres_train_under_autocast():
    torch.manual_seed(0)
    model = create_model("demo_tiny", semantic="16@2").cuda()
    with torch.autocast("cuda", dtype=torch.bfloat16):
        loss = model(torch.randn(4, 3, 8, 64, 64, device="cuda")).square().mean()
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.fixture
def no_waiting():
    """Leave the debug mode of the test behind it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Synchronization debug mode")
        yield
    torch.cuda.set_sync_debug_mode("default")


class _NoWaiting(Callback):
    """Makes an error of it where the host waits for the device in steps 3 to 6."""

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        torch.cuda.set_sync_debug_mode("error" if 2 <= batch_idx < 6 else "default")

    def on_train_batch_end(self, *_):
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize(
    "augmentation",
    [
        AugmentationConfig(),
        AugmentationConfig(erase=0.5, mixup=0.8, cutmix=1.0, label_smoothing=0.1),
        AugmentationConfig(color_jitter=0.4, gray=0.2),
        AugmentationConfig(rand_augment="rand-m7-n4-mstd0.5-inc1"),
    ],
    ids=["flip", "mix", "colour", "rand_augment"],
)
@pytest.mark.parametrize("settings", [{}, {"ema_decay": 0.9, "accumulate_steps": 2}])
@pytest.mark.filterwarnings(
    "ignore:You defined a `validation_step`", "ignore:The .train_dataloader"
)
@pytest.mark.filterwarnings("ignore:`isinstance.treespec", "ignore:Found .* in eval mode")
@pytest.mark.usefixtures("no_waiting")
def test_the_host_never_waits_for_the_device_in_a_step(tmp_path, augmentation, settings):
    run = TrainConfig(epochs=1, batch_size=4, devices=1, precision="bf16-mixed", **settings)
    run = dataclasses.replace(run, compile=False)
    model = create_model("demo_tiny", num_classes=3, drop_path=0.1)
    shape = model.preprocessing
    size = (4, 3, shape.num_frames, shape.image_size, shape.image_size)
    number = torch.arange(4)
    clip = torch.randint(0, 256, size, dtype=torch.uint8, device="cuda")
    batch = Batch(clip, number.cuda() % 3, number, number * 0)
    module = VideoClassifier(
        model,
        num_classes=3,
        num_videos=4,
        optimizer=OptimizerConfig(clip_grad_norm=1.0),
        train=run,
        augment=BatchTransform(shape, augmentation, class_names=("a", "b", "c")),
    )
    loader = DataLoader([batch] * 8, batch_size=None)
    loader.clips_per_item = 1
    step = StepSize(4, 1, 1, run.accumulate_steps)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StepSize, "of", lambda trainer: step)
        callbacks = [AverageWeights(), StepLog(run, tmp_path), _NoWaiting(), Checkpoint()]
        build_trainer(run, run_dir=tmp_path, callbacks=callbacks, clip_grad_norm=1.0).fit(
            module, loader
        )
    assert module.trainer.global_step == 8 // run.accumulate_steps


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_all_gpus_together_score_as_one_does(class_folder_root, model, tmp_path):
    reports = [
        run_evaluation(
            model,
            class_folder_root,
            data=DataConfig(num_workers=2),
            views=VIEWS,
            devices=devices,
            batch_size=6,
            results=Results(folder=tmp_path / str(len(devices))),
            progress=(Console(quiet=True), ""),
        )
        for devices in ([torch.device("cuda", 0)], choose_devices("auto"))
    ]
    assert reports[1].device == f"{torch.cuda.device_count()} x cuda"
    assert reports[0].classes == reports[1].classes
    one, all_ = (tmp_path / str(n) / "views.npz" for n in (1, torch.cuda.device_count()))
    assert one.read_bytes() == all_.read_bytes()


@pytest.mark.parametrize("pool", ["max", "avg", "learned"])
@pytest.mark.usefixtures("no_waiting")
def test_a_semantic_model_never_waits_for_the_device(pool):
    model = create_model("demo_tiny", semantic=f"4x2x2@2,pool={pool}").cuda()
    shape = model.preprocessing
    clip = torch.randn(2, 3, shape.num_frames, shape.image_size, shape.image_size, device="cuda")
    model(clip).sum().backward()  # tables are made
    torch.cuda.set_sync_debug_mode("error")
    model(clip).sum().backward()
