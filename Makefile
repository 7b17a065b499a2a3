# make play    sets up .venv the first time, then opens the window    (options: make play ARGS="--web")
# make test    the same, then runs the tests                          (options: make test ARGS="-k download")
#
# A second run starts at once. Another Python than the first fit one on PATH: make play PYTHON=python3.12

PYTHON ?= python3
ARGS ?=

.PHONY: play test

play:
	@PYTHON="$(PYTHON)" sh .ci/setup requirements.txt
	@.venv/bin/python Activation_Matrix_To_Sound.py $(ARGS)

test:
	@PYTHON="$(PYTHON)" sh .ci/setup requirements-dev.txt
	@.venv/bin/python -m pytest -q --durations=10 -n auto --maxprocesses 4 --dist loadfile $(ARGS)
