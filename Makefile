# Everything lives in .venv/ and .ducklift/; nothing is installed elsewhere. Needs Python 3.11-3.13 and make.
.DEFAULT_GOAL := help
.SUFFIXES:
# Airflow starts three times slower without compiled bytecode; a foreign PYTHONPATH or PYTHONHOME would leak into it.
unexport PYTHONDONTWRITEBYTECODE PYTHONPATH PYTHONHOME

python := .venv/bin/python

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile
	@echo "  Variables: PYTHON=/path/to/python3.13 (which Python makes .venv), PORT=8080 (of make up)"

.PHONY: install install-dev
install:
	@scripts/install run
install-dev:
	@scripts/install dev

.PHONY: run
run: install ## run pipeline reddit on Airflow against the sandbox, once, and show what it made
	@$(python) -m ducklift.orchestration.local_run

.PHONY: up
up: install ## start a standing Airflow on 127.0.0.1 with the sandbox behind it
	@$(python) -m ducklift.orchestration.standing up $(if $(PORT),--port $(PORT))

.PHONY: down
down: ## stop what make up started
	@if [ -x $(python) ]; then $(python) -m ducklift.orchestration.standing down; fi

.PHONY: clean
clean: down ## remove .ducklift/: bucket, warehouse, Airflow's home, logs
	@if [ -d .ducklift ]; then \
		size=$$(du -sh .ducklift | cut -f1); rm -rf .ducklift; echo "Removed .ducklift/ ($$size)."; \
	else echo "Nothing to remove: there is no .ducklift/."; fi

.PHONY: lint
lint: install-dev ## ruff and mypy
	@$(python) -m ruff check
	@$(python) -m ruff format --check
	@$(python) -m mypy

.PHONY: test
test: lint ## lint and the default tests
	@$(python) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: test-slow
test-slow: install-dev ## the slow proofs (up to 20 minutes); SLOW=tests/faults for some of them
	@$(python) -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m slow $(SLOW)

.PHONY: bench
bench: install-dev ## measure Ducklift against hand-written DuckDB, side by side (minutes)
	@$(python) -m benchmarks $(BENCH)

.PHONY: stack-init stack-up stack-down stack-logs stack-smoke stack-backup stack-restore
stack := python3 scripts/stack.py
stack-init: ## write .env and secrets/ for docker compose; EXECUTOR=celery for workers
	@$(stack) init $(if $(EXECUTOR),--executor $(EXECUTOR))
stack-up: ## build the image, start the compose stack, wait until all is healthy; UP="--scale worker=3"
	@$(stack) up $(UP)
stack-down: ## stop the compose stack; its volumes stay
	@$(stack) down
stack-logs: ## show the stack's logs; LOGS="--follow scheduler"
	@$(stack) logs $(LOGS)
stack-smoke: ## trigger DAG reddit in the stack by the REST API and wait until it is green
	@$(stack) smoke
stack-backup: ## copy metadata and warehouse into BACKUP=folder
	@$(stack) backup --folder "$(BACKUP)"
stack-restore: ## put the backup in BACKUP=folder in their place
	@$(stack) restore --folder "$(BACKUP)"

.PHONY: test-stack
test-stack: install-dev ## bring the compose stack up on an engine of its own, kill parts of it, bring it down (Linux, root)
	@OUTSIDE_HTTP_PROXY="$$HTTP_PROXY" OUTSIDE_HTTPS_PROXY="$$HTTPS_PROXY" OUTSIDE_NO_PROXY="$$NO_PROXY" \
	  $(python) -m pytest -v -s -m stack tests/deploy $(STACK)

.PHONY: lock
lock: install-dev ## compile the hashed locks anew from pyproject.toml
	@compile="$(python) -m uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header"; \
	$$compile pyproject.toml --group install --extra analytics -o requirements.txt && \
	$$compile pyproject.toml --group install --group dev --all-extras -c requirements.txt -o requirements-dev.txt && \
	$$compile pyproject.toml --group image --extra analytics --extra ducklake --extra motherduck --extra openlineage --extra postgres --extra statsd \
	  -c requirements-dev.txt -o requirements-image.txt
