package main

import (
	"bytes"
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/cobra"

	"github.com/qarion/qarion/apicall"
	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/flowfile"
	"github.com/qarion/qarion/kvstore"
	"github.com/qarion/qarion/metadata"
	"github.com/qarion/qarion/node"
	"github.com/qarion/qarion/transform"
	"github.com/qarion/qarion/web"
)

// config is qarion.toml. Environment variables override it, flags those.
type config struct {
	DataDir string `toml:"data_dir"`
	Flows   struct {
		Dir string `toml:"dir"`
	} `toml:"flows"`
	Hooks struct {
		Dir string `toml:"dir"`
	} `toml:"hooks"`
	NATS struct {
		Listen string `toml:"listen"`
	} `toml:"nats"`
	HTTP    httpConfig `toml:"http"`
	Storage struct {
		Sync string `toml:"sync"` // "always" or a time span
	} `toml:"storage"`
	Worker struct {
		Slots int `toml:"slots"`
	} `toml:"worker"`
	Memory struct {
		Limit string `toml:"limit"` // "auto", "none", or a size
	} `toml:"memory"`
	Egress struct {
		Allow []string `toml:"allow"`
	} `toml:"egress"`
	Breaker struct {
		Failures int    `toml:"failures"`
		Open     string `toml:"open"`
		OpenMax  string `toml:"open_max"`
	} `toml:"breaker"`
	Metadata struct {
		Database string `toml:"database"` // "sqlite", "off", or a PostgreSQL URL
	} `toml:"metadata"`
	Databases map[string]databaseConfig `toml:"databases"`
	Limits    map[string]limitConfig    `toml:"limits"`
	Log       struct {
		Format string `toml:"format"`
		Level  string `toml:"level"`
	} `toml:"log"`
	Retention struct {
		Runs    string `toml:"runs"`
		Events  string `toml:"events"`
		XCom    string `toml:"xcom"`
		MaxRuns int    `toml:"max_runs"` // 0: no bound
		MaxXCom int    `toml:"max_xcom"`
	} `toml:"retention"`

	Environments map[string]struct {
		Variables map[string]any `toml:"variables"`
	} `toml:"environments"`

	path         string // where it was read; "" for the defaults
	environments environments
}

// databaseConfig is a [databases.NAME] of transformation tasks.
type databaseConfig struct {
	URL          string `toml:"url"`           // sqlite:PATH, or postgres://user@host:port/name
	CredentialID string `toml:"credential_id"` // a basic_auth credential for PostgreSQL
}

// databases are those that [databases] names.
func (c *config) databases() map[string]transform.Database {
	out := make(map[string]transform.Database, len(c.Databases))
	for name, d := range c.Databases {
		out[name] = transform.Database{URL: d.URL, Credential: d.CredentialID}
	}
	return out
}

// Defaults of the configuration.
const (
	defaultConfigFile = "qarion.toml"
	defaultDataDir    = ".qarion"
	defaultFlowsDir   = "flows"
	defaultHooksDir   = "hooks"
	defaultSync       = "always"
	defaultRuns       = "30d"
	defaultEvents     = "30d"
	defaultXCom       = "7d"
	defaultMemory     = "auto"

	minEntries = 1000 // that [retention] max_runs and max_xcom may be

	defaultBreakerOpen    = "30s"
	defaultBreakerOpenMax = "5m"
)

func defaultConfig() *config {
	c := &config{DataDir: defaultDataDir}
	c.Flows.Dir, c.Hooks.Dir = defaultFlowsDir, defaultHooksDir
	c.NATS.Listen = bus.DefaultListen
	c.HTTP.Login = web.LoginAuto
	c.Storage.Sync = defaultSync
	c.Worker.Slots = engine.DefaultSlots
	c.Memory.Limit = defaultMemory
	c.Breaker.Failures = apicall.DefaultBreakerFailures
	c.Breaker.Open, c.Breaker.OpenMax = defaultBreakerOpen, defaultBreakerOpenMax
	c.Metadata.Database = node.TablesSQLite
	c.Log.Format, c.Log.Level = "auto", "info"
	c.Retention.Runs, c.Retention.Events, c.Retention.XCom = defaultRuns, defaultEvents, defaultXCom
	c.Retention.MaxRuns, c.Retention.MaxXCom = kvstore.DefaultMaxEntries, kvstore.DefaultMaxEntries
	return c
}

// configText is the commented default that `config init` prints.
//
//go:embed qarion.default.toml
var configText string

// loadConfig reads the configuration: file, then environment.
func loadConfig(path string) (*config, error) {
	c := defaultConfig()
	named := path != ""
	if !named {
		path = defaultConfigFile
		if env := os.Getenv("QARION_CONFIG"); env != "" {
			path, named = env, true
		}
	}
	data, err := os.ReadFile(path)
	switch {
	case err == nil:
		if err := c.decode(path, data); err != nil {
			return nil, err
		}
	case named || !errors.Is(err, fs.ErrNotExist):
		return nil, fail(fmt.Errorf("configuration: %w", err))
	}
	if err := c.environment(); err != nil {
		return nil, err
	}
	return c, c.check()
}

func (c *config) decode(path string, data []byte) error {
	d := toml.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	err := d.Decode(c)
	c.path = path
	var strict *toml.StrictMissingError
	var syntax *toml.DecodeError
	switch {
	case errors.As(err, &strict):
		e := strict.Errors[0]
		row, col := e.Position()
		key := strings.Join(e.Key(), ".")
		text := fmt.Sprintf("%s:%d:%d: unknown key %q", path, row, col, key)
		if near := engine.Nearest(key, configKeys()); near != "" {
			text += fmt.Sprintf(" (did you mean %q?)", near)
		}
		return fail(errors.New(text), "print the keys there are: qarion config init")
	case errors.As(err, &syntax):
		row, col := syntax.Position()
		return fail(fmt.Errorf("%s:%d:%d: %s", path, row, col, strings.TrimPrefix(syntax.Error(), "toml: ")))
	case err != nil:
		return fail(fmt.Errorf("%s: %w", path, err))
	}
	if len(c.Environments) > 0 {
		if c.environments.values, c.environments.places, err = flowfile.Environments(path, data); err != nil {
			return fail(err)
		}
	}
	return nil
}

func configKeys() []string {
	return append(httpKeys[:], "data_dir", "flows.dir", "hooks.dir", "nats.listen", "storage.sync", "worker.slots", "memory.limit", "egress.allow", "breaker.failures", "breaker.open", "breaker.open_max", "metadata.database", "log.format", "log.level", "retention.runs", "retention.events", "retention.xcom", "retention.max_runs", "retention.max_xcom")
}

// environment takes QARION_<SECTION>_<KEY>.
func (c *config) environment() error {
	texts := map[string]*string{
		"QARION_DATA_DIR": &c.DataDir, "QARION_FLOWS_DIR": &c.Flows.Dir, "QARION_HOOKS_DIR": &c.Hooks.Dir, "QARION_NATS_LISTEN": &c.NATS.Listen,
		"QARION_STORAGE_SYNC": &c.Storage.Sync, "QARION_MEMORY_LIMIT": &c.Memory.Limit, "QARION_METADATA_DATABASE": &c.Metadata.Database, "QARION_LOG_FORMAT": &c.Log.Format, "QARION_LOG_LEVEL": &c.Log.Level,
		"QARION_BREAKER_OPEN": &c.Breaker.Open, "QARION_BREAKER_OPEN_MAX": &c.Breaker.OpenMax,
		"QARION_RETENTION_RUNS": &c.Retention.Runs, "QARION_RETENTION_EVENTS": &c.Retention.Events, "QARION_RETENTION_XCOM": &c.Retention.XCom,
	}
	for name, field := range texts {
		if v, ok := os.LookupEnv(name); ok {
			*field = v
		}
	}
	c.HTTP.environment()
	if v, ok := os.LookupEnv("QARION_EGRESS_ALLOW"); ok {
		c.Egress.Allow = strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' })
	}
	numbers := map[string]*int{
		"QARION_WORKER_SLOTS": &c.Worker.Slots, "QARION_BREAKER_FAILURES": &c.Breaker.Failures,
		"QARION_RETENTION_MAX_RUNS": &c.Retention.MaxRuns, "QARION_RETENTION_MAX_XCOM": &c.Retention.MaxXCom,
	}
	for name, field := range numbers {
		if v, ok := os.LookupEnv(name); ok {
			n, err := strconv.Atoi(v)
			if err != nil {
				return fail(fmt.Errorf("%s is %q, want a number", name, v))
			}
			*field = n
		}
	}
	return nil
}

func (c *config) check() error {
	if _, err := c.syncInterval(); err != nil {
		return err
	}
	if c.Worker.Slots < 1 || c.Worker.Slots > 4096 {
		return fail(fmt.Errorf("[worker] slots is %d, want 1 to 4096", c.Worker.Slots))
	}
	if _, err := c.memory(); err != nil {
		return err
	}
	if _, err := c.breakers(); err != nil {
		return err
	}
	for name, v := range map[string]string{"runs": c.Retention.Runs, "events": c.Retention.Events, "xcom": c.Retention.XCom} {
		if _, err := days(v); err != nil {
			return fail(fmt.Errorf("[retention] %s is %q, want a time span such as \"30d\" or \"12h\"", name, v))
		}
	}
	for name, n := range map[string]int{"max_runs": c.Retention.MaxRuns, "max_xcom": c.Retention.MaxXCom} {
		if n < 0 || n > 0 && n < minEntries {
			return fail(fmt.Errorf("[retention] %s is %d, want 0 for no bound, or %d or more", name, n, minEntries))
		}
	}
	if d := c.Metadata.Database; d != node.TablesSQLite && d != node.TablesOff && !metadata.IsURL(d) {
		kind, _, _ := strings.Cut(d, "://") // what follows may be a password
		return fail(fmt.Errorf("[metadata] database is %.20q, want \"sqlite\", \"off\" or a URL such as postgres://user:password@db.example.com/qarion", kind))
	}
	if err := transform.Check(c.databases()); err != nil {
		return fail(errors.New(strings.TrimPrefix(err.Error(), "invalid: ")))
	}
	if _, err := c.limits(); err != nil {
		return err
	}
	if c.Log.Format != "auto" && c.Log.Format != "text" && c.Log.Format != "json" {
		return fail(fmt.Errorf("[log] format is %q, want auto, text or json", c.Log.Format))
	}
	return nil
}

// syncInterval is 0 for "always".
func (c *config) syncInterval() (time.Duration, error) {
	if c.Storage.Sync == "always" {
		return 0, nil
	}
	d, err := time.ParseDuration(c.Storage.Sync)
	if err != nil || d <= 0 {
		return 0, fail(fmt.Errorf("[storage] sync is %q, want \"always\" or a time span such as \"1s\"", c.Storage.Sync))
	}
	return d, nil
}

// memory is the soft limit in bytes; 0 for none, or where GOMEMLIMIT says it.
func (c *config) memory() (int64, error) {
	switch c.Memory.Limit {
	case "none":
		return 0, nil
	case defaultMemory:
		if os.Getenv("GOMEMLIMIT") != "" {
			return 0, nil
		}
		return node.DefaultMemory(), nil
	}
	n, err := parseSize(c.Memory.Limit)
	if err != nil || n < node.MinMemory {
		return 0, fail(fmt.Errorf("[memory] limit is %q, want \"auto\", \"none\" or a size from 64MiB on, such as \"512MiB\" or \"2GiB\"", c.Memory.Limit))
	}
	return n, nil
}

// parseSize reads a size such as 512MiB, 2GiB, 500MB or 1073741824.
func parseSize(s string) (int64, error) {
	number, factor := strings.TrimSuffix(s, "B"), int64(1)
	for i, unit := range []string{"Ki", "Mi", "Gi", "Ti"} {
		if n, ok := strings.CutSuffix(number, unit); ok && number != s {
			number, factor = n, 1<<(10*(i+1))
		}
	}
	for i, unit := range []string{"K", "M", "G", "T"} {
		if n, ok := strings.CutSuffix(number, unit); ok && number != s {
			number = n
			for range i + 1 {
				factor *= 1000
			}
		}
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !(n >= 0 && n*float64(factor) < 1<<62) {
		return 0, fmt.Errorf("%q is not a size", s)
	}
	return int64(n * float64(factor)), nil
}

// breakers are the figures of [breaker].
func (c *config) breakers() (apicall.BreakerConfig, error) {
	out := apicall.BreakerConfig{Failures: c.Breaker.Failures}
	if out.Failures < 1 {
		return out, fail(fmt.Errorf("[breaker] failures is %d, want 1 or more", out.Failures))
	}
	for name, at := range map[string]*time.Duration{"open": &out.Open, "open_max": &out.OpenMax} {
		text := map[string]string{"open": c.Breaker.Open, "open_max": c.Breaker.OpenMax}[name]
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			return out, fail(fmt.Errorf("[breaker] %s is %q, want a time span such as \"30s\"", name, text))
		}
		*at = d
	}
	if out.OpenMax < out.Open {
		return out, fail(fmt.Errorf("[breaker] open_max (%s) is shorter than open (%s)", c.Breaker.OpenMax, c.Breaker.Open))
	}
	return out, nil
}

// days reads a time span that may be given in days.
func days(s string) (time.Duration, error) {
	if n, ok := strings.CutSuffix(s, "d"); ok {
		d, err := strconv.Atoi(n)
		if err != nil || d < 1 || d > 36500 {
			return 0, fmt.Errorf("%q is not a number of days", s)
		}
		return time.Duration(d) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(s)
	if err == nil && d <= 0 {
		err = errors.New("not positive")
	}
	return d, err
}

// node is the configuration of a node with the given data directory.
func (c *config) node(dataDir string, log *slog.Logger) (node.Config, error) {
	out := node.Config{
		DataDir: dataDir, Slots: c.Worker.Slots, Allow: c.Egress.Allow, Version: programVersion(), Log: log,
		Tables: c.Metadata.Database, Hooks: c.Hooks.Dir, Databases: c.databases(),
		Key: kvstore.KeyConfig{File: os.Getenv("QARION_KEY_FILE"), Text: os.Getenv("QARION_KEY"), NewText: os.Getenv("QARION_NEW_KEY")},
	}
	var errs [7]error
	out.Limits, errs[6] = c.limits()
	out.Sync, errs[0] = c.syncInterval()
	out.Breaker, errs[1] = c.breakers()
	out.Keep.Runs, errs[2] = days(c.Retention.Runs)
	out.Keep.Events, errs[3] = days(c.Retention.Events)
	out.Keep.XCom, errs[4] = days(c.Retention.XCom)
	out.Keep.MaxRuns, out.Keep.MaxXCom = bound(c.Retention.MaxRuns), bound(c.Retention.MaxXCom)
	out.Memory, errs[5] = c.memory()
	return out, cmp.Or(errs[:]...)
}

// bound is a number of entries as a node wants it: less than 0 is no bound.
func bound(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

func (a *app) configCommand() *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "Configuration"}
	c.AddCommand(&cobra.Command{
		Use: "init", Short: "Print a commented default configuration",
		Example: "  qarion config init > qarion.toml", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprint(a.ui.out, configText)
			return err
		},
	}, a.configShowCommand())
	return c
}
