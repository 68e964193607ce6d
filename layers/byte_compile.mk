# Lambda cannot write to /opt, so modules without byte code are compiled again at every cold start.
# Byte code is checked neither against its source's time, which deployment does not keep, nor its
# content. Its paths are those that it will have in Lambda.
# `sam build` shows standard output only, hence no >&2.
HERE := $(dir $(lastword $(MAKEFILE_LIST)))

define byte_compile
	@sh $(HERE)python313.sh -m compileall -q --invalidation-mode unchecked-hash \
	    -s "$(ARTIFACTS_DIR)" -p /opt "$(ARTIFACTS_DIR)/python" \
	|| { test $$? -eq 69 && echo "$@: not byte-compiled, so cold starts will take longer"; }
endef
