# orcid-connect. `make demo` to see it, `make test` to trust it.

PORT ?= 8000
# How many processes share the tests
PROCESSES ?= 3
# Debian's own Python where there is one: mod_wsgi is built for it
PYTHON ?= $(firstword $(wildcard /usr/bin/python3.11 /usr/bin/python3) python3)

VENV := .venv
BIN := $(VENV)/bin
# Those that take longest first, so that no process is left alone with them at the end
TESTS := tests/system tests/journeys tests/faults tests/contract tests/properties tests/unit
FULLY_COVERED := shibboleth/*,sql/*,webapp/linking/service.py,webapp/auth/*
# What the tests start for real; the product itself needs none of it to be tried.
# php-cgi before simplesamlphp, which would bring a module into the machine's own Apache without it
DEBIAN := apache2 libapache2-mod-shib shibboleth-sp-utils libapache2-mod-wsgi-py3 xmlsec1 openssl sqlite3 \
	postgresql slapd ldap-utils chromium chromium-driver fonts-noto-core \
	rhino velocity libguava-java libspring-context-java libcommons-dbcp2-java libpostgresql-jdbc-java \
	libxerial-sqlite-jdbc-java libxml2-utils default-jdk-headless \
	php-cgi php-cli php-mbstring php-xml simplesamlphp prometheus fail2ban haproxy memcached

# Tests start Python some hundred times: compiled modules are kept, whatever the caller's environment says
unexport PYTHONDONTWRITEBYTECODE

# What only the figures need: a client that costs less than what it measures
BENCH := wrk

.PHONY: demo test lint unit bench failover load soak screenshots packages catalogues clean release

demo: $(VENV)/demo
	@exec $(BIN)/python -m demo --port $(PORT)

test: packages lint
	$(BIN)/pytest -n $(PROCESSES) --dist loadgroup --no-loadscope-reorder --cov --cov-report= $(TESTS)
	$(BIN)/coverage report
	$(BIN)/coverage report --include='$(FULLY_COVERED)' --fail-under=100

unit: $(VENV)/test
	$(BIN)/pytest -q tests/unit

lint: $(VENV)/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Ratios and absolute figures, into build/bench.json; QUICK=1 takes small sizes, to try it
bench: packages $(VENV)/test build/product
	@sh tests/debian-packages $(BENCH)
	$(BIN)/python -m tests.bench

# The product as it is installed: its libraries import packages of the tests where they find them
build/product: setup.cfg
	$(PYTHON) -m venv $@
	$@/bin/pip install -q -e '.[postgres,native]'
	@touch $@

# Two nodes and a standby under load, whose primary is killed; prints what failed, for how long, and what was lost
failover: packages $(VENV)/test
	$(BIN)/pytest -q -s tests/system/test_nodes.py -k failover

# A day of the nation in fast motion on two nodes, into build/load.json: fifteen minutes; QUICK=1 takes three
load: packages $(VENV)/test
	$(BIN)/python -m tests.load

# Every page in every language, at three widths, light and dark; ONLY="sv confirm remove" takes these alone
screenshots: packages $(VENV)/test
	$(BIN)/python -m tests.gallery $(ONLY)

# A thousand web servers and workers, five hundred imports, and five hundred workers that write to records, are killed on each engine; SEED=… makes another history
soak: packages $(VENV)/test
	KILLS=1000 $(BIN)/pytest -q tests/faults/test_kill_worker.py
	KILLS=500 $(BIN)/pytest -q tests/faults/test_kill_import.py
	KILLS=500 $(BIN)/pytest -q tests/faults/test_kill_affiliation.py

# Sentences from the sources into the template of catalogues, and from there into each catalogue; says what is missing
catalogues: $(VENV)/test
	$(BIN)/pybabel -q extract -F webapp/locale/babel.cfg -k gettext_noop --no-location --omit-header \
		--no-wrap --project orcid-connect -o webapp/locale/orcid-connect.pot webapp
	@for each in webapp/locale/*/messages.po; do \
		$(BIN)/pybabel -q update --no-fuzzy-matching --ignore-obsolete --no-wrap --ignore-pot-creation-date -N \
			-i webapp/locale/orcid-connect.pot -o $$each -l $$(basename $$(dirname $$each)) || exit 1; done
	@$(BIN)/python -m tests.support.catalogues

# Source archive, wheel, and requirements.txt with hashes, of the last commit, into dist/
release: $(VENV)/test
	rm -rf dist
	$(BIN)/python -m tests.support.release dist

packages:
	@sh tests/debian-packages $(DEBIAN)

clean:
	rm -rf $(VENV) build dist .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed; name it: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || sh tests/debian-packages python3-venv
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo: setup.cfg | $(BIN)/python
	$(BIN)/pip install -q -e '.[demo]'
	@touch $@

$(VENV)/test: setup.cfg tests/axe.txt | $(BIN)/python
	$(BIN)/pip install -q -e '.[postgres,native,test]'
	$(BIN)/pip install -q --no-deps -r tests/axe.txt
	@touch $@ $(VENV)/demo
