#!/usr/bin/env bash
# Jester: manifest, scan, prepare. Run it again and it goes on where it was.
VIDEOS=${1:-}      # folder with the videos, ID.mp4, made of the pictures as the card says
ANNOTATIONS=${2:-} # folder with jester-v1-train.csv, jester-v1-validation.csv, jester-v1-labels.csv
source "$(dirname "$0")/steps.sh"

check_paths
train=$(annotation jester-v1-train.csv)
val=$(annotation jester-v1-validation.csv)
make_part train jester --annotations "$train"
make_part val jester --annotations "$val"
