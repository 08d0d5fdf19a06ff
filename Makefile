# radstream: `make` lists what there is. One profile (release) for everything, so that librdkafka and
# the other C parts are compiled once. Versions are pinned and checked by hash; what is there already
# is not fetched again, and then no network is needed.

CARGO ?= cargo
PYTHON := .venv/bin/python
export PYTHONDONTWRITEBYTECODE := 1

.DEFAULT_GOAL := help
MINUTES ?= 30
HOURS ?= 2
SEEDS ?= 1
STUDENT ?= shipped
# What `make site-adaptation` begins with: the student that ships, or one of the plain corpus.
PLAIN := target/plain/model
BEGIN_shipped :=
BEGIN_plain := --student $(PLAIN) --training distill/configs/plain-site.toml
.PHONY: help demo test bench fuzz faults soak site-adaptation lint fmt model deps deps-demo deps-tests lock clean \
        test-rust test-python test-deploy second-server

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: deps-demo ## Build and see it work: an embedded broker, generated reports, no set-up
	$(CARGO) build --release --locked
	target/release/radstream demo

test: lint test-rust test-python test-deploy ## All checks and tests, on real Kafka

bench: deps-demo ## Benchmarks: reports per second end to end, intake against Python, the cost of each stage
	@scripts/python-env.sh bench
	$(CARGO) bench --profile release --locked --bench student --bench end_to_end --bench instructions \
		--bench intake --bench dead_teacher

fuzz: deps-demo ## Fuzz each target for MINUTES (30); then a table of time, memory and findings
	scripts/fuzz.sh run $(MINUTES)

faults: deps-tests ## Kills, rebalances, lost brokers, disturbed commits at full size, then the planted bugs; SEEDS=10 repeats the short set
	PATH="$(CURDIR)/.venv/bin:$$PATH" RADSTREAM_FAULTS=full $(CARGO) test --release --locked --test faults -- \
		--test-threads=1 --nocapture clean::
	for seed in $$(seq 2 $(SEEDS)); do RADSTREAM_FAULTS_SEED=$$seed $(CARGO) test --release --locked --test faults -- \
		--test-threads=1 --nocapture clean:: || exit; done
	$(CARGO) test --release --locked --features planted-bugs --test faults -- --test-threads=1 --nocapture planted::

soak: deps-tests ## Load and faults for HOURS (2), then the checker's verdict, and memory over time as a picture
	$(CARGO) bench --profile release --locked --bench soak -- --hours $(HOURS)

site-adaptation: deps-tests ## What re-distillation is worth to a site: REPORTS=train.jsonl GOLD=dev.jsonl, both labelled; STUDENT=plain
	$(if $(filter $(STUDENT),shipped plain),,$(error STUDENT is shipped or plain, not "$(STUDENT)"))
	scripts/python-env.sh distill
ifeq ($(STUDENT),plain)
	PYTHONPATH=distill $(PYTHON) -m radstream_distill make --config distill/configs/plain.toml --out $(PLAIN)
endif
	PATH="$(CURDIR)/.venv/bin:$$PATH" $(CARGO) bench --profile release --locked --bench site_adaptation -- \
		--reports $(abspath $(REPORTS)) --gold $(abspath $(GOLD)) $(BEGIN_$(STUDENT))

lint: deps-tests ## Format, clippy, dependencies' licences and advisories, ruff, shellcheck
	$(CARGO) fmt --check
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml
	$(CARGO) clippy --release --locked --all-targets -- -D warnings
	$(CARGO) clippy --release --locked --features planted-bugs --test faults -- -D warnings
	scripts/check-dependencies.sh
	.venv/bin/ruff check --quiet distill deploy benches tests
	.venv/bin/ruff format --quiet --check deploy benches tests
	.venv/bin/shellcheck --external-sources --source-path=SCRIPTDIR --exclude=SC2016 scripts/*.sh .ci/run

# To the end even if something fails: it is long, and one run should tell all.
test-rust: deps-tests ## Rust: unit tests, and the binary against real Kafka
	PATH="$(CURDIR)/.venv/bin:$$PATH" $(CARGO) test --release --locked --no-fail-fast
	$(CARGO) test --release --locked --features planted-bugs --config 'profile.release.package.radstream.opt-level=1' \
		--test faults planted::

test-python: deps-tests ## Python: types and tests of the training package
	scripts/python-env.sh distill
	cd distill && ../$(PYTHON) -m mypy
	cd distill && ../$(PYTHON) -m pytest -q

test-deploy: deps-tests ## Deployment files: do they parse, and agree with the code?
	$(PYTHON) -m pytest -q deploy

# Not part of `test`: 35 MB more to fetch, and minutes, for what changes only with the client.
second-server: deps-tests ## The teacher's client against llama.cpp's server, with a model made on the spot
	$(CARGO) build --release --locked
	scripts/second-server.sh

fmt: deps-tests ## Format all code
	$(CARGO) fmt
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml
	.venv/bin/ruff format --quiet deploy benches tests

model: ## Train the default student again, from distill/
	scripts/system-packages.sh build
	scripts/python-env.sh distill
	PYTHONPATH=distill $(PYTHON) -m radstream_distill make --config distill/configs/small.toml --out target/first-student
	PYTHONPATH=distill $(PYTHON) -m radstream_distill make --config distill/configs/refine.toml --out models/default

deps: deps-demo deps-tests ## Fetch all that the targets need: .deps/, .venv/, Debian packages
	scripts/python-env.sh distill

deps-demo:
	@scripts/system-packages.sh build
	@scripts/fetch-onnxruntime.sh

deps-tests: deps-demo
	@scripts/system-packages.sh tests
	@scripts/fetch-test-servers.sh
	@scripts/python-env.sh checks

lock: ## Resolve the Python locks anew (after a change of version)
	scripts/lock-python.sh

clean: ## Remove what was built and fetched
	$(CARGO) clean
	rm -rf .deps .venv
