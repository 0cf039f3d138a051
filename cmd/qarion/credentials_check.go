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
func (a *app) unstored(ctx context.Context, flows []*engine.Flow, types flowfile.Types) (flowfile.Errors, error) {
	type use struct {
		flow *engine.Flow
		task *engine.Task
		id   string
	}
	var uses []use
	for _, f := range flows {
		for i := range f.Tasks {
			task := &f.Tasks[i]
			kind := types[task.Type]
			if kind == nil {
				continue
			}
			if program, _ := kind.Prepare(f, task); program != nil { // its problems are reported already
				for _, id := range program.Needs().Credentials {
					uses = append(uses, use{f, task, id})
				}
			}
		}
	}
	if len(uses) == 0 {
		return nil, nil
	}
	stored, err := a.storedCredentials(ctx)
	if err != nil {
		return nil, err
	}
	var out flowfile.Errors
	for _, u := range uses {
		if !slices.Contains(stored, u.id) {
			out = append(out, &flowfile.Error{
				File: u.flow.File, Line: max(1, u.task.Line), Column: 1, Task: string(u.task.ID), Key: "credential_id",
				Severity: flowfile.SeverityWarning, Code: "credential-not-stored", Suggestion: engine.Nearest(u.id, stored),
				Message: fmt.Sprintf("credential %q is not stored yet: qarion credentials store --credential-id %s", u.id, u.id),
			})
		}
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
