"""The mean loss of an epoch, and losses that are looked at once they have arrived."""

import pytest
import torch

from stvit_video.errors import TrainingError
from stvit_video.training.losses import EpochMean, LossWatch

CPU = torch.device("cpu")


def test_the_mean_is_over_clips_and_begins_anew():
    mean = EpochMean()
    mean.add(torch.tensor(2.0), 3)
    mean.add(torch.tensor(6.0), 1)
    assert mean.over_all(CPU).tolist() == [12.0, 4.0]
    assert mean.take(CPU) == 3.0
    assert str(mean.take(CPU)) == "nan"
    mean.add(torch.tensor(1.0), 1)
    assert mean.take(CPU) == 1.0


class Event:
    """Of a device that is behind: nothing has arrived unless one waits for it."""

    waited = False

    def record(self):
        pass

    def query(self):
        return False

    def synchronize(self):
        self.waited = True


@pytest.fixture
def device_loss(monkeypatch):
    """Make a loss that looks as if it were on a GPU."""
    monkeypatch.setattr(torch.cuda, "Event", Event)

    class Loss(torch.Tensor):
        is_cuda = True

    return lambda value: torch.tensor(value).as_subclass(Loss)


def test_a_loss_that_has_not_arrived_is_waited_for_only_where_it_is_asked_for(device_loss):
    watch = LossWatch("video {}".format)
    watch.add(device_loss(1.0), step=1, epoch=1, videos=[0])
    watch.add(device_loss(float("inf")), step=2, epoch=1, videos=[3, 1, 4, 1, 5, 9])
    watch.add(device_loss(1.0), step=3, epoch=1, videos=[0])
    with pytest.raises(TrainingError) as caught:
        watch.check()
    assert str(caught.value) == (
        "the loss is inf at step 2 (epoch 1), of video 3, video 1, video 4, video 5 and 1 more;"
        " lower optimizer.lr, or set optimizer.clip_grad_norm: the same command goes on from the"
        " last checkpoint"
    )
