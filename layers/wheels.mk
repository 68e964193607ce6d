# Wheels for the functions' own Python, asked for by name: any Python 3.11 or later with pip will do.
# SEGUE_ARCHITECTURE is Lambda's name of the processor, as the template's parameter Architecture.
PYTHON ?= python3
SEGUE_ARCHITECTURE ?= x86_64
MACHINE := $(SEGUE_ARCHITECTURE:arm64=aarch64)

define install_wheels
	mkdir -p "$(SITE)"
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action ignore \
	    --target "$(SITE)" --requirement requirements.txt --require-hashes --no-deps --no-compile \
	    --ignore-requires-python --only-binary=:all: --implementation cp --python-version 3.13 \
	    --platform manylinux_2_34_$(MACHINE) --platform manylinux_2_28_$(MACHINE) \
	    --platform manylinux_2_27_$(MACHINE) --platform manylinux2014_$(MACHINE)
endef
