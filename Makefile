# Everything that a user does. `make` alone lists the targets; the list is read from this file.
# Written for GNU make 3.81 (macOS), tried with 4.3. Variables reach the commands by the environment,
# so values with blanks and quotes are safe: DATA_DIR='my data' make alexnet

PYTHON ?= python3
STUDY ?= $(if $(EPOCHS),single-$(EPOCHS)ep,reference)
export STUDY SEEDS EPOCHS GPUS DATA_DIR SET KEY MODEL SEED

NETWORKS := $(filter-out recipe,$(basename $(notdir $(wildcard experiments/*.toml))))
PAPER := .venv/bin/python -m cnnpaper
TRAIN := .venv-train/bin/python -m cnnpaper
TOOL := .venv-train/bin/python -m
TESTS := $(TOOL) pytest -n 2 --dist loadfile
RUNS = $${SEEDS:+--seeds "$$SEEDS"} $${GPUS:+--gpus "$$GPUS"} \
	$(if $(filter-out 0 no false,$(FORCE)),--force)
STALE = $(if $(filter-out 0 no false,$(ALLOW_STALE)),--allow-stale)

TARGETS := help report test experiments smoke data status figures tables explain preview \
	verify certify reproduce ablation timing bench-peer soak bench lint audit licences clean \
	environment training-environment tex python
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
	/^#: / { split(substr($$0, 4), part, ": "); show(part[1], part[2]) } \
	/^\$$\(NETWORKS\):.*## / { \
		count = split(networks, each, " "); \
		for (i = 1; i <= count; i++) show(each[i], "train " title(each[i])) } \
	/^[a-z][a-z-]*:.*## / { \
		target = $$0; sub(/:.*/, "", target); text = $$0; sub(/.*## /, "", text); \
		show(target, text) }' Makefile

report: environment tex ## the paper of STUDY from its logs: report/CNN_report.pdf (no GPU, no torch)
	@$(PAPER) report --study "$$STUDY" $(STALE)

test: environment training-environment tex ## everything that the artifact promises, tried
	@$(TESTS)

smoke: environment training-environment tex ## the whole way in minutes: tiny runs on invented images, then their paper
	@$(TRAIN) experiments --study smoke $(RUNS)
	@$(PAPER) report --study smoke

##@ Experiments
experiments: training-environment ## every missing run of STUDY; finished ones are skipped, begun ones go on
	@$(TRAIN) experiments --study "$$STUDY" $(RUNS)

$(NETWORKS): training-environment ## the missing runs of one network
	@$(TRAIN) train --model $@ --study "$$STUDY" $${EPOCHS:+--epochs "$$EPOCHS"} $(RUNS)

data: training-environment ## find, fetch and check the images; SET=original or SET=jpeg75 (the reference study)
	@$(TRAIN) data $${SET:+--set "$$SET"}

status: environment ## what of STUDY is done, what is missing, what it will cost
	@$(PAPER) status --study "$$STUDY"

ablation: training-environment ## the trials that chose the recipe, and their table in experiments/README.md
	@$(TRAIN) experiments --study ablation $(RUNS)
	@$(TRAIN) ablation

timing: training-environment ## step time of each network of STUDY by section, and its memory; for an idle machine
	@$(TRAIN) timing --study "$$STUDY" $${GPUS:+--gpus "$$GPUS"}

bench-peer: training-environment ## a plain training loop beside ours: accuracy and speed; hours on an idle machine
	@$(TRAIN) peer --study "$$STUDY"

##@ Verify and reproduce
verify: training-environment ## the runs of STUDY in small and in their first steps: the same bits?
	@$(TRAIN) verify --study "$$STUDY"

certify: training-environment ## verify, then a certificate beside every run with the same bits
	@$(TRAIN) certify --study "$$STUDY"

reproduce: training-environment ## one run from nothing, every value compared: MODEL=alexnet SEED=0
	@$(TRAIN) reproduce --model "$$MODEL" --seed "$${SEED:-0}" --study "$$STUDY"

##@ From the same logs
figures: environment ## every figure of STUDY as PDF, PNG and SVG, for slides
	@$(PAPER) figures --study "$$STUDY" $(STALE)

tables: environment ## every table of STUDY as CSV and Markdown
	@$(PAPER) tables --study "$$STUDY" $(STALE)

explain: environment ## where a number comes from: KEY=resnet18.test_acc, or as printed: KEY=77.61
	@$(PAPER) explain --study "$$STUDY" -- "$$KEY"

preview: override STUDY := reference
preview: report figures ## the README's pictures, from the paper of study reference
	@mkdir -p report/preview
	@pdftoppm -r 80 -png -singlefile report/CNN_report.pdf report/preview/page1
	@cp build/report/reference/figures/architecture_resnet18.png report/preview/

##@ For those who change it
lint: training-environment ## ruff and mypy
	@$(TOOL) ruff check
	@$(TOOL) ruff format --check
	@$(TOOL) mypy

audit: training-environment ## known vulnerabilities of every locked package, asked of osv.dev
	@$(TOOL) cnnpaper.dependencies audit

licences: training-environment ## the licence of every locked package
	@$(TOOL) cnnpaper.dependencies licences

soak: environment training-environment tex ## the long tests: kills, simulations, every kind of document
	@$(TESTS) -m soak

bench: environment training-environment tex ## how long reading, drawing, typesetting and a training step take
	@$(TOOL) pytest tests/bench --benchmark-enable --benchmark-only

clean: python ## remove what can be made again; never a log, a checkpoint, an image, an environment
	@$(PYTHON) -m cnnpaper.clean

##@ Set-up, which the targets above call by themselves
environment: python ## .venv: report and command line
	@$(PYTHON) -m cnnpaper.environment .venv

training-environment: python ## .venv-train: torch and the developer's tools (5.6 GB)
	@$(PYTHON) -m cnnpaper.environment .venv-train train dev

tex: python ## TeX, where it is missing: apt as root or with sudo, elsewhere the command to type
	@$(PYTHON) -m cnnpaper.texsetup

python:
	@command -v "$(PYTHON)" >/dev/null || { echo "$(PYTHON) is not there: install Python 3.11 to 3.13" \
		"with venv, or name one: make report PYTHON=python3.12" >&2; exit 2; }

##@ Variables, as in: make resnet18 STUDY=full SEEDS=0,1 GPUS=0
#: STUDY: a file of experiments/study (reference)
#: SEEDS: some of the study's seeds (all)
#: EPOCHS: without STUDY, a study of one's own, single-EPOCHSep
#: MODEL, SEED: which run make reproduce does
#: SET: which images make data fetches, original or jpeg75
#: GPUS: devices, 0 or 0,1 or cpu (GPU 0 if there is one, else the CPU)
#: DATA_DIR: where the images are (data)
#: KEY: what to explain
#: FORCE: 1 trains anew what is finished; the old log is kept beside
#: ALLOW_STALE: 1 builds the paper though runs are stale, and says so on its first page
#: PYTHON: the interpreter that the environments are made from (python3)
