#!/usr/bin/env bash
# Charades: manifest, scan, prepare. Run it again and it goes on where it was.
VIDEOS=${1:-}      # folder with the videos, ID.mp4: Charades_v1_480
ANNOTATIONS=${2:-} # folder with Charades_v1_train.csv, Charades_v1_test.csv, Charades_v1_classes.txt
source "$(dirname "$0")/steps.sh"

check_paths
train=$(annotation Charades_v1_train.csv)
val=$(annotation Charades_v1_test.csv)
make_part train charades --annotations "$train"
make_part val charades --annotations "$val"
