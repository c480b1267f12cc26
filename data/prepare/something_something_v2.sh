#!/usr/bin/env bash
# Something-Something V2: manifest, scan, prepare. Run it again and it goes on where it was.
VIDEOS=${1:-}      # folder with the videos, ID.webm: 20bn-something-something-v2
ANNOTATIONS=${2:-} # folder with train.json and validation.json, in either set of names
source "$(dirname "$0")/steps.sh"

check_paths
train=$(annotation train.json something-something-v2-train.json)
val=$(annotation validation.json something-something-v2-validation.json)
make_part train ssv2 --annotations "$train" --labels "$CLASSES"
make_part val ssv2 --annotations "$val" --labels "$CLASSES"
