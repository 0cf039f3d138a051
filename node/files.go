package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/flowfile"
)

// FlowSource is the answer of flow.source: a flow's file as it is now.
type FlowSource struct {
	FlowID   engine.FlowID   `json:"flow_id"`
	Version  string          `json:"version"` // that new runs start with
	File     string          `json:"file"`
	Source   string          `json:"source"`
	Current  bool            `json:"current"`  // the version is what stands here
	Problems flowfile.Errors `json:"problems"` // errors and warnings of the text, with their places
}

// FlowProblems is the answer of flow.problems: what the last reading of the
// flow files has found.
type FlowProblems struct {
	Problems flowfile.Errors `json:"problems"`
	Files    int             `json:"files"`    // that were looked at
	LeftOut  []string        `json:"left_out"` // files with errors; what their flows were before goes on
}

// fileEndpoints are the service's endpoints for the files of flows.
func (n *Node) fileEndpoints() []bus.Endpoint {
	return []bus.Endpoint{{Name: "flow.source", Handle: n.flowSource}, {Name: "flow.problems", Handle: n.flowProblems}}
}

var errNoFiles = fmt.Errorf("%w: this node reads no flow files", engine.ErrNotFound)

// flowRef reads a request that names a flow: as JSON, or the name alone.
func flowRef(data []byte) (string, error) {
	var in bus.FlowRef
	if text := strings.TrimSpace(string(data)); text != "" && text[0] != '{' {
		return text, nil
	}
	err := bus.Decode(data, &in)
	return in.Flow, err
}

func (n *Node) flowSource(ctx context.Context, data []byte) (any, error) {
	name, err := flowRef(data)
	if err != nil {
		return nil, err
	}
	id, err := engine.ParseFlowID(name)
	if err != nil {
		return nil, err
	}
	flow, err := n.Engine.Flow(ctx, id)
	if err != nil {
		return nil, err
	}
	if n.Flows == nil {
		return nil, errNoFiles
	}
	if !n.Flows.has(flow.File) {
		return nil, fmt.Errorf("%w: flow %s does not come from a file in %s", engine.ErrNotFound, id, n.Flows.dir)
	}
	return n.Flows.source(flow)
}

// source reads a flow's file and holds it against the version that is in use.
func (f *Flows) source(flow *engine.Flow) (*FlowSource, error) {
	_, hash, err := flow.Encode()
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.FromSlash(flow.File))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: file %s is gone", engine.ErrNotFound, flow.File)
	case err != nil:
		return nil, fmt.Errorf("read the flow's file: %w", err)
	case len(text) > engine.MaxFlowFile:
		return nil, fmt.Errorf("%w: file %s has %d bytes, at most %d are read", engine.ErrInvalid, flow.File, len(text), engine.MaxFlowFile)
	}
	out := &FlowSource{FlowID: flow.ID, Version: hash, File: flow.File, Source: strings.ToValidUTF8(string(text), "\uFFFD")}
	now, found, err := f.loader.Parse(flow.File, text)
	if bad := (flowfile.Errors)(nil); errors.As(err, &bad) {
		found = bad
	} else if err != nil {
		return nil, err
	}
	if now != nil {
		_, is, err := now.Encode()
		out.Current = err == nil && is == hash
	}
	out.Problems = append(flowfile.Errors{}, found...)
	return out, nil
}

// has reports whether a file is one of the folder.
func (f *Flows) has(file string) bool {
	return file != "" && path.Dir(file) == path.Clean(filepath.ToSlash(f.dir))
}

func (n *Node) flowProblems(ctx context.Context, data []byte) (any, error) {
	name, err := flowRef(data)
	if err != nil {
		return nil, err
	}
	if n.Flows == nil {
		return nil, errNoFiles
	}
	d := n.Flows.Found()
	out := FlowProblems{Problems: append(flowfile.Errors{}, d.Found...), Files: d.Files, LeftOut: n.Flows.leftOut()}
	if name == "" {
		return out, nil
	}
	id, err := engine.ParseFlowID(name)
	if err != nil {
		return nil, err
	}
	file, err := n.Flows.fileOf(ctx, id)
	if err != nil {
		return nil, err
	}
	out.Problems = out.Problems[:0]
	for _, e := range d.Found {
		if e.File == file {
			out.Problems = append(out.Problems, e)
		}
	}
	return out, nil
}
