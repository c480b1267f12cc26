#!/usr/bin/env bash
# Moments in Time: manifest, scan, prepare. Run it again and it goes on where it was.
VIDEOS=${1:-}      # folder with training/ and validation/: Moments_in_Time_Raw
ANNOTATIONS=${2:-} # folder with trainingSet.csv, validationSet.csv and moments_categories.txt
source "$(dirname "$0")/steps.sh"

check_paths
train=$(annotation trainingSet.csv)
val=$(annotation validationSet.csv)
make_part train moments --annotations "$train"
make_part val moments --annotations "$val"
