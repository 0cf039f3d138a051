package main

import (
	"io"

	"github.com/qarion/qarion/engine"
)

// app is what every command shares: the streams and the flags.
type app struct {
	ui    *ui
	cfg   *config
	path  string                          // of the command: "qarion run"
	told  map[engine.TaskID]engine.Status // the last lines that were printed of the run that is followed
	flags struct {
		config, dataDir, server, output, jq, color, env string
		quiet                                           bool
	}
}

func newApp(in io.Reader, out, err io.Writer) *app { return &app{ui: newUI(in, out, err)} }

// start reads configuration and flags before a command runs. formats are those
// that the command prints beside tables and JSON.
func (a *app) start(formats ...string) error {
	if err := a.ui.setColor(a.flags.color); err != nil {
		return err
	}
	if err := checkOutput(a.flags.output, formats); err != nil {
		return err
	}
	if a.flags.jq != "" {
		a.flags.output = "json"
	}
	cfg, err := loadConfig(a.flags.config)
	if err != nil {
		return err
	}
	if a.flags.dataDir != "" {
		cfg.DataDir = a.flags.dataDir
	}
	a.cfg = cfg
	return nil
}

func (a *app) json() bool { return a.flags.output == "json" }
