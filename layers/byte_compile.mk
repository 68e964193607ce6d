# Lambda cannot write to /opt: what comes without byte code is compiled again at every cold start.
# The byte code is never checked against its source: deployment does not keep the sources' times,
# and to hash the sources would cost what the byte code saves. Its paths are those in Lambda.
# `sam build` shows what goes to standard output, and nothing else.
HERE := $(dir $(lastword $(MAKEFILE_LIST)))

define byte_compile
	@sh $(HERE)python313.sh -m compileall -q --invalidation-mode unchecked-hash \
	    -s "$(ARTIFACTS_DIR)" -p /opt "$(ARTIFACTS_DIR)/python" \
	|| { test $$? -eq 69 && echo "$@: not byte-compiled, so cold starts will take longer"; }
endef
