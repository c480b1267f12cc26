#!/usr/bin/env bash
# Something-Something V1: manifest, scan, prepare. Run it again and it goes on where it was.
VIDEOS=${1:-}      # folder with the videos, ID.mp4, made of the pictures as the card says
ANNOTATIONS=${2:-} # folder with something-something-v1-train.csv, something-something-v1-validation.csv, something-something-v1-labels.csv
source "$(dirname "$0")/steps.sh"

check_paths
train=$(annotation something-something-v1-train.csv)
val=$(annotation something-something-v1-validation.csv)
make_part train ssv1 --annotations "$train"
make_part val ssv1 --annotations "$val"
