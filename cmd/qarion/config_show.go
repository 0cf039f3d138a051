package main

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/cobra"

	"github.com/qarion/qarion/internal/secret"
	"github.com/qarion/qarion/web"
)

// setting is a key of the configuration, and where its value comes from.
type setting struct {
	Key    string `json:"key"` // "worker.slots"
	Value  any    `json:"value"`
	Source string `json:"source"` // "default", the file, "QARION_WORKER_SLOTS" or "--data-dir"
}

func (a *app) configShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Print the configuration that holds here, and where each value comes from",
		Long: "Print the configuration that holds here, as qarion.toml has it, and behind each value where it comes from: the default, the file, a variable of the environment, a flag. Passwords in URLs are not shown.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			list, err := a.settings()
			switch {
			case err != nil:
				return err
			case a.json():
				return a.printJSON(list)
			}
			return a.printSettings(list)
		},
	}
}

// settings are the keys in the order of `config init`; those that only the file
// can have follow.
func (a *app) settings() ([]setting, error) {
	now, err := flat(a.cfg)
	if err != nil {
		return nil, err
	}
	inFile := map[string]any{}
	if a.cfg.path != "" {
		data, err := os.ReadFile(a.cfg.path)
		if err != nil {
			return nil, fail(fmt.Errorf("configuration: %w", err))
		}
		var tree map[string]any
		if err := toml.Unmarshal(data, &tree); err != nil {
			return nil, fail(fmt.Errorf("%s: %w", a.cfg.path, err))
		}
		flatten("", tree, inFile)
	}
	documented := documentedKeys()
	keys := slices.Concat(documented, slices.Sorted(maps.Keys(now)))
	var list []setting
	for i, key := range keys {
		v, ok := now[key]
		if !ok {
			continue
		}
		delete(now, key) // named once
		s := setting{Key: key, Value: shownSetting(key, v), Source: "default"}
		variable := "QARION_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
		_, named := inFile[key]
		switch _, given := os.LookupEnv(variable); {
		case key == "data_dir" && a.flags.dataDir != "":
			s.Source = "--data-dir"
		case given && i < len(documented):
			s.Source = variable
		case named:
			s.Source = a.cfg.path
		}
		list = append(list, s)
	}
	return list, nil
}

// documentedKeys are the keys of the default configuration, as they stand there.
func documentedKeys() (keys []string) {
	section := ""
	for line := range strings.Lines(configText) {
		if name, ok := strings.CutPrefix(line, "["); ok {
			section, _, _ = strings.Cut(name, "]")
			section += "."
		} else if key, _, ok := strings.Cut(line, " = "); ok && !strings.HasPrefix(line, "#") {
			keys = append(keys, section+key)
		}
	}
	return keys
}

// flat are the values of a configuration by their keys.
func flat(c *config) (map[string]any, error) {
	text, err := toml.Marshal(c)
	if err != nil {
		return nil, err
	}
	var tree map[string]any
	if err := toml.Unmarshal(text, &tree); err != nil {
		return nil, err
	}
	out := map[string]any{"http.listen": web.DefaultListen} // unless it is said
	flatten("", tree, out)
	return out, nil
}

func flatten(prefix string, tree, out map[string]any) {
	for key, v := range tree {
		if below, ok := v.(map[string]any); ok {
			flatten(prefix+key+".", below, out)
			continue
		}
		if list, ok := v.([]any); ok && list == nil {
			v = []any{}
		}
		out[prefix+key] = v
	}
}

// shownSetting hides what must not be shown: passwords in URLs, and what a name
// says is a secret.
func shownSetting(key string, v any) any {
	text, ok := v.(string)
	if !ok {
		return v
	}
	name := key[strings.LastIndexByte(key, '.')+1:]
	if strings.HasPrefix(key, "environments.") && secret.Name(name) && text != "" {
		return secret.Hidden
	}
	if !strings.Contains(text, "://") {
		return v
	}
	u, err := url.Parse(text)
	if err != nil {
		return secret.Hidden
	}
	for name, values := range u.Query() {
		if secret.Name(name) && len(values) > 0 {
			return secret.Hidden
		}
	}
	if _, has := u.User.Password(); has {
		u.User = url.User(u.User.Username())
		return strings.Replace(u.String(), "@", ":"+secret.Hidden+"@", 1)
	}
	return v
}

func (a *app) printSettings(list []setting) error {
	section := ""
	for _, s := range list {
		name := s.Key
		if i := strings.LastIndexByte(s.Key, '.'); i >= 0 {
			if s.Key[:i] != section {
				section = s.Key[:i]
				fmt.Fprintf(a.ui.out, "\n[%s]\n", section)
			}
			name = s.Key[i+1:]
		}
		var text bytes.Buffer
		e := toml.NewEncoder(&text)
		if err := e.Encode(map[string]any{name: s.Value}); err != nil {
			return err
		}
		fmt.Fprintf(a.ui.out, "%-30s # %s\n", strings.TrimSuffix(text.String(), "\n"), s.Source)
	}
	if a.cfg.path == "" {
		fmt.Fprintf(a.ui.err, "no %s here: qarion config init > %[1]s\n", cmp.Or(os.Getenv("QARION_CONFIG"), defaultConfigFile))
	}
	return nil
}
