"""Tokens followed from window to window."""

import numpy as np

from stvit_video.visualize.tubes import link_tubes


def steps(*drawn):
    """Windows and owners, written as `0:aab` for a window and a row of three patches."""
    found = []
    for words in drawn:
        window, letters = words.split(":")
        row = [-1 if letter == "." else "abcdefgh".index(letter) for letter in letters]
        found.append((int(window), np.array([row], np.int32)))
    return found


def test_inside_a_window_a_token_keeps_its_tube_where_it_moves():
    tubes = link_tubes(steps("0:aab", "0:baa", "0:b.a"))
    assert tubes[:, 0].tolist() == [[0, 0, 1], [1, 0, 0], [1, -1, 0]]


def test_the_next_window_goes_on_with_what_each_token_overlaps_most():
    tubes = link_tubes(steps("0:aabbc", "1:bbaac", "2:ccccc"))
    assert tubes[:, 0].tolist() == [[0, 0, 1, 1, 2], [0, 0, 1, 1, 2], [0] * 5]


def test_a_tube_goes_on_once_and_the_most_patches_are_kept_in_all():
    """Both b and c overlap tube 0; that c goes on keeps 3 patches, b 1."""
    tubes = link_tubes(steps("0:aaaab", "1:bccca"))
    assert tubes[1, 0].tolist() == [2, 0, 0, 0, 1]


def test_a_token_that_overlaps_none_begins_a_tube():
    tubes = link_tubes(steps("0:a...", "1:..aa", "2:a.bb"))
    assert tubes[:, 0].tolist() == [[0, -1, -1, -1], [-1, -1, 1, 1], [2, -1, 1, 1]]


def test_a_token_that_appears_late_takes_no_tube_of_its_own_window():
    tubes = link_tubes(steps("0:aab", "0:acb", "0:aab"))
    assert tubes[:, 0].tolist() == [[0, 0, 1], [0, 2, 1], [0, 0, 1]]


def test_tokens_of_another_stretch_of_a_window_go_on_like_those_of_a_window():
    """Scope `tube`: tokens 0 and 1 own the first steps, 2 and 3 those after."""
    tubes = link_tubes(steps("0:aab", "0:abb", "0:dcc", "0:ddc"))
    assert tubes[:, 0].tolist() == [[0, 0, 1], [0, 1, 1], [0, 1, 1], [0, 0, 1]]
