# dray - `make demo` and `make check` do everything on a fresh Debian 12; `make help` lists the targets.
#
# Objects stand in build/VARIANT (release, asan, test, cov, fuzz), so that the variants live side by side.

VARIANT ?= release
B       ?= build
O       := $(B)/$(VARIANT)
PREFIX  ?= /usr/local
DESTDIR ?=
PYTHON  ?= /usr/bin/python3
VERSION := 0.1.0
JOBS    ?= $(shell nproc)
# V=1 shows the commands.
Q       := $(if $(V),,@)

CC := $(if $(filter default,$(origin CC)),gcc,$(CC))
ifeq ($(VARIANT),fuzz)
CC := clang
endif

PKGS   := hiredis msgpack libcurl jansson libfyaml libdeflate openssl libseccomp
LLHTTP := $(firstword $(wildcard /usr/share/llhttp))

WARN := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wvla -Wno-format-zero-length -Werror
BASE := -std=gnu17 -D_GNU_SOURCE -DDRAY_VERSION='"$(VERSION)"' -I. -I$(B)/gen $(if $(LLHTTP),-isystem /usr/share/include/llhttp) \
        $(shell pkg-config --cflags $(PKGS) 2>/dev/null | sed 's/-I/-isystem /g') -fno-omit-frame-pointer -g
LIBS := -lev -lncursesw -ltinfo $(shell pkg-config --libs $(PKGS) 2>/dev/null) $(if $(LLHTTP),,-lllhttp) -lpthread -lm

CFLAGS_release := -O2 -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE
LDFLAGS_release := -pie -Wl,-z,relro,-z,now -Wl,--as-needed
CFLAGS_asan := -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -DDRAY_TEST=1
LDFLAGS_asan := -fsanitize=address,undefined
# The release build with the places where a test makes something happen (common/base/hook.h): make VARIANT=test.
CFLAGS_test := $(CFLAGS_release) -DDRAY_TEST=1
LDFLAGS_test := $(LDFLAGS_release)
CFLAGS_cov := -O0 --coverage -DDRAY_TEST=1
LDFLAGS_cov := --coverage
# clang counts sign conversions under -Wconversion, gcc does not.
CFLAGS_fuzz := -O1 -Wno-sign-conversion -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -DDRAY_TEST=1
LDFLAGS_fuzz := -fsanitize=address,undefined

CFLAGS  += $(BASE) $(WARN) $(CFLAGS_$(VARIANT))
LDFLAGS += $(LDFLAGS_$(VARIANT))

COMMON  := $(wildcard common/*/*.c)
IPC     := $(wildcard ipc/*.c)
WORKERS := $(wildcard workers/*.c workers/*/*.c workers/*/*/*.c)
MASTER  := $(filter-out master/main.c,$(wildcard master/*.c master/cli/*.c))
THIRD   := $(if $(LLHTTP),$(wildcard $(LLHTTP)/*.c))
LUA     := $(wildcard common/*/lua/*.lua)

LIB_OBJ   := $(patsubst %.c,$(O)/%.o,$(COMMON) $(IPC) $(WORKERS) $(MASTER))
THIRD_OBJ := $(patsubst $(LLHTTP)/%.c,$(O)/third/%.o,$(THIRD))
LIB       := $(O)/libdray.a
UNIT      := $(patsubst %.c,$(O)/%,$(wildcard tests/unit/*_test.c))
FUZZ      := $(patsubst %.c,$(O)/%,$(wildcard tests/fuzz/*_fuzz.c))
DRIVERS   := $(patsubst %.c,$(O)/%,$(wildcard tests/interop/*_driver.c))
BENCH     := $(patsubst %.c,$(O)/%,$(wildcard tests/bench/*_bench.c))
LUA_GEN   := $(patsubst %,$(B)/gen/%.h,$(LUA))

.PHONY: all setup install check check-unit demo run bench bench-peers soak fuzz model lint format format-check layers headers tables \
        clean help units next fuzzers benches asan
.SECONDARY:

all: $(O)/dray

help:
	@sed -n 's/^## //p' Makefile

## all            the program: build/release/dray
## setup          install the Debian packages that are missing
## demo           set up, build, run the main job on a managed Redis
## check          set up, build, run all tests (sanitizers on)
## check-unit     the unit tests alone (under 30 s)
## run            build and start dray in the foreground (make run ARGS="--to http://...")
## bench          figures, as ratios measured side by side
## bench-peers    the same work done by what dray would replace: Bull, BullMQ, Sidekiq, an SDK's own queue (installs them)
## soak           the long runs with full counts
## fuzz           every fuzzer for half a minute
## model          the queue's rules as models, checked by spin (under a minute; ARGS=--deep: the large ones)
## lint layers headers tables format   the checks of the house, and the formatter
## install        to DESTDIR/PREFIX

setup:
	@sh etc/setup.sh

$(O)/dray: $(O)/master/main.o $(LIB) $(O)/third.a
	$(if $(V),,@echo '  LINK  $@')
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

# The same program under another version, for tests of upgrades: one object differs.
$(O)/common/base/version_next.o: common/base/version.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -UDRAY_VERSION -DDRAY_VERSION='"$(VERSION)+next"' -c -o $@ $<

$(O)/dray-next: $(O)/master/main.o $(O)/common/base/version_next.o $(LIB) $(O)/third.a
	$(if $(V),,@echo '  LINK  $@')
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

$(LIB): $(LIB_OBJ)
	@rm -f $@
	@ar rcsP $@ $^

$(O)/third.a: $(THIRD_OBJ)
	@rm -f $@
	@ar rcsP $@ $^

$(O)/%.o: %.c | $(LUA_GEN)
	@mkdir -p $(@D)
	$(if $(V),,@echo '  CC    $<')
	$(Q)$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

$(O)/third/%.o: $(LLHTTP)/%.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(filter-out $(WARN),$(CFLAGS)) -w -MMD -MP -c -o $@ $<

# A Lua script as a C string: one quoted line per line of the script.
$(B)/gen/%.lua.h: %.lua
	@mkdir -p $(@D)
	@sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/"/' -e 's/$$/\\n"/' $< > $@

$(O)/tests/unit/%_test: $(O)/tests/unit/%_test.o $(LIB) $(O)/third.a
	$(if $(V),,@echo '  LINK  $@')
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS) -lcmocka

$(O)/tests/fuzz/%_fuzz: $(O)/tests/fuzz/%_fuzz.o $(LIB) $(O)/third.a
	$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LIBS)

$(O)/tests/interop/%_driver: $(O)/tests/interop/%_driver.o $(LIB) $(O)/third.a
	$(if $(V),,@echo '  LINK  $@')
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

$(O)/tests/bench/%_bench: $(O)/tests/bench/%_bench.o $(LIB) $(O)/third.a
	$(if $(V),,@echo '  LINK  $@')
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

next: $(O)/dray-next
units: $(UNIT) $(DRIVERS) next
fuzzers: $(FUZZ)
benches: $(BENCH)
asan:
	@$(MAKE) --no-print-directory -j$(JOBS) VARIANT=asan all

demo: setup
	@$(MAKE) --no-print-directory -s -j$(JOBS) all
	@$(B)/release/dray demo

run: setup
	@$(MAKE) --no-print-directory -s -j$(JOBS) all
	@$(B)/release/dray run $(ARGS)

check: setup
	@$(MAKE) --no-print-directory -s -j$(JOBS) VARIANT=asan all units
	@$(MAKE) --no-print-directory -s -j$(JOBS) all next
	@$(PYTHON) tests/check.py --build $(B) $(ARGS)

check-unit:
	@$(MAKE) --no-print-directory -s -j$(JOBS) VARIANT=asan units
	@$(PYTHON) tests/check.py --build $(B) --only unit

bench: setup
	@$(MAKE) --no-print-directory -s -j$(JOBS) all benches
	@$(PYTHON) tests/bench/bench.py --build $(B) $(ARGS)

bench-peers:
	@sh etc/setup.sh --peers
	@$(MAKE) --no-print-directory -s -j$(JOBS) all benches
	@$(PYTHON) tests/bench/peers/peers.py --build $(B) $(ARGS)

soak: setup
	@$(MAKE) --no-print-directory -s -j$(JOBS) VARIANT=asan all
	@$(MAKE) --no-print-directory -s -j$(JOBS) VARIANT=test all
	@$(MAKE) --no-print-directory -s -j$(JOBS) all
	@$(PYTHON) tests/check.py --build $(B) --soak $(ARGS)

fuzz: setup
	@$(MAKE) --no-print-directory -s -j$(JOBS) VARIANT=fuzz fuzzers
	@sh tests/fuzz/run.sh $(B)/fuzz/tests/fuzz $(or $(SECONDS_EACH),30)

model: setup
	@$(PYTHON) tests/model/run.py $(ARGS)

OURS := $(wildcard common/*/*.[ch] ipc/*.[ch] workers/*.[ch] workers/*/*.[ch] workers/*/*/*.[ch] master/*.[ch] master/cli/*.[ch] \
        tests/*/*.[ch])

format:
	@clang-format -i $(OURS)

format-check:
	@clang-format --dry-run -Werror $(OURS)

lint: format-check $(LUA_GEN)
	@sh tests/lib/lint.sh $(B)
layers: $(patsubst %.c,$(O)/%.o,$(wildcard master/*.c))
	@$(PYTHON) tests/lib/layers.py $(O)
headers:
	@for h in $(filter %.h,$(OURS)); do printf '#include "%s"\n' $$h | $(CC) $(CFLAGS) -x c -fsyntax-only - || exit 1; done
tables:
	@$(PYTHON) tests/lib/tables.py

install: all
	install -D -m 755 $(B)/release/dray $(DESTDIR)$(PREFIX)/bin/dray
	install -D -m 644 etc/dray.yaml $(DESTDIR)$(PREFIX)/share/doc/dray/dray.yaml
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/doc/dray etc/examples/redis-over-tls.yaml etc/examples/stunnel-redis.conf
	install -D -m 644 etc/dray.1 $(DESTDIR)$(PREFIX)/share/man/man1/dray.1
	install -D -m 644 etc/dray.socket $(DESTDIR)$(PREFIX)/share/doc/dray/dray.socket
	install -D -m 644 etc/dray.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/dray.conf
	install -D -m 644 etc/dray.service $(DESTDIR)$(PREFIX)/lib/systemd/system/dray.service
	@sed -i 's|/usr/local/bin/|$(PREFIX)/bin/|' $(DESTDIR)$(PREFIX)/lib/systemd/system/dray.service

clean:
	rm -rf $(B)

-include $(shell find $(O) -name '*.d' 2>/dev/null)
