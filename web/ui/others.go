package ui

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
)

// nodeDoc is the answer of node.status.
type nodeDoc struct {
	Engine    engine.NodeStatus `json:"engine"`
	Version   string            `json:"version"`
	UptimeMS  float64           `json:"uptime_ms"`
	NATS      string            `json:"nats"`
	HTTP      string            `json:"http"`
	DataDir   string            `json:"data_dir"`
	DataBytes int64             `json:"data_bytes"`
	Store     struct {
		Full   bool   `json:"full"`
		Broken string `json:"broken"`
		Used   int64  `json:"used_bytes"`
		Limit  int64  `json:"limit_bytes"`
		Free   int64  `json:"free_bytes"`
	} `json:"store"`
	FlowFiles struct {
		Dir     string   `json:"dir"`
		Loaded  int      `json:"loaded"`
		LeftOut []string `json:"left_out"`
	} `json:"flow_files"`
}

func (s *Site) node(v *Visit) (*reply, error) {
	var doc nodeDoc
	if err := v.ask("node.status", nil, &doc); err != nil {
		return nil, err
	}
	return &reply{page: &page{name: "node", Title: "Node", Nav: "/node", Live: true, Data: doc}}, nil
}

// breaker is a circuit breaker as breaker.list tells of it.
type breaker struct {
	Key      string `json:"key"`
	State    string `json:"state"`
	Failures int    `json:"failures"`
	Until    string `json:"open_until"`
	Paused   string `json:"paused_until"`
}

// pausedAt reports whether calls are kept back at a time, though the breaker is
// closed: the host has asked for that.
func (b *breaker) pausedAt(now time.Time) bool {
	until, err := time.Parse(time.RFC3339, b.Paused)
	return err == nil && until.After(now)
}

func (v *Visit) listBreakers() ([]breaker, error) {
	var out struct {
		Breakers []breaker `json:"breakers"`
	}
	err := v.ask("breaker.list", nil, &out)
	return out.Breakers, err
}

type breakersPage struct {
	Breakers []breaker
	MayReset bool
}

func (s *Site) breakers(v *Visit) (*reply, error) {
	list, err := v.listBreakers()
	if err != nil {
		return nil, err
	}
	return &reply{page: &page{name: "breakers", Title: "Breakers", Nav: "/breakers", Live: true, Data: breakersPage{list, v.may("breaker.reset")}}}, nil
}

func (s *Site) resetBreaker(v *Visit) (*reply, error) {
	if err := v.ask("breaker.reset", fields("key", v.PostForm.Get("key")), nil); err != nil {
		return nil, err
	}
	return &reply{goOn: "/breakers"}, nil
}

// hook is a pushed module as hook.list tells of it.
type hook struct {
	Name     string `json:"name"`
	SHA256   string `json:"sha256"`
	Size     uint64 `json:"size"`
	StoredAt string `json:"stored_at"`
}

func (s *Site) hooks(v *Visit) (*reply, error) {
	var out struct {
		Hooks []hook `json:"hooks"`
	}
	if err := v.ask("hook.list", nil, &out); err != nil {
		return nil, err
	}
	return &reply{page: &page{name: "hooks", Title: "Hooks", Nav: "/hooks", Data: out.Hooks}}, nil
}

// credential is a credential by its name; its secrets are not asked for.
type credential struct {
	ID       string   `json:"credential_id"`
	Type     string   `json:"type"`
	StoredAt string   `json:"stored_at"`
	Error    string   `json:"error"`
	Flows    []string `json:"-"` // that name it
}

func (s *Site) credentials(v *Visit) (*reply, error) {
	var out struct {
		Credentials []credential `json:"credentials"`
	}
	if err := v.ask("credential.list", nil, &out); err != nil {
		return nil, err
	}
	p := credentialsPage{Credentials: out.Credentials}
	if err := p.uses(v); err != nil {
		return nil, err
	}
	return &reply{page: &page{name: "credentials", Title: "Credentials", Nav: "/credentials", Data: p}}, nil
}

// maxUsers is in how many flows the page looks for credentials.
const maxUsers = 500

// credentialsPage is the credentials, and the flows that name them.
type credentialsPage struct {
	Credentials []credential
	Missing     []credential // that flows name, and nobody has stored
	Flows       int          // that were not looked at
}

// uses finds the flows that name each credential.
func (p *credentialsPage) uses(v *Visit) error {
	var all struct {
		Flows []engine.FlowInfo `json:"flows"`
	}
	if err := v.ask("flow.list", nil, &all); err != nil {
		return err
	}
	by := map[string][]string{}
	for i, info := range all.Flows {
		if i == maxUsers {
			p.Flows = len(all.Flows) - i
			break
		}
		var flow engine.Flow
		err := v.ask("flow.get", fields("flow", string(info.FlowID)), &flow)
		if errors.Is(err, engine.ErrNotFound) {
			continue // taken away meanwhile
		}
		if err != nil {
			return err
		}
		named := map[string]bool{}
		for i := range flow.Tasks {
			credentialNames(flow.Tasks[i].Properties, false, named)
			credentialNames(flow.Tasks[i].Hooks, false, named)
			hookSecrets(flow.Tasks[i].Hooks, named)
		}
		for name := range named {
			by[name] = append(by[name], string(info.FlowID))
		}
	}
	for i := range p.Credentials {
		p.Credentials[i].Flows = by[p.Credentials[i].ID]
		delete(by, p.Credentials[i].ID)
	}
	for _, name := range slices.Sorted(maps.Keys(by)) {
		p.Missing = append(p.Missing, credential{ID: name, Flows: by[name]})
	}
	return nil
}

// hookSecrets adds the credentials whose fields hooks get: secrets = ["bank.token"].
func hookSecrets(hooks *value.Map, into map[string]bool) {
	for _, hook := range hooks.All() {
		m, ok := hook.(*value.Map)
		if !ok {
			continue
		}
		secrets, _ := m.Get("secrets")
		list, _ := secrets.([]any)
		for _, s := range list {
			if text, ok := s.(string); ok {
				id, _, _ := strings.Cut(text, ".")
				into[id] = true
			}
		}
	}
}

// credentialField is a field of a credential in a text: ${credential:bank.token}.
var credentialField = regexp.MustCompile(`\$\{credential:([^.}]+)`)

// credentialNames adds the texts that stand under a name with "credential" in it,
// but for those that only a run knows; and those whose fields a
// text names.
func credentialNames(v any, under bool, into map[string]bool) {
	switch v := v.(type) {
	case *value.Map:
		for key, element := range v.All() {
			credentialNames(element, under || strings.Contains(key, "credential"), into)
		}
	case []any:
		for _, element := range v {
			credentialNames(element, under, into)
		}
	case string:
		if under && v != "" && !strings.Contains(v, "{{") {
			into[v] = true
		}
		for _, m := range credentialField.FindAllStringSubmatch(v, -1) {
			into[m[1]] = true
		}
	}
}

// The bounds of a query that a page asks.
const (
	maxSQL       = 2 << 10 // bytes of a statement in an address
	shownRows    = 500
	savedRows    = 10_000
	queryTimeout = 10 // seconds
)

// rows is a part of the answer of query.
type rows struct {
	Columns   []string            `json:"columns"`
	Rows      [][]json.RawMessage `json:"rows"`
	Next      string              `json:"next"`
	More      bool                `json:"more"`
	Behind    uint64              `json:"behind"`
	ElapsedMS float64             `json:"elapsed_ms"`
}

type queryPage struct {
	SQL      string
	Asked    bool
	Result   rows
	Wrong    string
	Examples []string
}

var queryExamples = []string{
	"SELECT flow_id, status, count(*) AS runs, max(start_time) AS newest FROM xt_flow_executions GROUP BY flow_id, status ORDER BY runs DESC",
	"SELECT execution_id, task_id, error_message, start_time FROM xt_operation_logs WHERE success = false ORDER BY start_time DESC LIMIT 50",
}

func (s *Site) query(v *Visit) (*reply, error) {
	q := v.URL.Query()
	p := queryPage{SQL: strings.TrimSpace(q.Get("sql")), Examples: queryExamples}
	status := 0
	if p.SQL != "" {
		p.Asked = true
		format, limit := q.Get("format"), shownRows
		if format == "csv" || format == "json" {
			limit = savedRows
		}
		err := v.queryAll(p.SQL, limit, &p.Result)
		switch {
		case errors.Is(err, engine.ErrInvalid), v.may("query") && errors.Is(err, engine.ErrDenied), errors.Is(err, engine.ErrUnavailable):
			p.Wrong, status = engine.ErrorLine(err), http.StatusBadRequest
		case err != nil:
			return nil, err
		case format == "csv" || format == "json":
			return &reply{file: p.Result.save(format)}, nil
		}
	}
	return &reply{status: status, page: &page{name: "query", Title: "Query", Nav: "/query", Data: p}}, nil
}

// queryAll asks for all parts of an answer.
func (v *Visit) queryAll(sql string, limit int, out *rows) error {
	if len(sql) > maxSQL {
		return fmt.Errorf("%w: the statement has %d bytes, want at most %d here; qarion query takes more", engine.ErrInvalid, len(sql), maxSQL)
	}
	if err := v.ask("query", fields("sql", sql, "limit", limit, "timeout", queryTimeout), out); err != nil {
		return err
	}
	for next := out.Next; next != ""; {
		var part rows
		if err := v.ask("query", fields("next", next), &part); err != nil {
			return err
		}
		out.Rows, out.More, next = append(out.Rows, part.Rows...), part.More, part.Next
	}
	return nil
}
