#!/bin/sh
# Compares the Go benchmarks of this tree with those of another commit: builds both, runs them in turns, so that a machine that
# gets slower meanwhile harms both alike, and prints what benchstat makes of it.
# usage: scripts/bench-compare.sh BASE [package directory ...]
# COUNT is how often each runs, BENCH which of them, BENCHTIME how long.
set -eu

if [ $# -lt 1 ] || [ -z "$1" ]; then
	echo "bench-compare: say what to compare with: make bench-compare BASE=main" >&2
	exit 2
fi
base=$1
shift
: "${COUNT:=6}" "${BENCH:=.}" "${BENCHTIME:=100ms}"
# The pieces that every connection, request or datagram passes.
[ $# -gt 0 ] || set -- sni upstream l4/flow l4/peek l7/route l7/http1 l7/http2 internal/eventloop

here=$(git rev-parse --show-toplevel)
cd "$here"
commit=$(git rev-parse --verify --quiet "$base^{commit}") || {
	echo "bench-compare: $base is no commit here" >&2
	exit 2
}

scratch=$(mktemp -d)
# The worktree is removed as git wants it, so that git does not remember it.
clean() {
	git worktree remove --force "$scratch/tree" 2>/dev/null || true
	rm -rf "$scratch"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
git worktree add --quiet --detach "$scratch/tree" "$commit"

# build TREE NAME PACKAGE: makes the test binary, unless the package has no tests or is not there.
build() {
	[ -d "$1/$3" ] || return 0
	(cd "$1" && go test -c -o "$scratch/$2-$(echo "$3" | tr / -).test" "./$3")
}

# measure TREE NAME PACKAGE: adds one run to the results of the tree. It runs where its testdata is.
measure() {
	binary="$scratch/$2-$(echo "$3" | tr / -).test"
	[ -x "$binary" ] || return 0
	(cd "$1/$3" && "$binary" -test.run '^$' -test.bench "$BENCH" -test.benchmem -test.benchtime "$BENCHTIME") >>"$scratch/$2.txt"
}

for package in "$@"; do
	build "$scratch/tree" base "$package"
	build "$here" here "$package"
done
round=1
while [ "$round" -le "$COUNT" ]; do
	echo "bench-compare: round $round of $COUNT" >&2
	for package in "$@"; do
		if [ $((round % 2)) -eq 1 ]; then
			measure "$scratch/tree" base "$package"
			measure "$here" here "$package"
		else
			measure "$here" here "$package"
			measure "$scratch/tree" base "$package"
		fi
	done
	round=$((round + 1))
done
go tool -modfile=tools/go.mod benchstat "$base=$scratch/base.txt" "here=$scratch/here.txt"
