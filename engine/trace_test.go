package engine

import (
	"strings"
	"testing"
)

func TestParseTrace(t *testing.T) {
	const good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for in, want := range map[string]string{
		good:             good,
		" " + good + " ": good,
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00":           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
		"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01":           good,
		"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-else": good,
		"":              "",
		good[:54]:       "",
		good + "-more":  "",
		good + "x":      "",
		"ff" + good[2:]: "",
		"0x" + good[2:]: "",
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01": "",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01": "",
		strings.ToUpper(good): "",
		"00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01":    "",
		"cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01xxx": "",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-\n1":   "",
	} {
		got := ""
		if c := ParseTrace(in, "a=1"); c != nil {
			if got = c.Parent; c.State != "a=1" {
				t.Errorf("%q: state %q", in, c.State)
			}
		}
		if got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	for _, state := range []string{strings.Repeat("x", MaxTraceState+1), "a=\r\nX: 1", "a=ä"} {
		if c := ParseTrace(good, state); c == nil || c.State != "" {
			t.Errorf("state %.20q: %+v", state, c)
		}
	}
}
