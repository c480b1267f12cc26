#!/usr/bin/env bash
# Diving48: manifest, scan, prepare. Run it again and it goes on where it was.
VIDEOS=${1:-}      # folder with the videos, VID_NAME.mp4: rgb
ANNOTATIONS=${2:-} # folder with Diving48_V2_train.json, Diving48_V2_test.json, Diving48_vocab.json
source "$(dirname "$0")/steps.sh"

check_paths
train=$(annotation Diving48_V2_train.json)
val=$(annotation Diving48_V2_test.json)
make_part train diving48 --annotations "$train"
make_part val diving48 --annotations "$val"
