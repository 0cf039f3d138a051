package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/qarion/qarion/internal/testkit"
	"github.com/qarion/qarion/node"
)

// TestBackup_WhatWaitedGoesOn: a backup is made beside a node with runs in
// every state, the node is killed, and the backup is restored elsewhere. What
// had ended stays, what waited goes on, once; a POST without a key that was on
// its way waits for a person and is not sent again.
func TestBackup_WhatWaitedGoesOn(t *testing.T) {
	for _, to := range []string{"saved", "saved.tar.zst"} {
		t.Run(to, func(t *testing.T) {
			u := testkit.NewUpstream(t)
			dir := t.TempDir()
			task := func(id, path, deps, more string) string { return upstreamTask(u, id, path, deps, more) }
			for name, text := range map[string]string{
				"done":  task("a", "ok", "", "") + task("b", "ok", after("a"), ""),
				"retry": task("first", "ok", "", "") + task("again", "flaky/1/503", after("first"), "retry_count = 3\nretry_delay = 8") + task("last", "ok", after("again"), ""),
				"pay":   task("before", "ok", "", "") + task("charge", "silent", after("before"), "operation = \"post\"\ntimeout = 300"),
				"keyed": task("charge", "slow/3s", "", "operation = \"post\"\nidempotency_key = true"),
			} {
				write(t, filepath.Join(dir, "flows", name+".toml"), text)
			}
			if out, errs, code := qarion(t, dir, "credentials", "store", "--credential-id", "shop", "--type", "api_key", "--json", `{"api_key": "a-long-secret"}`); code != 0 {
				t.Fatal(out, errs)
			}
			p := testkit.Serve(t, dir)
			runs := map[string]string{}
			for _, flow := range []string{"done", "retry", "pay", "keyed"} {
				out, errs, code := qarion(t, dir, "trigger", flow, "-q")
				if code != 0 {
					t.Fatal(out, errs)
				}
				runs[flow] = strings.TrimSpace(out)
			}
			called := func(run, task string) (n int) {
				for _, r := range u.Requests() {
					if r.Run == run && r.Task == task {
						n++
					}
				}
				return n
			}
			until(t, "calls are on their way", func() bool {
				return called(runs["retry"], "again") == 1 && called(runs["pay"], "charge") == 1 && called(runs["keyed"], "charge") == 1 && called(runs["done"], "b") == 1
			})
			awaitStatus(t, dir, 3)
			out, errs, code := qarion(t, dir, "backup", to)
			if code != 0 || !strings.Contains(out, "3 open runs; read back and checked\nthe key of the credentials is not in it: keep a copy of it elsewhere (or --with-key)\n") {
				t.Fatalf("%d %s%s", code, out, errs)
			}
			if _, errs, code := qarion(t, dir, "backup", to); code != 1 || !strings.Contains(errs, to+" is there already\nqarion: hint: choose another name: a backup never overwrites one") {
				t.Errorf("a second one: %d %s", code, errs)
			}
			p.Kill()

			fresh := t.TempDir()
			if err := os.Rename(filepath.Join(dir, "flows"), filepath.Join(fresh, "flows")); err != nil {
				t.Fatal(err)
			}
			out, errs, code = qarion(t, fresh, "restore", filepath.Join(dir, to))
			if code != 0 || !strings.Contains(out, "3 open runs\nstored credentials cannot be opened yet: the key file data/key is not there\n") {
				t.Fatalf("%d %s%s", code, out, errs)
			}
			if err := os.CopyFS(filepath.Join(fresh, "keys"), os.DirFS(filepath.Join(dir, "data"))); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(fresh, "keys", "key"), filepath.Join(fresh, "data", "key")); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(filepath.Join(fresh, "data", "key"), 0o600); err != nil {
				t.Fatal(err)
			}
			if list := worst(doctorSays(t, fresh)); len(list) > 0 {
				t.Errorf("after the restore: %s", strings.Join(list, "\n"))
			}
			p = testkit.Serve(t, fresh)
			awaitStatus(t, fresh, 1)
			status, _ := statuses(t, fresh)
			for flow, want := range map[string]string{"done": "success", "retry": "success", "pay": "interrupted", "keyed": "success"} {
				if got := status[runs[flow]]; got != want {
					t.Errorf("run of %s is %q, want %q", flow, got, want)
				}
			}
			for what, want := range map[string]int{"done a": 1, "done b": 1, "retry first": 1, "retry again": 2, "retry last": 1, "pay before": 1, "pay charge": 1, "keyed charge": 2} {
				flow, task, _ := strings.Cut(what, " ")
				if got := called(runs[flow], task); got != want {
					t.Errorf("%s was called %d times, want %d", what, got, want)
				}
			}
			if code := p.Stop(); code != 0 {
				t.Errorf("the node stopped with exit code %d", code)
			}
			if list := worst(doctorSays(t, fresh)); len(list) > 0 {
				t.Errorf("after going on: %s", strings.Join(list, "\n"))
			}
		})
	}
}

// until waits for something that a server or a process does.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// TestBackup_WhileMuchHappens: backups beside a node that works without a pause
// are whole, every one.
func TestBackup_WhileMuchHappens(t *testing.T) {
	u := testkit.NewUpstream(t)
	dir := t.TempDir()
	u.Handle("/large", testkit.OK(fmt.Sprintf("%q", strings.Repeat("large ", 30_000))))
	write(t, filepath.Join(dir, "flows", "f.toml"), upstreamTask(u, "a", "ok", "", "")+upstreamTask(u, "b", "large", after("a"), ""))
	p := testkit.Serve(t, dir)
	nc, err := nats.Connect(p.Access.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	ctx, stop := context.WithCancel(t.Context())
	var sent sync.WaitGroup
	sent.Go(func() {
		pace := time.NewTicker(time.Millisecond)
		defer pace.Stop()
		for ctx.Err() == nil {
			<-pace.C
			_ = nc.Publish("qarion.trigger.f", []byte("{}"))
		}
	})
	var last string
	for i := range 3 {
		last = fmt.Sprintf("b%d", i)
		if out, errs, code := qarion(t, dir, "backup", last); code != 0 {
			t.Errorf("backup %d: %d %s%s", i, code, out, errs)
		}
	}
	stop()
	sent.Wait()
	p.Kill()
	to := t.TempDir()
	if err := os.MkdirAll(filepath.Join(to, "flows"), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, errs, code := qarion(t, to, "restore", filepath.Join(dir, last)); code != 0 {
		t.Fatalf("%d %s%s", code, out, errs)
	}
	p = testkit.Serve(t, to)
	awaitStatus(t, to, 0)
	status, _ := statuses(t, to)
	for run, s := range status {
		if s != "success" {
			t.Errorf("run %s is %s", run, s)
		}
	}
	if len(status) == 0 {
		t.Error("no runs were restored")
	}
	p.Stop()
}

// TestBackup_KilledLeavesNothingThatLooksWhole kills backup and restore at
// random moments.
// TestBackup_TakesNobodysFiles: a backup is made beside its name, where somebody
// may keep something.
func TestBackup_TakesNobodysFiles(t *testing.T) {
	dir := t.TempDir()
	if out, errs, code := qarion(t, dir, "runs", "list"); code != 0 {
		t.Fatal(out, errs)
	}
	write(t, filepath.Join(dir, "a.part", "mine"), "kept")
	write(t, filepath.Join(dir, "b.tar.zst.part"), "kept")
	for _, to := range []string{"a", "b.tar.zst"} {
		_, errs, code := qarion(t, dir, "backup", to)
		if want := to + ".part is there already, and no backup has left it: move it away"; code == 0 || !strings.Contains(errs, want) {
			t.Errorf("%s: %d %s, want %q", to, code, errs, want)
		}
	}
	for _, name := range []string{"a.part/mine", "b.tar.zst.part"} {
		if data, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(data) != "kept" {
			t.Errorf("%s: %q %v", name, data, err)
		}
	}
}

func TestBackup_KilledLeavesNothingThatLooksWhole(t *testing.T) {
	good := filled(t, false)
	before, _ := statuses(t, good)
	began := time.Now()
	if out, errs, code := qarion(t, good, "backup", "whole"); code != 0 {
		t.Fatalf("%d %s%s", code, out, errs)
	}
	took := time.Since(began)
	rng := rand.New(rand.NewPCG(5, 9))
	kill := func(dir string, args ...string) {
		cmd := exec.Command(testkit.Binary(t), append(args, "--data-dir", "data")...)
		cmd.Dir = dir
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Duration(rng.Int64N(int64(took + took/4))))
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	whole, halves := 0, 0
	for i := range 12 {
		to := fmt.Sprintf("b%d%s", i, []string{"", node.ArchiveExt}[i%2])
		kill(good, "backup", to)
		if _, err := os.Stat(filepath.Join(good, to)); err == nil {
			whole++
			dir := t.TempDir()
			if out, errs, code := qarion(t, dir, "restore", filepath.Join(good, to)); code != 0 {
				t.Errorf("a backup that was killed stands under its name and is not whole: %s%s", out, errs)
			}
		} else if now, _ := statuses(t, restored(t, filepath.Join(good, to+".part"))); now != nil && len(now) != len(before) {
			t.Errorf("half a backup is restored: %d of %d runs", len(now), len(before))
		} else if out, errs, code := qarion(t, good, "backup", to); code != 0 {
			t.Errorf("the next backup to where one was cut off: %s%s", out, errs)
		}
	}
	for range 12 {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "data", "old"), "what was here before")
		kill(dir, "restore", filepath.Join(good, "whole"), "--replace")
		now, errs := statuses(t, dir)
		if len(now) == 0 {
			halves++
			if now == nil && !strings.Contains(errs, "a restore into data was not finished: restore the backup again") {
				t.Errorf("half a restore: %s", errs)
			}
		}
		if len(now) > 0 && len(now) != len(before) {
			t.Errorf("half a restore shows %d of %d runs", len(now), len(before))
		}
		if len(now) == 0 { // go on
			if out, errs, code := qarion(t, dir, "restore", filepath.Join(good, "whole"), "--replace"); code != 0 {
				t.Errorf("the second try: %d %s%s", code, out, errs)
			}
			if now, errs = statuses(t, dir); len(now) != len(before) {
				t.Errorf("after the second try: %d of %d runs %s", len(now), len(before), errs)
			}
		}
		old, err := filepath.Glob(filepath.Join(dir, "data", "before-restore-*", "old"))
		if err != nil || len(old) != 1 {
			t.Errorf("what was there is not put aside: %v %v", old, err)
		}
	}
	t.Logf("%d of 12 backups were whole, %d of 12 restores were not", whole, halves)
}

// restored is a folder into which a backup was restored, or was not.
func restored(t *testing.T, from string) (dir string) {
	dir = t.TempDir()
	if _, _, code := qarion(t, dir, "restore", from); code != 0 {
		write(t, filepath.Join(dir, "data", "restoring"), "it did not work")
	}
	return dir
}

// TestRestore_RefusesWhatIsNotWhole: each in one line, and nothing is left.
func TestRestore_RefusesWhatIsNotWhole(t *testing.T) {
	good := filled(t, false)
	if out, errs, code := qarion(t, good, "backup", "b", "--with-key"); code != 0 || !strings.Contains(out, "the key is in it: whoever has the backup can open the stored credentials\n") {
		t.Fatalf("%d %s%s", code, out, errs)
	}
	if out, errs, code := qarion(t, good, "backup", "b.tar.zst"); code != 0 {
		t.Fatalf("%d %s%s", code, out, errs)
	}
	for _, c := range []struct {
		name, want string
		spoil      func(t *testing.T, b string) (from string)
	}{
		{"a file is missing", "of the backup is missing", func(t *testing.T, b string) string {
			remove(t, block(t, filepath.Join(b, "nats/jetstream/QARION/streams/QARION_LEDGER")))
			return b
		}},
		{"a bit is flipped", "of the backup is not what was backed up", func(t *testing.T, b string) string {
			flip(t, block(t, filepath.Join(b, "nats/jetstream/QARION/streams/QARION_LEDGER")), 0.5)
			return b
		}},
		{"no manifest", "is no whole backup: it has no backup.json", func(t *testing.T, b string) string { remove(t, filepath.Join(b, "backup.json")); return b }},
		{"a manifest that is cut", "its backup.json cannot be read", func(t *testing.T, b string) string { cut(t, filepath.Join(b, "backup.json"), 0.5); return b }},
		{"an archive that is cut", "is no whole backup", func(t *testing.T, b string) string { cut(t, b+".tar.zst", 0.7); return b + ".tar.zst" }},
		{"some other file", "is no whole backup", func(t *testing.T, b string) string { write(t, b+".txt", "hello"); return b + ".txt" }},
		{"nothing", "there is no backup", func(_ *testing.T, b string) string { return b + "-nowhere" }},
		{"a path that leads out", "the backup names", func(t *testing.T, b string) string {
			change(t, filepath.Join(b, "backup.json"), `"metadata.db"`, `"../metadata.db"`)
			return b
		}},
		{"a newer format", "has format 9", func(t *testing.T, b string) string {
			change(t, filepath.Join(b, "backup.json"), `"format": 1`, `"format": 9`)
			return b
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, name := range []string{"b", "b.tar.zst"} {
				if out, err := exec.Command("cp", "-r", filepath.Join(good, name), filepath.Join(dir, name)).CombinedOutput(); err != nil {
					t.Fatalf("%v %s", err, out)
				}
			}
			from := c.spoil(t, filepath.Join(dir, "b"))
			_, errs, code := qarion(t, dir, "restore", from)
			if code != 1 || !strings.Contains(errs, c.want) || strings.Count(errs, "qarion: error: ") != 1 {
				t.Errorf("%d %s", code, errs)
			}
			if now, errs := statuses(t, dir); len(now) > 0 {
				t.Errorf("and yet there are %d runs: %s", len(now), errs)
			}
		})
	}
	if _, errs, code := qarion(t, good, "restore", "b"); code != 1 || !strings.Contains(errs, "the data directory data is not empty\nqarion: hint: put aside what is in it: qarion restore --replace b") {
		t.Errorf("into a used directory: %d %s", code, errs)
	}
	p := testkit.Serve(t, good)
	if _, errs, code := qarion(t, good, "restore", "b", "--replace"); code != 3 || !strings.Contains(errs, "is in use by qarion serve") {
		t.Errorf("beside a node: %d %s", code, errs)
	}
	p.Stop()
	out, errs, code := qarion(t, good, "restore", "b", "--replace", "--output", "json")
	var got node.Restored
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || got.OpenRuns != 2 || !got.Manifest.WithKey || got.NeedsKey != "" {
		t.Errorf("%d %s%s", code, out, errs)
	}
	if list := worst(doctorSays(t, good)); len(list) > 0 {
		t.Errorf("after the restore: %s", strings.Join(list, "\n"))
	}
}

func change(t *testing.T, file, old, to string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(data), old) {
		t.Fatalf("%s has no %s (%v)", file, old, err)
	}
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(data), old, to)), 0o600); err != nil {
		t.Fatal(err)
	}
}
