package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/term"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
	"github.com/qarion/qarion/node"
)

// asker puts a question to a person and returns the line that was typed, without
// echo where hide says so.
type asker func(prompt string, hide bool) (string, error)

// askCredential asks on the terminal, field by field, secrets without echo.
func (a *app) askCredential(in *node.CredentialInput) (*value.Map, error) {
	f, ok := a.ui.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil, usageError(errors.New("where are the fields? --json '{...}', --json - or --json-file FILE"))
	}
	lines := bufio.NewReader(f)
	return askFields(in, func(prompt string, hide bool) (string, error) {
		fmt.Fprint(a.ui.err, prompt+": ")
		if hide {
			b, err := term.ReadPassword(int(f.Fd()))
			fmt.Fprintln(a.ui.err)
			return string(b), err
		}
		line, err := lines.ReadString('\n')
		return strings.TrimSpace(line), err
	})
}

// askFields asks for the type, where it is not given, and for what a credential
// of it needs, by what was answered before. An answer that cannot be is asked
// for again.
func askFields(in *node.CredentialInput, ask asker) (*value.Map, error) {
	var err error
	if in.Type == "" {
		if in.Type, err = ask("type ("+strings.Join(engine.CredentialTypeNames(), ", ")+")", false); err != nil {
			return nil, err
		}
	}
	answers := engine.Credential{ID: in.ID, Type: in.Type, Data: value.NewMap(4)}
	for {
		q, more := answers.Asked()
		if !more {
			return given(answers), nil
		}
		v, err := askField(q, ask)
		if err != nil {
			return nil, err
		}
		answers.Data.Set(q.Name, v)
	}
}

// askField asks for one field until the answer can be its value.
func askField(q engine.Question, ask asker) (string, error) {
	prompt := q.Name
	switch {
	case q.OneOf != nil:
		prompt += " (" + strings.Join(q.OneOf, ", ") + ")"
	case q.PEM:
		prompt += " (a PEM file)"
	}
	switch {
	case q.Empty:
		prompt += " [empty]"
	case !q.Needed:
		prompt += " [none]"
	}
	for why := ""; ; {
		v, err := ask(why+prompt, !q.Open && !q.PEM)
		if err == nil && v != "" && q.PEM {
			v, why = readPEM(v)
			if why != "" {
				continue
			}
		}
		switch {
		case err != nil:
			return "", err
		case v == "" && q.Needed:
			why = "it is needed; "
		case v != "" && !q.Takes(v):
			why = "one of these, please; "
		default:
			return v, nil
		}
	}
}

// readPEM reads a file that was named; why says what is wrong with the name.
func readPEM(name string) (text, why string) {
	if strings.HasPrefix(name, "-----BEGIN") {
		return "", "the name of the file, not what is in it; "
	}
	if rest, ok := strings.CutPrefix(name, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			name = filepath.Join(home, rest)
		}
	}
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return "", "no such file; " // what was typed may be a key
	case !info.Mode().IsRegular() || info.Size() > engine.MaxCredential:
		return "", "that is no PEM file; "
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return "", "it cannot be read; "
	}
	return string(data), ""
}

// given are the fields of a credential without those that were left out.
func given(c engine.Credential) *value.Map {
	out := value.NewMap(c.Data.Len())
	kind := engine.FindCredentialType(c.Type)
	for name, v := range c.Data.All() {
		if v != "" || kind.MayBeEmpty(name) {
			out.Set(name, v)
		}
	}
	return out
}
