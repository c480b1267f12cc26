# What the scripts beside this one share; sourced, not run.
set -euo pipefail

DATA=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
SET=$(basename "$0" .sh)
PROGRAM=${STVIT_VIDEO:-stvit-video}
NAME=${SET%_2020} # editions of one data set share its card and its classes
CLASSES=$DATA/classes/$NAME.txt
RECIPE=${3:-} # file with the settings of a training, whose way of reading the new videos suit

fail() {
    echo "$0: $1" >&2
    exit 2
}

# Refuse a call without its two folders, and paths that are not there.
check_paths() {
    if [ -z "$VIDEOS" ] || [ -z "$ANNOTATIONS" ]; then
        echo "usage: $0 VIDEOS ANNOTATIONS [RECIPE] (two folders, a file; data/cards/$NAME.md says which)" >&2
        exit 2
    fi
    [ -d "$VIDEOS" ] || fail "video folder $VIDEOS does not exist"
    [ -d "$ANNOTATIONS" ] || fail "annotation folder $ANNOTATIONS does not exist"
    [ -z "$RECIPE" ] || [ -f "$RECIPE" ] || fail "recipe $RECIPE does not exist"
    command -v "$PROGRAM" >/dev/null ||
        fail "$PROGRAM is not on the PATH; activate the environment or set STVIT_VIDEO"
}

# The first of some names that exists in the folder of annotations.
annotation() {
    local name
    for name in "$@"; do
        if [ -e "$ANNOTATIONS/$name" ]; then
            echo "$ANNOTATIONS/$name"
            return
        fi
    done
    fail "annotation folder $ANNOTATIONS holds no $1${2:+ (or ${*:2})}"
}

# One part of the data set, in three steps that go on where they were:
#   make_part PART LAYOUT [options of data manifest]
# lists the sources in SET/source/PART.csv, decodes each once and notes what is broken, and writes
# videos that training reads fast below SET/prepared, listed in SET/PART.csv: what the recipes read.
# The sources are named by a link, so that nothing is done again when VIDEOS moves or grows.
make_part() {
    local part=$1 layout=$2 source=$DATA/$SET/source
    shift 2
    echo "$SET: $part"
    mkdir -p "$source"
    ln -sfn "$(cd "$VIDEOS" && pwd)" "$source/videos"
    "$PROGRAM" data manifest "$layout" "$source/videos" --num_workers 0 "$@" \
        --output "$source/$part.csv"
    "$PROGRAM" data scan "$source/$part.csv"
    "$PROGRAM" data prepare "$source/$part.csv" "$DATA/$SET/prepared" \
        --output "$DATA/$SET/$part.csv" ${RECIPE:+--recipe "$RECIPE"}
}
