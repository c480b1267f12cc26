#!/usr/bin/env bash
# UCF101, its three folds: manifest, scan, prepare. Run it again and it goes on where it was.
VIDEOS=${1:-}      # folder with the videos, CLASS/v_CLASS_g01_c01.avi: UCF-101
ANNOTATIONS=${2:-} # folder with trainlist01.txt ... testlist03.txt: ucfTrainTestlist
source "$(dirname "$0")/steps.sh"

check_paths
for fold in 1 2 3; do # the folds share their videos, and each is written once
    for part in train test; do
        list=$(annotation "${part}list0$fold.txt")
        make_part "$part$fold" ucf101 --annotations "$list" --labels "$CLASSES"
    done
done
