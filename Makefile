# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# The only build. `make help` lists the targets; everything it makes is under build/.
#
# Set from outside: CC, CLANG, CFLAGS, LDFLAGS, PREFIX, DESTDIR, V=1 (show commands),
# TEST=name (one test file of a suite), KERNEL=6.1 (one kernel of the matrix).

MAKEFLAGS += -rR --no-print-directory
.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL := all

export PATH := $(PATH):/usr/sbin:/sbin

B := build
ifneq ($(filter default undefined,$(origin CC)),)
CC := gcc
endif
ifneq ($(filter default undefined,$(origin CXX)),)
CXX := g++
endif
CLANG ?= clang
CLANG_FORMAT ?= clang-format
BPFTOOL ?= bpftool
PKG_CONFIG ?= pkg-config
SCDOC ?= scdoc
STRIP ?= strip
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
MANDIR ?= $(PREFIX)/share/man

CFLAGS ?= -O2 -g -D_FORTIFY_SOURCE=2 -fstack-protector-strong

# ---- what there is to build ----------------------------------------------------------------------

# A row of user/tools.def is TOOL(command, "BPF object"); several commands may share an object.
TOOLS := $(shell sed -n 's/^TOOL.\([a-z0-9_]*\),.*/\1/p' user/tools.def 2>/dev/null)
OBJECTS := $(sort $(shell sed -n 's/^TOOL.[^,]*, *"\([a-z0-9_]*\)".*/\1/p' user/tools.def 2>/dev/null))
# bpf/OBJECT_PART.bpf.c is loaded beside OBJECT when it is needed: see tool_object.parts.
OBJECTS += $(foreach o,$(OBJECTS),$(patsubst bpf/%.bpf.c,%,$(wildcard bpf/$o_*.bpf.c)))
VARIANTS := btf raw

LIB_SRC := $(wildcard user/base/*.c user/core/*.c)
TOOL_SRC := $(TOOLS:%=user/tools/%.c) user/main.c
SKELS := $(foreach v,$(VARIANTS),$(OBJECTS:%=$(B)/skel/%.$v.skel.h))

LIB_OBJ := $(LIB_SRC:%.c=$(B)/%.o)
TOOL_OBJ := $(TOOL_SRC:%.c=$(B)/%.o)
SAN_OBJ := $(LIB_SRC:%.c=$(B)/san/%.o)

UNIT := $(patsubst %.c,$(B)/%,$(wildcard tests/unit/test_*.c))
BPF_TESTS := $(patsubst %.c,$(B)/%,$(wildcard tests/bpf/test_*.c))
BPF_TEST_SKELS := $(foreach v,$(VARIANTS),$(patsubst %.bpf.c,$(B)/%.$v.skel.h,$(wildcard tests/bpf/*.bpf.c)))
WORKLOADS := $(patsubst %.c,$(B)/%,$(wildcard tests/workloads/*.c))
WORKLOADS_CC := $(patsubst %.cc,$(B)/%,$(wildcard tests/workloads/*.cc))
FUZZ := $(B)/tests/fuzz/elf
MAN := $(patsubst user/man/%.8.scd,$(B)/man/dwell-%.8,$(filter-out %/dwell.8.scd,$(wildcard user/man/*.8.scd))) \
       $(patsubst user/man/%.8.scd,$(B)/man/%.8,$(wildcard user/man/dwell.8.scd))
C_FILES = $(wildcard include/*.h bpf/*.c bpf/lib/*.h vmlinux/*.h user/*.c user/*.h user/*/*.[ch] \
            tests/*/*.[ch] tools/*.c)

# ---- how -----------------------------------------------------------------------------------------

LIBS := $(shell $(PKG_CONFIG) --libs libbpf libdw libelf liblzma zlib 2>/dev/null) -liberty -lm -pthread
STATIC_LIBS = $(shell $(PKG_CONFIG) --static --libs libbpf libdw libelf liblzma zlib) -liberty -lm -pthread
LIB_CFLAGS := $(shell $(PKG_CONFIG) --cflags libbpf libdw libelf liblzma zlib 2>/dev/null)

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes
INCLUDES := -Iuser -Iinclude -I$(B)/gen -I$(B)/skel $(LIB_CFLAGS)
# C11 with GNU extensions for every program that runs in user space.
USER_FLAGS := -std=gnu11 -D_GNU_SOURCE $(WARN) -ffunction-sections -fdata-sections $(INCLUDES) -MMD -MP
# What has to be fast runs in the kernel: dwell itself is packed densely.
DENSE := -falign-functions=1 -falign-jumps=1 -falign-loops=1
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
SAN_CFLAGS := -O1 -g $(SANITIZE)
WORKLOAD_CFLAGS := -O2 -g -fno-omit-frame-pointer -pthread

ARCH := $(patsubst aarch64,arm64,$(patsubst x86_64,x86,$(shell uname -m)))
# <linux/types.h> includes <asm/types.h>, which Debian keeps in the C compiler's own directory.
MULTIARCH := $(shell $(CC) -print-multiarch 2>/dev/null)
BPF_FLAGS := -target bpf -g -O2 -Wall -Werror -D__TARGET_ARCH_$(ARCH) -Ibpf -Iinclude -Ivmlinux \
             $(LIB_CFLAGS) $(if $(MULTIARCH),-idirafter /usr/include/$(MULTIARCH)) -MMD -MP
# Under this name clang does not find the sources, whose lines it would put into each object for the
# verifier's log, and where in them it is: a tenth of dwell. With BPF_LINES=1 all of it is there.
ifneq ($(BPF_LINES),1)
BPF_FLAGS += -fdebug-prefix-map=$(CURDIR)=/dwell -gno-column-info
endif
BPF_FLAGS_btf := -mcpu=v3
# For kernels where tp_btf or task storage is missing; 5.10 is the oldest.
BPF_FLAGS_raw := -mcpu=v2 -DDWELL_RAW=1

ifeq ($(V),1)
Q :=
say = @mkdir -p $(@D)
else
Q := @
say = @mkdir -p $(@D); printf '  %-7s %s\n' '$(1)' '$(2)'
endif

# Compiled and linked in one step: gcc would name the .d file and its target after the object.
DEP = -MF $@.d -MT $@

# A test or workload may name flags of its own: a line "/* CFLAGS: … */" or "/* LDFLAGS: … */".
own = $$(sed -n 's,^/\* $(1): \(.*\) \*/$$,\1,p' $<)

# ---- the program ---------------------------------------------------------------------------------

.PHONY: all static skels man build-demo build-tests build-vm
all: $(B)/dwell

static: $(B)/dwell.static

$(B)/libdwell.a: $(LIB_OBJ)
$(B)/san/libdwell.a: $(SAN_OBJ)
$(B)/libdwell.a $(B)/san/libdwell.a:
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^

$(B)/dwell: $(TOOL_OBJ) $(B)/libdwell.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) -Wl,--gc-sections $(LDFLAGS) -o $@ $^ $(LIBS) $(LDLIBS)

# One file to copy to any machine; what it promises is checked here: no interpreter, under 3 MB.
$(B)/dwell.static: $(TOOL_OBJ) $(B)/libdwell.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) -static -Wl,--gc-sections $(LDFLAGS) -o $@ $^ $(STATIC_LIBS) $(LDLIBS)
	$(Q)$(STRIP) $@
	$(Q)tools/check-static $@ 3000000

$(B)/user/%.o: user/%.c | $(B)/.checked
	$(call say,CC,$<)
	$(Q)$(CC) $(CFLAGS) $(DENSE) $(USER_FLAGS) -c -o $@ $<

$(B)/san/user/%.o: user/%.c | $(B)/.checked
	$(call say,CC-SAN,$<)
	$(Q)$(CC) $(SAN_CFLAGS) $(USER_FLAGS) -c -o $@ $<

# What is generated must be there before the first compilation; from then on the .d files know.
GENERATED := $(B)/gen/syscall_names.h $(B)/gen/version.h
$(LIB_OBJ) $(SAN_OBJ) $(TOOL_OBJ): | $(GENERATED)
$(TOOL_OBJ): | $(SKELS)

$(B)/gen/syscall_names.h: Makefile tools/gen-syscall-names | $(B)/.checked
	$(call say,GEN,$@)
	$(Q)CC='$(CC)' tools/gen-syscall-names > $@

.PHONY: FORCE
$(B)/gen/version.h: FORCE
	@mkdir -p $(@D)
	@tools/gen-version $@

# ---- BPF -----------------------------------------------------------------------------------------

skels: $(SKELS)

# Variant, directory of the sources, directory for the skeletons, the command that prints one.
define bpf_variant
$(B)/$(2)/%.$(1).o: $(2)/%.bpf.c | $(B)/.checked
	$$(call say,BPF,$$< ($(1)))
	$$(Q)$(CLANG) $(BPF_FLAGS) $(BPF_FLAGS_$(1)) -c -o $$@ $$<

$(3)/%.$(1).skel.h: $(B)/$(2)/%.$(1).bpf.o tools/gen-packed
	$$(call say,SKEL,$$@)
	$$(Q)$(4) > $$@
endef
# dwell itself carries its objects packed: they are two thirds of it.
$(foreach v,$(VARIANTS),$(eval $(call bpf_variant,$v,bpf,$(B)/skel,tools/gen-packed $$*_$v $$<)))
$(foreach v,$(VARIANTS),$(eval $(call bpf_variant,$v,tests/bpf,$(B)/tests/bpf,$(BPFTOOL) gen skeleton $$< name $$*_$v)))
$(eval $(call bpf_variant,btf,tests/vm,$(B)/tests/vm,$(BPFTOOL) gen skeleton $$< name $$*_btf))

# Linking drops what the loader doesn't need: an object shrinks tenfold.
$(B)/bpf/%.bpf.o: $(B)/bpf/%.o
	$(Q)$(BPFTOOL) gen object $@ $<

# ---- tests ---------------------------------------------------------------------------------------

build-demo: all $(B)/tests/workloads/demo

build-tests: all $(UNIT) $(BPF_TESTS) $(WORKLOADS) $(WORKLOADS_CC) $(FUZZ) $(B)/tools/check-vmlinux $(B)/tests/vmlinux.o

$(UNIT): $(B)/%: %.c $(B)/san/libdwell.a | $(GENERATED)
	$(call say,TEST,$<)
	$(Q)$(CC) $(SAN_CFLAGS) $(USER_FLAGS) $(DEP) $(call own,CFLAGS) $(LDFLAGS) -o $@ $< \
		$(B)/san/libdwell.a -lcmocka -ljansson $(LIBS) $(call own,LDFLAGS)

$(BPF_TESTS): $(B)/%: %.c $(B)/san/libdwell.a | $(GENERATED) $(BPF_TEST_SKELS)
	$(call say,TEST,$<)
	$(Q)$(CC) $(SAN_CFLAGS) $(USER_FLAGS) $(DEP) -I$(B)/tests/bpf $(call own,CFLAGS) $(LDFLAGS) \
		-o $@ $< $(B)/san/libdwell.a -lcmocka $(LIBS) $(call own,LDFLAGS)

$(B)/tests/bpf/%.bpf.o: $(B)/tests/bpf/%.o
	$(Q)$(BPFTOOL) gen object $@ $<

$(WORKLOADS): $(B)/%: %.c | $(B)/.checked
	$(call say,CC,$<)
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE $(WARN) $(WORKLOAD_CFLAGS) -MMD -MP $(DEP) \
		$(call own,CFLAGS) $(LDFLAGS) -o $@ $< $(call own,LDFLAGS)

$(B)/tests/vm/%.bpf.o: $(B)/tests/vm/%.o
	$(Q)$(BPFTOOL) gen object $@ $<

$(WORKLOADS_CC): $(B)/%: %.cc | $(B)/.checked
	$(call say,CXX,$<)
	$(Q)$(CXX) -D_GNU_SOURCE -Wall -Wextra -Werror $(WORKLOAD_CFLAGS) -MMD -MP $(DEP) \
		$(call own,CFLAGS) $(LDFLAGS) -o $@ $< $(call own,LDFLAGS)

# What hostile files meet, with libFuzzer around it; without it in clang, its test is skipped.
FUZZ_FLAGS := -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined
FUZZ_SRC := tests/fuzz/elf.c $(addprefix user/core/,cfi.c debugfile.c elffile.c sym.c varfile.c) \
	user/base/str.c user/base/xz.c
$(FUZZ): $(FUZZ_SRC) | $(B)/.checked
	$(call say,FUZZ,$<)
	$(Q)$(CLANG) $(FUZZ_FLAGS) -std=gnu11 -D_GNU_SOURCE $(INCLUDES) -o $@ $(FUZZ_SRC) \
		$(LIBS) 2>$@.log || { grep -q clang_rt $@.log || { cat $@.log; exit 1; }; \
		echo '  clang has no libFuzzer: see $@.log'; }

# The objects as dwell loads them, but the verifier's words are read. See tests/vm/README.md.
LOAD_OBJ := $(TOOLS:%=$(B)/user/tools/%.o) $(B)/libdwell.a
$(B)/tests/vm/load: tests/vm/load.c $(LOAD_OBJ)
	$(call say,TEST,$<)
	$(Q)$(CC) $(CFLAGS) $(USER_FLAGS) $(DEP) -Wl,--wrap=bpf_prog_load,--wrap=libbpf_set_print \
		$(LDFLAGS) -o $@ $< $(LOAD_OBJ) $(LIBS) $(LDLIBS)

$(B)/tests/vm/machine: tests/vm/machine.c $(B)/tests/vm/machine.btf.skel.h
	$(call say,TEST,$<)
	$(Q)$(CC) $(CFLAGS) $(USER_FLAGS) $(DEP) -I$(B)/tests/vm $(LDFLAGS) -o $@ $< $(LIBS) $(LDLIBS)

$(B)/tests/bench/measure: tests/bench/measure.c | $(B)/.checked
	$(call say,CC,$<)
	$(Q)$(CC) $(CFLAGS) -std=gnu11 -D_GNU_SOURCE $(WARN) -MMD -MP $(DEP) $(LDFLAGS) -o $@ $< \
		$(LIBS) $(LDLIBS)

# All the types of vmlinux/ as BTF, whether a program uses them or not.
$(B)/tests/vmlinux.o: $(wildcard vmlinux/*.h) tools/btf-of | $(B)/.checked
	$(call say,BTF,$@)
	$(Q)tools/btf-of $@ $(filter %.h,$^) -- $(CLANG) $(BPF_FLAGS)

$(B)/tools/check-vmlinux: tools/check-vmlinux.c | $(B)/.checked
	$(call say,CC,$<)
	$(Q)$(CC) $(CFLAGS) $(USER_FLAGS) $(DEP) $(LDFLAGS) -o $@ $< $(LIBS)

# ---- targets for people --------------------------------------------------------------------------

.PHONY: demo check unit bpf-tests e2e vm bench bench-query bench-deps lint format check-vmlinux install clean help

# -j as it was asked for, or one job per CPU.
PARALLEL = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$$(nproc))
# What sudo built stays the caller's, who may want to go on without it.
GIVE_BACK = @if [ -n "$$SUDO_UID" ]; then chown -Rh "$$SUDO_UID:$$SUDO_GID" $(B); fi

demo:
	@tools/install-deps build
	@$(MAKE) $(PARALLEL) build-demo
	$(GIVE_BACK)
	@tools/demo

check:
	@tools/install-deps test
	@$(MAKE) $(PARALLEL) build-tests
	$(GIVE_BACK)
	@tests/run lint unit bpf e2e

unit: $(UNIT)
	@tests/run $@

bpf-tests: $(BPF_TESTS)
	$(GIVE_BACK)
	@tests/run bpf

e2e: all $(WORKLOADS) $(WORKLOADS_CC) $(FUZZ)
	$(GIVE_BACK)
	@tests/run $@

build-vm: all $(WORKLOADS) $(WORKLOADS_CC) $(B)/tests/vm/load $(B)/tests/vm/machine

vm:
	@tools/install-deps test
	@$(MAKE) $(PARALLEL) build-vm
	$(GIVE_BACK)
	@tests/vm/run $(KERNEL)

bench: all $(WORKLOADS) $(B)/tests/bench/measure
	$(GIVE_BACK)
	@tests/bench/run $(ROUNDS)

bench-query: all $(B)/tests/workloads/empties
	@tests/bench/query $(ROUNDS)

bench-deps:
	@tools/install-deps bench

lint: $(B)/tools/check-vmlinux $(B)/tests/vmlinux.o
	@tests/run $@

format:
	$(Q)$(CLANG_FORMAT) -i $(C_FILES)

check-vmlinux: $(B)/tools/check-vmlinux $(B)/tests/vmlinux.o
	@$(B)/tools/check-vmlinux $(B)/tests/vmlinux.o

man: $(MAN)

$(B)/man/dwell-%.8: user/man/%.8.scd
	$(call say,MAN,$<)
	$(Q)$(SCDOC) < $< > $@

$(B)/man/dwell.8: user/man/dwell.8.scd
	$(call say,MAN,$<)
	$(Q)$(SCDOC) < $< > $@

install: all
	@tools/install-deps --need scdoc
	@$(MAKE) man
	$(Q)install -d '$(DESTDIR)$(BINDIR)' '$(DESTDIR)$(MANDIR)/man8'
	$(Q)install -m 755 $(B)/dwell '$(DESTDIR)$(BINDIR)/dwell'
	$(Q)install -m 644 $(MAN) '$(DESTDIR)$(MANDIR)/man8'

clean:
	$(Q)rm -rf $(B)

help:
	@echo 'make                build/dwell'
	@echo 'make static         build/dwell.static: one file that needs nothing else'
	@echo 'sudo make demo      install what is missing, build, and watch an example workload'
	@echo 'sudo make check     install what is missing, build, and run all the tests'
	@echo 'make unit           host tests, under sanitizers      } TEST=name:'
	@echo 'sudo make bpf-tests BPF library tests                 } only that'
	@echo 'sudo make e2e       whole commands on real workloads  } file'
	@echo 'sudo make vm        the same on other kernels, in VMs } KERNEL=6.1: one'
	@echo 'sudo make bench     dwell beside its peers            } QUESTION=, WORK=, ROUNDS='
	@echo 'sudo make bench-query   what query costs pgbench      } ROUNDS='
	@echo 'make lint           rules of the source tree          }'
	@echo 'make format         clang-format on all C files'
	@echo 'make check-vmlinux  vmlinux/ against the running kernel'
	@echo 'make install        to $$(DESTDIR)$$(PREFIX), PREFIX=$(PREFIX)'
	@echo 'make clean'
	@echo 'V=1 shows the commands. Tools and libraries: sudo tools/install-deps'

# Tools and libraries, looked for once: a missing one stops here with its package's name.
$(B)/.checked: tools/install-deps
	@mkdir -p $(@D)
	@CC='$(CC)' CLANG='$(CLANG)' BPFTOOL='$(BPFTOOL)' PKG_CONFIG='$(PKG_CONFIG)' \
		tools/install-deps --check build
	@touch $@

# Objects are kept though only pattern rules name them.
.SECONDARY:

-include $(wildcard $(B)/*/*.d $(B)/*/*/*.d $(B)/*/*/*/*.d)
