package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/testkit"
)

// TestOperations_TheServiceUnitIsValid: its settings are those of the program,
// and systemd understands it, where there is one.
func TestOperations_TheServiceUnitIsValid(t *testing.T) {
	data, err := os.ReadFile("../../docs/qarion.service")
	if err != nil {
		t.Fatal(err)
	}
	unit := string(data)
	start := regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/qarion (.*)$`).FindStringSubmatch(unit)
	if start == nil {
		t.Fatal("it starts nothing")
	}
	if out, err := exec.Command(testkit.Binary(t), append(strings.Fields(start[1]), "--help")...).CombinedOutput(); err != nil {
		t.Errorf("qarion %s: %v\n%s", start[1], err, out)
	}
	if engine.DefaultGrace.Seconds() != 25 || !strings.Contains(unit, "get 25 s") || !strings.Contains(unit, "TimeoutStopSec=45") {
		t.Error("the time to stop is not the program's")
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("there is no systemd-analyze here")
	}
	file := filepath.Join(t.TempDir(), "qarion.service")
	unit = strings.ReplaceAll(unit, "/usr/local/bin/qarion", testkit.Binary(t))
	unit = strings.NewReplacer("User=qarion", "User=root", "Group=qarion", "Group=root").Replace(unit)
	write(t, file, unit)
	out, err := exec.Command(analyze, "verify", "--man=no", file).CombinedOutput()
	if strings.Contains(string(out), "qarion.service:") {
		t.Errorf("%v: %s", err, out)
	}
}
