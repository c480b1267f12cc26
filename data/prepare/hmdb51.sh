#!/usr/bin/env bash
# HMDB51, its three folds: manifest, scan, prepare. Run it again and it goes on where it was.
VIDEOS=${1:-}      # folder with the videos, CLASS/NAME.avi
ANNOTATIONS=${2:-} # folder with CLASS_test_split1.txt ...: testTrainMulti_7030_splits
source "$(dirname "$0")/steps.sh"

check_paths
for fold in 1 2 3; do # the folds share their videos, and each is written once
    for part in train test; do
        make_part "$part$fold" hmdb51 --annotations "$ANNOTATIONS" --labels "$CLASSES" \
            --split "$part$fold"
    done
done
