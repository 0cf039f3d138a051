package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/qarion/qarion/bus"
)

// servedProcess is a serving node that the bench has started.
type servedProcess struct {
	cmd    *exec.Cmd
	access bus.Access
}

// startServe starts `qarion serve` in a folder, on a free port, and returns
// when it answers; the time counts from the start of the process.
func startServe(ctx context.Context, dir string) (*servedProcess, time.Duration, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, 0, err
	}
	cmd := exec.CommandContext(ctx, self, "serve", "--data-dir", filepath.Join(dir, "data"), "--flows-dir", filepath.Join(dir, "flows"), "--listen", "127.0.0.1:0")
	cmd.Dir = dir
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, 0, fmt.Errorf("start the node: %w", err)
	}
	p := &servedProcess{cmd: cmd}
	for time.Since(began) < time.Minute {
		data, err := os.ReadFile(serveFilePath(filepath.Join(dir, "data")))
		if err == nil && json.Unmarshal(data, &p.access) == nil {
			return p, time.Since(began), nil
		}
		pass(ctx, time.Millisecond)
	}
	p.stop()
	return nil, 0, fmt.Errorf("the node was not ready within a minute")
}

func (p *servedProcess) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.cmd.Wait()
}

// rss is the resident memory in MiB, from /proc.
func (p *servedProcess) rss() (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(data))
	if len(fields) < 2 {
		return 0, fmt.Errorf("statm has no resident size")
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return float64(pages) * float64(os.Getpagesize()) / (1 << 20), err
}

// cpu is the processor time used so far, from /proc; the clock has 100 ticks a
// second.
func (p *servedProcess) cpu() (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("stat has no times")
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, err
}
