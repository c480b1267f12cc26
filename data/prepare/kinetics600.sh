#!/usr/bin/env bash
# Kinetics-600: manifest, scan, prepare. Run it again and it goes on where it was.
VIDEOS=${1:-}      # folder with the videos, at any depth: train/ val/, flat or by class
ANNOTATIONS=${2:-} # folder with train.csv and val.csv (or validate.csv, or CVDF's .txt)
source "$(dirname "$0")/steps.sh"

check_paths
train=$(annotation train.csv train.txt)
val=$(annotation val.csv validate.csv val.txt)
make_part train kinetics600 --annotations "$train" --labels "$CLASSES"
make_part val kinetics600 --annotations "$val" --labels "$CLASSES"
