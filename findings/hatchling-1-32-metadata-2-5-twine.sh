#!/usr/bin/env bash
# A wheel that hatchling builds from 1.32 on is refused by twine 6.2, the newest before 7.
#
# Behaviour: hatchling 1.31.0 writes Metadata-Version 2.4, hatchling 1.32.0 writes 2.5, for a project
# of a name and a version that uses nothing of 2.5. `twine check` of 6.2.0 calls that wheel an
# InvalidDistribution, '2.5' is not a valid metadata version, and does so beside packaging 26.4 too,
# with which twine 7.0.0 passes it. So a release process that pins twine and lets the build backend
# float, which build isolation does, stops at its last step.
# A guess would be that a backend raises the version of its metadata only for projects that use a
# new field, or years after the uploaders know it, and that twine judges by the packaging it finds.
#
# Seen with hatchling 1.31.0, 1.32.0 and 1.33.0, twine 6.2.0 and 7.0.0, packaging 26.4, on Python
# 3.11, 2026-11-30.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
bin=$folder/venv/bin

install() {
    "$bin/pip" install --quiet --quiet --disable-pip-version-check "$@"
}

mkdir -p "$folder/one"
touch "$folder/one/__init__.py"
cat >"$folder/pyproject.toml" <<'TOML'
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "one"
version = "1.0"
TOML

for pair in 1.31.0:2.4 1.32.0:2.5 1.33.0:2.5; do
    install "hatchling==${pair%:*}"
    rm -rf "$folder/dist"
    (cd "$folder" && "$bin/python" -m hatchling build -t wheel -d dist >/dev/null 2>&1)
    written=$("$bin/python" -m zipfile -e "$folder"/dist/*.whl "$folder/out" &&
        sed -n 's/^Metadata-Version: //p' "$folder"/out/one-1.0.dist-info/METADATA)
    echo "hatchling ${pair%:*} writes metadata $written"
    test "$written" = "${pair#*:}"
done

for case in 6.2.0:26.4:refused 7.0.0:26.4:passed; do
    IFS=: read -r twine packaging expected <<<"$case"
    install "twine==$twine" "packaging==$packaging"
    found=passed
    said=$("$bin/twine" --no-color check "$folder"/dist/*.whl 2>&1) || found=refused
    echo "twine $twine with packaging $packaging: $found"
    test "$found" = "$expected"
    test "$found" = passed || grep -q "InvalidDistribution" <<<"$said"
done
