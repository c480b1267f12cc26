"""Which items a process serves, in which order, with which seeds."""

import hashlib

import pytest
import torch
from torch import distributed

from stvit_video.datasets.sampler import EpochSampler, Place, Share, ShareSampler
from stvit_video.errors import DatasetError


def _keys(num_items, epoch, *, shuffle=True, seed=2):
    sampler = EpochSampler(num_items, shuffle=shuffle, seed=seed)
    sampler.set_epoch(epoch)
    return list(sampler)


@pytest.mark.parametrize("shuffle", [True, False])
def test_processes_share_an_epoch_without_serving_an_item_twice(monkeypatch, shuffle):
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 3)
    shares = []
    for rank in range(3):
        monkeypatch.setattr(distributed, "get_rank", lambda rank=rank: rank)
        sampler = EpochSampler(11, shuffle=shuffle, seed=2)
        shares.append([key.item for key in sampler])
        assert len(sampler) == len(shares[-1])
    served = sorted(item for share in shares for item in share)
    if shuffle:
        assert [len(share) for share in shares] == [3, 3, 3]
        assert len(set(served)) == 9
    else:
        assert shares == [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8]]


def test_more_processes_than_items_are_refused(monkeypatch):
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 3)
    monkeypatch.setattr(distributed, "get_rank", lambda: 0)
    with pytest.raises(DatasetError) as error:
        len(EpochSampler(2, shuffle=True, seed=2))
    assert str(error.value) == "data set of 2 items is too small for 3 processes"


def test_an_epoch_sampler_changes_its_order_and_its_seeds_with_the_epoch():
    first, second = _keys(11, 0), _keys(11, 1)
    assert sorted(key.item for key in first) == list(range(11))
    assert [key.item for key in first] != [key.item for key in second]
    assert len({key.seed for key in first + second}) == 22
    assert first == _keys(11, 0)
    assert first != _keys(11, 0, seed=3)


def test_keys_are_the_same_in_every_version():
    assert _keys(3, 3, shuffle=False) == [
        (0, 1116442650033686309),
        (1, 3318281623411387209),
        (2, 4751121240438099485),
    ]
    keys = str([tuple(key) for key in _keys(1000, 1, seed=7)])
    digest = "ab13b7d62181ae1042049a95bc87e7586def42c2310689ec0b8e0bc3bc41e2b2"
    assert hashlib.sha256(keys.encode()).hexdigest() == digest


def test_an_order_holds_no_more_memory_than_the_share_of_its_process(monkeypatch):
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 3)
    monkeypatch.setattr(distributed, "get_rank", lambda: 1)
    order = EpochSampler(11, shuffle=True, seed=2).order(0)
    assert order.untyped_storage().nbytes() == 3 * 8


@pytest.mark.parametrize(("before", "after"), [(2, 3), (3, 2), (4, 1), (1, 4)])
def test_another_number_of_processes_goes_on_behind_what_all_were_served(
    monkeypatch, before, after
):
    def epoch(rank, size, place=None):
        monkeypatch.setattr(f"{EpochSampler.__module__}._rank_and_size", lambda: (rank, size))
        sampler = EpochSampler(50, shuffle=True, seed=3)
        if place:
            sampler.go_to(place)
        places = list(sampler.places(2, drop_last=True))
        return [key.item for key in sampler], places

    whole = epoch(0, 1)[0]
    first = [epoch(rank, before) for rank in range(before)]
    place = first[0][1][2]  # three batches of two items
    assert place == Place(0, 3 * 2 * before)
    assert first[0][1][-1] == Place(1, 0)
    served = {item for items, _ in first for item in items[: 3 * 2]}
    assert served == set(whole[: place.served])
    rest = [epoch(rank, after, place) for rank in range(after)]
    left = (50 - place.served) // after
    assert [len(items) for items, _ in rest] == [left] * after
    assert [len(places) for _, places in rest] == [left // 2] * after
    assert {item for items, _ in rest for item in items} == set(
        whole[place.served : place.served + left * after]
    )


def _batches(left, num_processes, batch_size=4):
    shares = [Share(rank, num_processes, torch.tensor(left)) for rank in range(num_processes)]
    samplers = [ShareSampler(share, batch_size=batch_size) for share in shares]
    served = [[[key.item for key in batch] for batch in sampler] for sampler in samplers]
    assert [len(sampler) for sampler in samplers] == [len(share) for share in served]
    return served


def test_shares_are_batches_of_neighbours_whatever_the_number_of_processes():
    whole = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13]]
    assert _batches(list(range(14)), 1) == [whole]
    assert _batches(list(range(14)), 3) == [[whole[0], whole[3]], [whole[1]], [whole[2]]]


def test_after_a_stop_batches_are_those_of_before():
    left = [2, *range(8, 14)]  # of the first batch, a video that did not decode
    assert _batches(left, 1) == [[[2], [8, 9, 10, 11], [12, 13]]]
    assert _batches([5], 2) == [[[5]], []]


def test_the_keys_of_a_share_are_those_of_an_epoch_in_order():
    keys = [key for batch in ShareSampler(Share(0, 1, torch.arange(7)), batch_size=3)
            for key in batch]  # fmt: skip
    assert keys == list(EpochSampler(7, shuffle=False, seed=0))
