# Everything that a user does. `make` alone lists the targets; the list is read from this file.
# Written for GNU make 3.81 (macOS), tried with 4.3. Variables reach the commands by the environment,
# so values with blanks and quotes are safe: make alexnet DATA_DIR='my data'

STUDY ?= $(if $(EPOCHS),single-$(EPOCHS)ep$(if $(BATCH_SIZE),-b$(BATCH_SIZE))$(if $(PRECISION),-$(PRECISION)),reference)
export STUDY ARM SEEDS VARIANT EPOCHS BATCH_SIZE PRECISION GPUS UNTIL DATA_DIR SET KEY MODEL SEED IMAGE RUN EDITION OLD NEW CLUSTER PYTHON LOGS LABEL TITLE AUTHORS IMAGES

# What a module of a cluster, a notebook or a profile sets must not reach Python, TeX or the numbers.
UNWANTED := $(filter-out _UNWANTED = """,$(shell sed -n '/^_UNWANTED = /,/^"""/p' cnnpaper/files.py))
unexport $(UNWANTED)

NETWORKS := $(filter-out recipe cluster,$(basename $(notdir $(wildcard experiments/[a-z0-9]*.toml))))
PAPER := .venv/bin/python -m cnnpaper
TRAIN := .venv-train/bin/python -m cnnpaper
TOOL := .venv-train/bin/python -m
TESTS := $(TOOL) pytest -n 2 --dist loadfile
ON = $(filter-out 0 no false,$(1))
WHICH = --study "$$STUDY" $${ARM:+--arm "$$ARM"} $${SEEDS:+--seeds "$$SEEDS"}
RUNS = $(if $(call ON,$(FORCE)),--force)
need = $(foreach name,$(1),$(if $($(name)),,$(error $(name)=... is missing; `make` alone lists the variables)))
STALE = $(if $(call ON,$(ALLOW_STALE)),--allow-stale)

SUBMIT = $(if $(filter slurm,$(CLUSTER)),$(TRAIN) submit $(WHICH) $(if $(call ON,$(FORCE)),--force),\
	echo "cnnpaper: CLUSTER=$(CLUSTER): only slurm is known" >&2; exit 2;)
KILLED = || { code=$$?; [ $$code -ne 137 ] || echo "cnnpaper: killed (signal 9), as the system does" \
	"when memory runs out; close other programs and rerun (without FORCE), which resumes" >&2; exit $$code; }

TARGETS := help report editions test experiments smoke data status timing tune budget verify \
	reproduce figures tables explain diff bundle predict export import-logs release cancel test-slurm lint audit licences soak bench clean environment \
	training-environment tex
TAKEN := $(filter $(TARGETS),$(NETWORKS))
$(if $(TAKEN),$(error experiments/$(firstword $(TAKEN)).toml: "$(firstword $(TAKEN))" is a target of \
	the Makefile; give the network's file another name))

.DEFAULT_GOAL := help
.PHONY: $(TARGETS) $(NETWORKS)

##@ Start here
help: ## this list
	@awk -v networks="$(NETWORKS)" ' \
	function title(network,   file, line, name) { \
		file = "experiments/" network ".toml"; name = network; \
		while ((getline line < file) > 0) \
			if (line ~ /^name *=/) { split(line, part, "\""); name = part[2] } \
		return name } \
	function show(target, text) { printf "  %-22s %s\n", target, text } \
	/^##@ / { printf "\n%s\n", substr($$0, 5) } \
	/^#: / { name = text = substr($$0, 4); sub(/: .*/, "", name); sub(/^[^:]*: /, "", text); show(name, text) } \
	/^\$$\(NETWORKS\):.*## / { \
		count = split(networks, each, " "); \
		for (i = 1; i <= count; i++) show(each[i], "train " title(each[i])) } \
	/^[a-z][a-z-]*:.*## / { \
		target = $$0; sub(/:.*/, "", target); text = $$0; sub(/.*## /, "", text); \
		show(target, text) }' Makefile

report: environment $(if $(filter %html,$(EDITION)),,tex) ## the paper of STUDY from its logs: report/CNN_report.pdf (no GPU, no torch)
	@$(PAPER) report --study "$$STUDY" $${EDITION:+--edition "$$EDITION"} $(STALE)

test: environment training-environment tex ## run the test suite
	@$(TESTS)

smoke: environment training-environment tex ## a smoke test in minutes: small runs on synthetic images, then their paper
	@$(TRAIN) experiments --study smoke
	@$(PAPER) report --study smoke

##@ Experiments
experiments: training-environment ## train the missing runs of STUDY (skips finished, resumes interrupted)
	@$(if $(CLUSTER),$(SUBMIT),$(TRAIN) experiments $(WHICH) $${UNTIL:+--until "$$UNTIL"} $(RUNS) $(KILLED))

# EPOCHS, BATCH_SIZE or PRECISION without STUDY is a study of its own, single-EPOCHSep
OWN = $(and $(EPOCHS)$(BATCH_SIZE)$(PRECISION),$(filter file,$(origin STUDY)))
$(NETWORKS): training-environment ## the missing runs of one network
	@$(if $(CLUSTER),$(SUBMIT) --model $@,$(TRAIN) train --model $@ $(if $(OWN),,--study "$$STUDY") $${EPOCHS:+--epochs "$$EPOCHS"} \
		$${BATCH_SIZE:+--batch-size "$$BATCH_SIZE"} $${PRECISION:+--precision "$$PRECISION"} $${ARM:+--arm "$$ARM"} $${SEEDS:+--seeds "$$SEEDS"} \
		$${VARIANT:+--variant "$$VARIANT"} $(RUNS) $(KILLED))

cancel: training-environment ## cancel the jobs of STUDY in Slurm; running ones save their state
	@$(TRAIN) cancel --study "$$STUDY"

data: training-environment ## find, fetch and check the images; SET=original or SET=jpeg75 (the reference study)
	@$(TRAIN) data $${SET:+--set "$$SET"}

status: environment ## what of STUDY is done, what is missing, how long it will take
	@$(PAPER) status --study "$$STUDY"

timing: training-environment ## step time of each network of STUDY by section, and its memory; on an idle machine
	@$(TRAIN) timing --study "$$STUDY"

budget: environment ## the steps of each arm of equal time, from the study's timing
	@$(PAPER) budget --study "$$STUDY"

tune: environment ## what study tuning has decided, and what it still has to try
	@$(PAPER) tune $(if $(filter file,$(origin STUDY)),,--study "$$STUDY")

##@ Verify and reproduce
verify: training-environment ## execute miniature and first steps of STUDY's runs again: the same bits?
	@$(TRAIN) verify --study "$$STUDY"

reproduce: training-environment ## train one run from scratch and compare every value: MODEL=alexnet SEED=0 ARM=short
	@$(call need,MODEL)$(TRAIN) reproduce --model "$$MODEL" --seed "$${SEED:-0}" --study "$$STUDY" $${ARM:+--arm "$$ARM"}

##@ From the same logs
editions: environment tex ## all four papers: English and Korean, PDF and HTML
	@for edition in en html ko ko.html; do \
		$(PAPER) report --study "$$STUDY" --edition $$edition $(STALE) || exit; done

figures: environment ## every figure of STUDY as PDF, PNG and SVG, for slides
	@$(PAPER) figures --study "$$STUDY" $(STALE)

tables: environment ## every table of STUDY as CSV and Markdown
	@$(PAPER) tables --study "$$STUDY" $(STALE)

explain: environment ## trace a number to its source: KEY=short.resnet18.test_acc, or as printed: KEY=78.92
	@$(call need,KEY)$(PAPER) explain --study "$$STUDY" -- "$$KEY"

diff: environment ## what changed from one paper to another: OLD=a.pdf NEW=b.pdf
	@$(call need,OLD NEW)$(PAPER) diff -- "$$OLD" "$$NEW" || [ $$? -eq 1 ] # 1: they differ

bundle: environment tex ## the paper's TeX sources, figures and tables in one archive, for a publisher
	@$(PAPER) bundle --study "$$STUDY" $(STALE)

predict: training-environment ## classify an image by a trained run: IMAGE=cat.jpg RUN=reference/short/resnet18-s0
	@$(call need,IMAGE RUN)$(TRAIN) predict "$$IMAGE" --run "$$RUN"

export: environment ## STUDY's logs as TensorBoard's event files
	@$(PAPER) export --tensorboard --study "$$STUDY"

import-logs: environment ## make a study of text logs of the 2023 program: LOGS=folder STUDY=name AUTHORS='A, B'
	@$(call need,LOGS)$(PAPER) import-logs "$$LOGS" --study "$$STUDY" $${LABEL:+--label "$$LABEL"} $${TITLE:+--title "$$TITLE"} \
		$${AUTHORS:+--authors "$$AUTHORS"} $${IMAGES:+--data "$$IMAGES"}

release: environment ## one archive: sources, logs, predictions, papers and their digests
	@$(PAPER) release

##@ For those who change it
lint: training-environment ## ruff and mypy
	@$(TOOL) ruff check
	@$(TOOL) ruff format --check
	@$(TOOL) mypy

audit: training-environment ## known vulnerabilities of the locked packages
	@.venv-train/bin/uv audit --frozen

licences: training-environment ## the licence of every package
	@.venv-train/bin/uv tool run pip-licenses==5.5.5 --python .venv-train/bin/python

soak: environment training-environment tex ## the long tests: kills, simulations, every kind of document
	@$(TESTS) -m soak

test-slurm: environment training-environment ## the tests on a Slurm of one node, which they start
	@$(TOOL) pytest tests/slurm -m slurm -x -rs

bench: environment training-environment tex ## how long reading, drawing, typesetting and a training step take
	@$(TOOL) pytest tests/bench --benchmark-enable --benchmark-only

clean: ## remove generated files; never a log, a checkpoint, an image, an environment
	@rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	@find cnnpaper $(wildcard tests) -name __pycache__ -type d -prune -exec rm -rf {} +

##@ Set-up, which the targets above call by themselves
environment: ## .venv: report and command line
	@sh cnnpaper/environment.sh .venv

training-environment: ## .venv-train: torch and the developer's tools (5.6 GB)
	@sh cnnpaper/environment.sh .venv-train train dev

tex: ## TeX, where it is missing: apt as root or with sudo, elsewhere the command to type
	@sh report/install-tex.sh

##@ Variables, as in: make resnet18 STUDY=full SEEDS=0,1 GPUS=0
#: STUDY: a file of experiments/study (reference)
#: ARM: one arm of the study (all)
#: SEEDS: some of the study's seeds (all)
#: VARIANT: one point of the study's grid (all)
#: EPOCHS: without STUDY, a study of one's own, single-EPOCHSep
#: BATCH_SIZE: with EPOCHS, images per step
#: PRECISION: with EPOCHS, float32 or bfloat16 (the recipe's)
#: UNTIL: skip runs that are estimated to end later: UNTIL=02:40
#: MODEL, SEED: which run make reproduce does
#: IMAGE, RUN: what make predict classifies, and by which run
#: OLD, NEW: two papers that make diff compares
#: LOGS: what make import-logs reads: a log, or a folder of them
#: LABEL: FILE=NAME, what one of these logs is called
#: TITLE, AUTHORS, IMAGES: what their paper says of itself and of the images; else nothing
#: CLUSTER: slurm submits the runs as jobs and returns
#: EDITION: of make report: en, ko, html or ko.html (en)
#: SET: which images make data fetches, original or jpeg75
#: GPUS: devices, 0 or 0,1 or cpu (GPU 0 if there is one, else the CPU)
#: DATA_DIR: where the images are (data)
#: KEY: what to explain
#: FORCE: 1 starts over what is finished; the old log is kept
#: ALLOW_STALE: 1 builds the paper although runs are stale, and says so on its first page
#: PYTHON: the interpreter that the environments are made from (python3)
