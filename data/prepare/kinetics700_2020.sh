#!/usr/bin/env bash
# Kinetics-700, edition of 2020: manifest, scan, prepare. Run it again and it goes on where it was.
VIDEOS=${1:-}      # folder with the videos, at any depth: train/ val/, flat or by class
ANNOTATIONS=${2:-} # folder with train.csv and val.csv (or validate.csv)
source "$(dirname "$0")/steps.sh"

check_paths
train=$(annotation train.csv)
val=$(annotation val.csv validate.csv)
make_part train kinetics700 --annotations "$train" --labels "$CLASSES"
make_part val kinetics700 --annotations "$val" --labels "$CLASSES"
