package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// variableFlags are --var and --json, which give a run its variables.
type variableFlags struct {
	vars []string
	json string
}

func (v *variableFlags) add(c *cobra.Command) {
	c.Flags().StringArrayVar(&v.vars, "var", nil, "a variable, k=v; read as the type that the flow declares, else as JSON, else as text")
	c.Flags().StringVar(&v.json, "json", "", "variables as a JSON object; - reads standard input")
}

// check refuses what cannot be read, whatever the flow says.
func (v *variableFlags) check() error {
	for _, kv := range v.vars {
		if k, _, ok := strings.Cut(kv, "="); !ok || k == "" {
			return usageError(fmt.Errorf("--var %s: want k=v", value.Quoted(kv)))
		}
	}
	return nil
}

// read makes the variables' JSON object. The flow says of what type they are;
// nil when it is not known.
func (v *variableFlags) read(in io.Reader, flow *engine.Flow) (json.RawMessage, error) {
	m := new(value.Map)
	text := v.json
	if text == "-" {
		data, err := io.ReadAll(io.LimitReader(in, engine.MaxTriggerPayload+1))
		if err != nil {
			return nil, err
		}
		text = string(data)
	}
	if text != "" {
		if err := m.UnmarshalJSON([]byte(text)); err != nil {
			return nil, usageError(fmt.Errorf("--json: malformed JSON%s", jsonPlace([]byte(text), err)))
		}
	}
	if err := v.check(); err != nil {
		return nil, err
	}
	for _, kv := range v.vars {
		k, s, _ := strings.Cut(kv, "=")
		var types []string
		if flow != nil {
			types = flow.TypesOf(k)
		}
		got, err := readVariable(s, types)
		if err != nil {
			return nil, fail(fmt.Errorf("--var %s: want %w, as flow %s declares it", kv, err, flow.ID))
		}
		m.Set(k, got)
	}
	if m.Len() == 0 {
		return nil, nil
	}
	return value.JSON(m)
}

// readVariable reads a variable's text as one of the given types; without any,
// as JSON where it is JSON that would be printed as it was written, else as
// text. The error is what is wanted.
func readVariable(s string, types []string) (any, error) {
	if len(types) == 0 {
		if v, err := value.ParseJSON([]byte(s)); err == nil {
			if text, err := value.JSON(v); err == nil && string(text) == squeezed(s) {
				return v, nil
			}
		}
		return s, nil
	}
	if len(types) == 1 && types[0] == "str" {
		return s, nil
	}
	if v, ok := ofTypes(s, types); ok {
		return v, nil
	}
	if slices.Contains(types, "str") {
		return s, nil
	}
	wants := make([]string, len(types))
	for i, t := range types {
		wants[i] = wanted[t]
	}
	return nil, errors.New(strings.Join(wants, " or "))
}

// wanted says how a type is written, behind the word that the engine has for it.
var wanted = map[string]string{
	"int": "int (such as 7)", "float": "float (such as 1.5)", "number": "number (such as 1.5)", "bool": "bool (true or false)",
	"list": "list (such as [1, 2])", "dict": "dict (such as {\"a\": 1})", "null": "null",
}

// ofTypes reads text as a value of one of the types other than text.
func ofTypes(s string, types []string) (any, bool) {
	s = strings.TrimSpace(s)
	is := func(t string) bool { return slices.Contains(types, t) }
	number := is("int") || is("float") || is("number")
	if i, ok := new(big.Int).SetString(s, 10); ok && number && len(s) <= value.MaxDigits {
		if i.IsInt64() {
			return i.Int64(), true
		}
		return i, true
	}
	if is("bool") {
		switch strings.ToLower(s) {
		case "true":
			return true, true
		case "false":
			return false, true
		}
	}
	v, err := value.ParseJSON([]byte(s))
	if err != nil {
		return nil, false
	}
	t := value.TypeName(v)
	return v, is(t) || t == "float" && is("number")
}

// squeezed is JSON text without blanks between its parts.
func squeezed(s string) string {
	var b strings.Builder
	inText := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case inText && c == '\\' && i+1 < len(s):
			b.WriteByte(c)
			i++
			b.WriteByte(s[i])
			continue
		case c == '"':
			inText = !inText
		case !inText && (c == ' ' || c == '\t' || c == '\n' || c == '\r'):
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// startFlags say what a run starts with.
type startFlags struct {
	vars  variableFlags
	batch int64
	date  string
}

func (f *startFlags) add(c *cobra.Command) {
	f.vars.add(c)
	c.Flags().Int64Var(&f.batch, "batch-id", 0, "the batch id (default: counted per flow)")
	c.Flags().StringVar(&f.date, "execution-date", "", "RFC 3339 time (default: now)")
}

// check refuses what cannot be read, before anything is asked of a node.
func (f *startFlags) check() error {
	if _, err := time.Parse(time.RFC3339, f.date); f.date != "" && err != nil {
		return usageError(fmt.Errorf("--execution-date is %s, want a time such as 2026-11-23T12:00:00Z", value.Quoted(f.date)))
	}
	return f.vars.check()
}

// fill puts them into a request. c is the command whose flags they are.
func (f *startFlags) fill(c *cobra.Command, in io.Reader, flow *engine.Flow, req *bus.StartRun) (err error) {
	if c.Flags().Changed("batch-id") {
		req.BatchID = &f.batch
	}
	req.ExecutionDate = f.date
	req.Variables, err = f.vars.read(in, flow)
	return err
}
