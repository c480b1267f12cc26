#!/usr/bin/env bash
# EPIC-KITCHENS-100: manifest, scan, prepare. Run it again and it goes on where it was.
VIDEOS=${1:-}      # folder with the videos, P01/videos/P01_01.MP4: EPIC-KITCHENS
ANNOTATIONS=${2:-} # folder with EPIC_100_train.csv, EPIC_100_validation.csv and the files of classes
source "$(dirname "$0")/steps.sh"

check_paths
train=$(annotation EPIC_100_train.csv)
val=$(annotation EPIC_100_validation.csv)
for part in verbs nouns; do
    make_part "${part}_train" "epic-$part" --annotations "$train" --num_workers 2
    make_part "${part}_val" "epic-$part" --annotations "$val" --num_workers 2
done
