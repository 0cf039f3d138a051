package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/flowfile"
)

// unstored warns of credentials that flows name and that are not stored yet.
// Without any that are named, nothing is opened.
func (a *app) unstored(ctx context.Context, uses []flowfile.CredentialUse) (flowfile.Errors, error) {
	if len(uses) == 0 {
		return nil, nil
	}
	stored, err := a.storedCredentials(ctx)
	if err != nil {
		return nil, err
	}
	var out flowfile.Errors
	near := map[string]string{} // of those that are not stored
	for _, u := range uses {
		if slices.Contains(stored, u.ID) {
			continue
		}
		suggestion, known := near[u.ID]
		if !known {
			suggestion = engine.Nearest(u.ID, stored)
			near[u.ID] = suggestion
		}
		message := fmt.Sprintf("credential %q is not stored yet: qarion credentials store --credential-id %s", u.ID, u.ID)
		out = append(out, u.Warning("credential-not-stored", message, suggestion))
	}
	return out, nil
}

// storedCredentials lists the ids that are stored. A data directory that is
// not there yet is not made.
func (a *app) storedCredentials(ctx context.Context) (ids []string, err error) {
	if c, found, err := a.connect(); err == nil && found {
		c.Close()
	} else if err == nil {
		if _, err := os.Stat(filepath.Join(a.cfg.DataDir, "nats")); err != nil {
			return nil, nil
		}
	}
	s, err := a.anyNode(ctx)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	list, err := s.credentials(ctx)
	for _, c := range list {
		ids = append(ids, c.ID)
	}
	return ids, err
}
