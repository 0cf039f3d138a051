package apicall

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/jq"
	"github.com/qarion/qarion/internal/ratelimit"
)

// Name is how a flow names this task type.
const Name = "api_call"

// CredentialStore hands out stored credentials. Get is called for each attempt
// that needs one; engine.ErrNotFound when there is none of that id.
type CredentialStore interface {
	Get(ctx context.Context, id string) (engine.Credential, error)
}

// Config is what the task type works with. A zero field means its default.
type Config struct {
	Slots        int // connections per host that are kept: as many as the worker has slots
	Credentials  CredentialStore
	Egress       Egress
	Breakers     *Breakers        // nil: none
	Limits       *ratelimit.Rules // of qarion.toml: tasks may name one; nil: there are none
	Tokens       TokenStore       // nil: OAuth2 tokens last as long as the process
	Hooks        Hooks            // nil: there is nothing that runs hooks
	PreviewHooks bool             // previews run the hooks of requests
	Select       Selector         // nil: select is applied in this process, where nothing bounds its memory
	Version      string           // of the program, for User-Agent; "" for none
	Log          *slog.Logger

	// Resolve looks up host names; nil means the system's resolver.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
}

// TaskType is api_call.
type TaskType struct {
	cfg    Config
	egress *guard
	tokens *tokens
	agent  string // the User-Agent of every request: "qarion/1.2.3"

	challenges challenges // of servers that want digest authentication

	mu    sync.Mutex
	pools map[tlsOptions]*clients
}

var _ engine.TaskType = (*TaskType)(nil)

// New prepares the task type. Its connections are closed by Close.
func New(cfg Config) (*TaskType, error) {
	if cfg.Slots <= 0 {
		cfg.Slots = engine.DefaultSlots
	}
	if cfg.Select == nil {
		cfg.Select = jq.Local{}
	}
	g, err := newGuard(cfg.Egress)
	if err != nil {
		return nil, err
	}
	t := &TaskType{cfg: cfg, egress: g, pools: map[tlsOptions]*clients{}, agent: "qarion"}
	if cfg.Version != "" {
		t.agent += "/" + cfg.Version
	}
	t.tokens = newTokens(cfg.Tokens, engine.Logger(cfg.Log))
	return t, nil
}

// Name implements engine.TaskType.
func (t *TaskType) Name() string { return Name }

// Close closes the connections that are kept.
func (t *TaskType) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.pools {
		c.close()
	}
}
