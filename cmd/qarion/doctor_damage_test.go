package main_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/qarion/qarion/internal/testkit"
	"github.com/qarion/qarion/node"
)

// damage is a way to spoil a stream's files.
type damage struct {
	name string
	do   func(t *testing.T, stream string)
}

var damages = []damage{
	{"two bytes flipped near the beginning", func(t *testing.T, s string) { flip(t, block(t, s), 0.1) }},
	{"two bytes flipped in the middle", func(t *testing.T, s string) { flip(t, block(t, s), 0.5) }},
	{"two bytes flipped at the end", func(t *testing.T, s string) { flip(t, block(t, s), 1) }},
	{"cut in half", func(t *testing.T, s string) { cut(t, block(t, s), 0.5) }},
	{"cut to nothing", func(t *testing.T, s string) { cut(t, block(t, s), 0) }},
	{"the messages deleted", func(t *testing.T, s string) { remove(t, block(t, s)) }},
	{"the messages and the index deleted", func(t *testing.T, s string) { remove(t, filepath.Join(s, "msgs")) }},
	{"the configuration flipped", func(t *testing.T, s string) { flip(t, filepath.Join(s, "meta.inf"), 0.5) }},
	{"the configuration cut", func(t *testing.T, s string) { cut(t, filepath.Join(s, "meta.inf"), 0.5) }},
	{"the configuration deleted", func(t *testing.T, s string) { remove(t, filepath.Join(s, "meta.inf")) }},
	{"its checksum deleted", func(t *testing.T, s string) { remove(t, filepath.Join(s, "meta.sum")) }},
	{"the stream deleted", func(t *testing.T, s string) { remove(t, s) }},
}

func flip(t *testing.T, file string, part float64) { testkit.FlipBytes(t, file, part) }

func cut(t *testing.T, file string, part float64) {
	t.Helper()
	info, err := os.Stat(file)
	if err == nil {
		err = os.Truncate(file, int64(part*float64(info.Size())))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func size(t *testing.T, file string) int64 {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// block is the first file of a stream's messages.
func block(t *testing.T, stream string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(stream, "msgs", "*.blk"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		return filepath.Join(stream, "msgs", "none")
	}
	return files[0]
}

// quiet are damages that nobody can tell from what a crash leaves, or that hurt
// nothing: views that end early, and are written on from there.
func quiet(stream, damage string) bool {
	view := slices.Contains([]string{"KV_qarion_runs", "KV_qarion_xcom", "QARION_EVENTS"}, stream)
	switch damage {
	case "cut in half", "cut to nothing":
		return view
	case "the messages and the index deleted":
		return view || slices.Contains([]string{"QARION_CHECKPOINTS", "QARION_TRIGGERS", "KV_qarion_credentials", "KV_qarion_tokens"}, stream)
	}
	return false
}

// TestDoctor_NamesDamage spoils every stream in every way: doctor says so and
// names the stream, and a node either says what is wrong and ends, or works,
// and shows no run as success that was not one.
func TestDoctor_NamesDamage(t *testing.T) {
	good := filled(t, false)
	ended, _ := statuses(t, good)
	for _, path := range storeFiles(t, good, "*") {
		stream := filepath.Base(path)
		for _, d := range damages {
			if files, _ := filepath.Glob(filepath.Join(path, "msgs", "*.blk")); (len(files) == 0 || size(t, files[0]) < 2) && !strings.Contains(d.name, "configuration") && !strings.Contains(d.name, "checksum") {
				continue // nothing is in it
			}
			t.Run(stream+"/"+strings.ReplaceAll(d.name, " ", "_"), func(t *testing.T) {
				dir := like(t, good)
				d.do(t, storeFiles(t, dir, stream)[0])
				found := doctorSays(t, dir)
				list := worst(found)
				if len(list) == 0 && !quiet(stream, d.name) && !optional(stream, d.name) {
					t.Fatalf("doctor is content: %+v", found.Findings)
				}
				if len(list) > 0 && !strings.Contains(strings.Join(list, "\n"), " "+stream+" ") {
					t.Errorf("doctor does not name the stream:\n%s", strings.Join(list, "\n"))
				}
				serveDamaged(t, dir, stream, ended)
			})
		}
	}
}

// optional: a stream that is only there once somebody has stored something.
func optional(stream, damage string) bool {
	return damage == "the stream deleted" && (stream == "KV_qarion_tokens" || stream == "QARION_TRIGGERS")
}

// statuses are how runs stand, by their ids; none when the store cannot be
// opened, and what was said then.
func statuses(t *testing.T, dir string) (all map[string]string, errs string) {
	t.Helper()
	out, errs, code := qarion(t, dir, "runs", "list", "--limit", "1000", "--output", "json")
	if code == 1 {
		return nil, errs
	}
	var docs []struct {
		ID     string `json:"run_id"`
		Status string `json:"status"`
	}
	if err := json.Unmarshal([]byte(out), &docs); err != nil {
		t.Fatalf("runs list: %d %v: %s%s", code, err, out, errs)
	}
	all = map[string]string{}
	for _, d := range docs {
		all[d.ID] = d.Status
	}
	return all, errs
}

// serveDamaged opens a node on what is left, as `runs list` does without one.
func serveDamaged(t *testing.T, dir, stream string, before map[string]string) {
	t.Helper()
	after, errs := statuses(t, dir)
	if after == nil {
		if !strings.Contains(errs, "stream "+stream) || !strings.Contains(errs, "qarion: hint: see all that is damaged: qarion doctor") {
			t.Errorf("it ends with:\n%s", errs)
		}
		return
	}
	for run, status := range after {
		if status == "success" && before[run] != "success" {
			t.Errorf("run %s was %q and is shown as success", run, before[run])
		}
	}
}

// TestDoctor_FindsFlippedBits flips single bits anywhere in the store. Doctor
// reports it, or everything that was stored can still be read as it was. What a
// node shows afterwards as success was one.
func TestDoctor_FindsFlippedBits(t *testing.T) {
	good := filled(t, false)
	before := doctorSays(t, good)
	var files []string
	err := filepath.WalkDir(filepath.Join(good, "data", "nats"), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			rel, _ := filepath.Rel(good, path)
			files = append(files, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := like(t, good)
	rng := rand.New(rand.NewPCG(11, 5))
	for i := range flips(t) {
		rel := files[rng.IntN(len(files))]
		file := filepath.Join(dir, rel)
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) == 0 {
			continue
		}
		at, bit := rng.IntN(len(data)), rng.IntN(8)
		data[at] ^= 1 << bit
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		found := doctorSays(t, dir)
		if found.OK && !sameContent(before, found) {
			t.Errorf("flip %d: bit %d of byte %d of %s: doctor is content, and not everything is there:\n%+v\n%+v", i, bit, at, rel, before.Streams, found.Streams)
		}
		if found.OK && strings.HasSuffix(rel, ".blk") {
			t.Errorf("flip %d: bit %d of byte %d of %s: doctor is content", i, bit, at, rel)
		}
		data[at] ^= 1 << bit
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDoctor_FindsFlippedBitsInTheTables flips single bits of the SQLite file.
// Doctor reports it, or the file is sound to SQLite's own check and every row
// says what the ledger does.
func TestDoctor_FindsFlippedBitsInTheTables(t *testing.T) {
	good := filled(t, false)
	dir := like(t, good)
	file := filepath.Join(dir, "data", "metadata.db")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 9))
	found := 0
	for range flips(t) {
		at, bit := rng.IntN(len(data)), rng.IntN(8)
		data[at] ^= 1 << bit
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if !doctorSays(t, dir).OK {
			found++
		} else if text := soundness(t, file); text != "ok" {
			t.Errorf("bit %d of byte %d: doctor is content, SQLite is not: %s", bit, at, text)
		}
		data[at] ^= 1 << bit
	}
	if found == 0 {
		t.Error("none of the flips was found")
	}
	t.Logf("doctor found %d of %d flips; the others change nothing that is stored", found, flips(t))
}

// soundness is what SQLite's own check says of a file.
func soundness(t *testing.T, file string) (text string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow("PRAGMA integrity_check(1)").Scan(&text); err != nil {
		return err.Error()
	}
	return text
}

// flips is how many bits are flipped.
func flips(t *testing.T) int {
	n := 60
	if text := os.Getenv("QARION_FLIPS"); text != "" {
		if _, err := fmt.Sscan(text, &n); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// sameContent: as many messages, which all have the checksums that they were
// stored with, and all documents and values are what the ledger says.
func sameContent(a, b *node.Checkup) bool {
	if a.Entries != b.Entries || a.Compared != b.Compared || len(a.Streams) != len(b.Streams) {
		return false
	}
	for i := range a.Streams {
		x, y := a.Streams[i], b.Streams[i]
		if x.Name != y.Name || x.Messages != y.Messages || x.First != y.First || x.Last != y.Last {
			return false
		}
	}
	return true
}
