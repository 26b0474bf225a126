#!/usr/bin/env bash
# Line and branch coverage of skreg/ by all its tests.
#
#     bash docs/reliability/coverage.sh [PYTHON...]
#
# runs the tests, then the slow ones, with the `python` that is active, and prints the
# figures of each file that is not covered whole, and the total. Each PYTHON, if given,
# is that of another environment, such as one with the oldest supported versions: it
# runs the tests, without the pages, and the figures are of all together. Processes
# that the tests start count as well. Each environment needs the extra `test` and
# coverage. It takes half an hour. `python -m coverage html` then shows the lines.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# The same drawn cases in each run, and one BLAS thread.
export CI=true OPENBLAS_NUM_THREADS=1
# In one process: it ends by itself, so that its figures are written.
export PYTEST_ADDOPTS="-n 0"
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"

python -m coverage erase
# A test that fails does not keep the figures back.
status=0
python -m coverage run -m pytest -q || status=$?
python -m coverage run -m pytest -q -m slow || status=$?
for other in "$@"; do
    "$other" -m coverage run -m pytest -q tests skreg || status=$?
done
python -m coverage combine -q
python -m coverage report || status=$?
exit "$status"
