package node

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/kvstore"
)

// trimKind is an error without the word of its kind.
func trimKind(err error) string {
	text := strings.TrimPrefix(err.Error(), engine.ErrDamaged.Error()+": ")
	return strings.TrimPrefix(text, engine.ErrUnavailable.Error()+": ")
}

// checkKey opens every sealed record.
func (c *checkup) checkKey(context.Context) error {
	s := c.streams["KV_"+kvstore.BucketCredentials]
	if s == nil {
		return nil
	}
	cred, err := kvstore.OpenCredentialFiles(s, c.cfg.Key, c.Serving)
	if err != nil {
		return err
	}
	c.scanned(s, cred.Scan)
	if cred.Key != nil {
		f := Finding{Severity: Broken, Part: "key", File: c.cfg.Key.File, Problem: cred.Key.Error(), Hint: "put the key back: without it no stored credential opens (QARION_KEY_FILE, QARION_KEY)"}
		if c.cfg.Key.Text != "" {
			f.File = ""
		}
		if _, hint, ok := strings.Cut(f.Problem, "; run: "); ok {
			f.Problem, f.Hint = strings.TrimSuffix(f.Problem, "; run: "+hint), hint
		}
		c.add(f)
	}
	for _, name := range slices.Sorted(maps.Keys(cred.Damaged)) {
		c.add(Finding{Severity: Damaged, Part: s.Name, Problem: fmt.Sprintf("%s: %s", name, cred.Damaged[name])})
	}
	return nil
}

// checkRest reads the streams of which nothing more is known than their
// messages.
func (c *checkup) checkRest(context.Context) error {
	for _, name := range slices.Sorted(maps.Keys(c.streams)) {
		if slices.ContainsFunc(c.Streams, func(s StreamChecked) bool { return s.Name == name }) {
			continue
		}
		s := c.streams[name]
		scan, err := s.Scan(c.Serving, nil)
		if err != nil {
			return err
		}
		c.scanned(s, scan)
	}
	return nil
}

// checkRoom says whether a node would have room to write, as a node does.
func (c *checkup) checkRoom(context.Context) error {
	var used int64
	for _, s := range c.Streams {
		used += s.Bytes
	}
	if _, err := os.Stat(c.storeDir()); err != nil {
		return nil
	}
	c.Store = bus.Room(c.storeDir(), used)
	if c.cfg.Store != nil {
		c.Store = *c.cfg.Store
	}
	if c.Store.Broken != "" {
		c.add(Finding{Severity: Broken, Part: "disk", File: c.storeDir(), Problem: "the node could not write: " + c.Store.Broken, Hint: "free space on the disk: the node opens its store again by itself"})
	}
	if !c.Store.Takes() {
		c.add(Finding{Severity: Broken, Part: "disk", File: c.storeDir(), Problem: fmt.Sprintf("store full: %d MiB are free on its disk, and nothing is written below 256", c.Store.Free>>20), Hint: "free space on the disk"})
	}
	return nil
}
