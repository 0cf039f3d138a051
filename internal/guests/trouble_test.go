package guests

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/qarion/qarion/wasmhooks"
)

func troubleModule(t testing.TB) []byte {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no Go toolchain to build the hooks with")
	}
	module, err := buildOnce(t.Context(), filepath.Join(Root(), "testdata", "trouble"))
	if err != nil {
		t.Fatal(err)
	}
	return module
}

// TestTrouble_OfGoModules: what goes wrong inside a module in Go ends in its
// class of error with a line that says what it was, and the next call gets an
// instance that knows nothing of it.
func TestTrouble_OfGoModules(t *testing.T) {
	module := troubleModule(t)
	for _, c := range []struct{ name, config, class, text string }{
		{"a panic", `{"do":"panic","say":"order 7 is odd"}`, wasmhooks.ClassTrap, "panic: order 7 is odd (main.go:"},
		{"a write to a nil map", `{"do":"nil map"}`, wasmhooks.ClassTrap, "panic: assignment to entry in nil map (main.go:"},
		{"a panic after much was printed", `{"do":"print and panic","n":500,"say":"order 7 is odd"}`, wasmhooks.ClassTrap, "panic: order 7 is odd (main.go:"},
		{"a recursion without end", `{"do":"recurse","n":1000000000}`, wasmhooks.ClassTimeout, "it took more than"},
		{"waiting for ever", `{"do":"deadlock"}`, wasmhooks.ClassTrap, "fatal error: all goroutines are asleep - deadlock! (main.go:"},
		{"os.Exit", `{"do":"exit","n":3}`, wasmhooks.ClassTrap, "it ended itself with code 3"},
		{"os.Exit(0)", `{"do":"exit"}`, wasmhooks.ClassTrap, "it ended itself with code 0"},
		{"a loop without end", `{"do":"loop"}`, wasmhooks.ClassTimeout, "it took more than"},
		{"more memory than there is", `{"do":"keep","n":50000000}`, wasmhooks.ClassTrap, "runtime: out of memory"},
		{"much garbage", `{"do":"garbage","n":50000}`, "", ""},
		{"a deep recursion", `{"do":"recurse","n":10000}`, "", "10000"},
		{"a goroutine that is left behind", `{"do":"leave a goroutine"}`, "", ""},
		{"reading what is not there", `{"do":"look around"}`, "", "seen: []"},
		{"printing", `{"do":"print","say":"hello"}`, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := start(t, "compiler", module)
			r := row{hook: "check", config: c.config, body: "{}"}
			a := h.ask(t, r)
			switch {
			case c.class == "" && a.Err != nil:
				t.Fatalf("%s: %v", a.Err.Class, a.Err)
			case c.class == "" && c.text == "" && len(a.Verdict.Errors) > 0,
				c.class == "" && c.text != "" && (len(a.Verdict.Errors) != 1 || a.Verdict.Errors[0].Message != c.text):
				t.Fatalf("have %+v, want %q", a.Verdict, c.text)
			case c.class != "" && (a.Err == nil || a.Err.Class != c.class || !strings.Contains(a.Err.Message, c.text)):
				t.Fatalf("have %+v, want %s: %s", a.Err, c.class, c.text)
			}
			want := "call 1 of this instance, 0 bytes kept"
			if c.class == "" {
				want = "call 2 of this instance, 0 bytes kept"
			}
			next := h.ask(t, row{hook: "check", config: `{"do":"count"}`, body: "{}"})
			if next.Err != nil || len(next.Verdict.Errors) != 1 || next.Verdict.Errors[0].Message != want {
				t.Errorf("the next call: %+v, %v, want %s", next.Verdict, next.Err, want)
			}
		})
	}
}

// TestTrouble_WhatWasPrintedBeforeIsNotTheReason: a line of an earlier call is
// not taken for the reason of a panic.
func TestTrouble_WhatWasPrintedBeforeIsNotTheReason(t *testing.T) {
	h := start(t, "compiler", troubleModule(t))
	h.ask(t, row{hook: "check", config: `{"do":"print","say":"panic: of yesterday"}`, body: "{}"})
	a := h.ask(t, row{hook: "check", config: `{"do":"exit","n":1}`, body: "{}"})
	if a.Err == nil || strings.Contains(a.Err.Message, "yesterday") {
		t.Errorf("have %v", a.Err)
	}
}

// TestTrouble_SleepingCostsWork: a hook cannot park a worker. Time that it
// sleeps is time that it turns, and that is bounded.
func TestTrouble_SleepingCostsWork(t *testing.T) {
	h := start(t, "compiler", troubleModule(t))
	a := h.ask(t, row{hook: "check", config: `{"do":"sleep","n":3600000}`, body: "{}"})
	if a.Err == nil || a.Err.Class != wasmhooks.ClassTimeout {
		t.Errorf("an hour of sleep ends with %v", a.Err)
	}
}

// TestTrouble_LogLinesAreBounded: 16 lines of 1 KiB, the others are counted.
func TestTrouble_LogLinesAreBounded(t *testing.T) {
	h := start(t, "compiler", troubleModule(t))
	a := h.ask(t, row{hook: "check", config: `{"do":"log","n":20,"say":"` + strings.Repeat("ä", 1000) + `"}`, body: "{}"})
	if a.Err != nil || len(a.Lines) != 16 || a.Dropped != 4 {
		t.Fatalf("%d lines, %d dropped, %v", len(a.Lines), a.Dropped, a.Err)
	}
	for _, l := range a.Lines {
		if len(l.Text) > 1030 {
			t.Errorf("a line of %d bytes", len(l.Text))
		}
	}
}

// TestTrouble_OfOtherLanguages: a panic in Rust and a throw in AssemblyScript say
// what and where, too.
func TestTrouble_OfOtherLanguages(t *testing.T) {
	for _, c := range []struct{ language, source, text string }{
		{"rust", `
#[macro_use]
mod qarion_hook;
use qarion_hook::*;
validate!(check);
fn check(r: &Call) -> Result<(), Error> {
    let list = [1, 2, 3];
    log(1, &format!("{}", list[r.body.len()]));
    Ok(())
}
`, "panic: index out of bounds: the len is 3 but the index is 7 (check.rs:8)"},
		{"rust", `
#[macro_use]
mod qarion_hook;
use qarion_hook::*;
validate!(check);
fn check(r: &Call) -> Result<(), Error> { panic!("order {} is odd", r.body.len()) }
`, "panic: order 7 is odd (check.rs:6)"},
		{"assemblyscript", `
import { begin, body, endValidate } from "./qarion";
export { qarion_abi_version, qarion_alloc } from "./qarion";
export function qarion_validate(p: usize, meta: u32, bodyLen: u32): u64 {
  begin(p, meta, bodyLen);
  if (body().n == 7) throw new Error("order 7 is odd");
  return endValidate();
}
`, "aborted: order 7 is odd at check.ts:6:22"},
		{"c", `
#include "qarion_hook.h"
static void check(void) { qh_take(0x7fffffff); }
QH_VALIDATE(check)
`, "unreachable"},
	} {
		t.Run(c.language, func(t *testing.T) {
			if why, err := exec.Command("bash", filepath.Join(Root(), "build.sh"), "-c", c.language).CombinedOutput(); err != nil {
				t.Skipf("%s", why)
			}
			h := start(t, "compiler", buildAs(t, c.language, c.source))
			a := h.ask(t, row{hook: "check", body: "7 bytes"})
			if a.Err == nil || a.Err.Class != wasmhooks.ClassTrap || !strings.Contains(a.Err.Message, c.text) {
				t.Errorf("have %+v, want %s", a.Err, c.text)
			}
		})
	}
}

// buildAs builds a source in the place of check.
func buildAs(t *testing.T, language, source string) []byte {
	t.Helper()
	dir := t.TempDir()
	for _, part := range []string{"build.sh", language} {
		copyTree(t, filepath.Join(Root(), part), filepath.Join(dir, part))
	}
	if language == "assemblyscript" {
		if err := os.Symlink(filepath.Join(Root(), language, "node_modules"), filepath.Join(dir, language, "node_modules")); err != nil {
			t.Fatal(err)
		}
	}
	ending := map[string]string{"c": ".c", "rust": ".rs", "assemblyscript": ".ts"}[language]
	if err := os.WriteFile(filepath.Join(dir, language, "check"+ending), []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	if text, err := exec.Command("bash", filepath.Join(dir, "build.sh"), "-o", filepath.Join(dir, "out"), "-h", "check", language).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	module, err := os.ReadFile(filepath.Join(dir, "out", language, "check.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return module
}
