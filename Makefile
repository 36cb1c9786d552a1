.PHONY: help run test chaos lint lock css shots

help: ## what each target does
	@grep -hE '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

run: ## start Dailies on http://127.0.0.1:8000 (PORT=… and DATA_DIR=… choose another place)
	@scripts/install runtime
	@exec .venv/bin/python manage.py up

test: ## run the tests; ARGS="tests/test_up.py -k stop" chooses
	@scripts/install test
	@.venv/bin/python -m scripts.test_tools
	@.venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

chaos: ## kill everything, a thousand times on each database, and count what was lost; KILLS=200 DATABASE=sqlite SEED=5
	@scripts/install test
	@.venv/bin/python -m scripts.test_tools
	@.venv/bin/python -m tests.chaos --kills $(or $(KILLS),1000) --database $(or $(DATABASE),both) \
	    $(if $(SEED),--seed $(SEED)) $(ARGS)

lint: ## ruff and mypy
	@scripts/install test
	.venv/bin/python -m ruff check .
	.venv/bin/python -m ruff format --check .
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && DATA_DIR="$$folder" .venv/bin/python -m mypy .

shots: ## screenshots of every page: make shots BASE=http://127.0.0.1:8000 EMAIL=… PASSWORD=… (Dailies must be running)
	@scripts/install test
	@.venv/bin/python -m scripts.shots "$(BASE)" "$(EMAIL)" "$(PASSWORD)" shots

lock: ## compile requirements/*.in into the locked *.txt (needs uv)
	for name in runtime test; do uv pip compile -q --universal --generate-hashes --python-version 3.11 \
	    requirements/$$name.in -o requirements/$$name.txt --custom-compile-command "make lock" || exit 1; done

css: ## compile static/site.css from frontend/ (needs node)
	npm install --no-save --no-audit --no-fund  # not `ci`: the lock names only the platforms that its registry had
	npm run build
