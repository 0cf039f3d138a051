package node_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/engine/flowfile"
	"github.com/qarion/qarion/internal/testkit"
	"github.com/qarion/qarion/internal/value"
	"github.com/qarion/qarion/node"
)

// ellipsis is what a block of the specification leaves to its reader.
var ellipsis = regexp.MustCompile(`(?m)^# \.\.\. transformation .*\.\.\.$`)

// TestSpecificationBlocksRun runs every block that the specification prints, as
// printed; only its host is a server of ours, and "# ... transformation config
// ..." is a query.
func TestSpecificationBlocksRun(t *testing.T) {
	paths, _ := filepath.Glob("../engine/flowfile/testdata/spec/*.toml")
	if len(paths) < 23 {
		t.Fatalf("only %d blocks", len(paths))
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/oauth/token" {
			_, _ = io.WriteString(w, `{"access_token":"a-token-of-the-test","token_type":"Bearer","expires_in":3600}`)
			return
		}
		_, _ = io.WriteString(w, `{"data":{"id":1},"status":"success","success":true,"timestamp":"now","user_id":7,"filter_value":"f","token":"t","result":"r"}`)
	}))
	t.Cleanup(s.Close)
	n, err := node.Open(t.Context(), node.Config{DataDir: t.TempDir(), Allow: []string{strings.TrimPrefix(s.URL, "http://")}, Tables: node.TablesOff, Log: testkit.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	client, err := n.Client()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	oauth := value.MapOf("client_id", "i", "client_secret", "a-secret-of-the-test", "token_url", s.URL+"/oauth/token")
	for _, c := range []node.CredentialInput{
		{ID: "api_basic", Type: "basic_auth", Data: value.MapOf("username", "u", "password", "password-1")},
		{ID: "api_credentials", Type: "basic_auth", Data: value.MapOf("username", "u", "password", "password-1")},
		{ID: "api_oauth2", Type: "oauth", Data: oauth}, {ID: "oauth_credentials", Type: "oauth", Data: oauth},
		{ID: "api_key", Type: "api_key", Data: value.MapOf("api_key", "your_api_key", "header_name", "X-API-Key")},
		{ID: "bearer_token", Type: "custom", Data: value.MapOf("token", "your_bearer_token")},
	} {
		if err := client.Admin(t.Context(), "credential.store", c, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".toml"), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			block := strings.ReplaceAll(string(text), "https://api.example.com", s.URL)
			block = ellipsis.ReplaceAllString(block, `config = { sql = "SELECT 7 AS user_id, 'active' AS status" }`)
			file := filepath.Join(t.TempDir(), filepath.Base(path))
			if err := os.WriteFile(file, []byte(block), 0o600); err != nil {
				t.Fatal(err)
			}
			flow, _, err := flowfile.Load(file, n.Types)
			if err != nil {
				t.Fatal(err)
			}
			run, err := n.Engine.Start(t.Context(), engine.StartRequest{Flow: flow.ID, AdHoc: flow})
			if err != nil {
				t.Fatal(err)
			}
			doc, err := n.Engine.Wait(t.Context(), run.RunID)
			if err != nil {
				t.Fatal(err)
			}
			if doc.Status != engine.Success {
				t.Errorf("%s: %+v", doc.Status, doc.Error)
			}
		})
	}
}
