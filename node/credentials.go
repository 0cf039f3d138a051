package node

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/qarion/qarion/bus"
	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/value"
	"github.com/qarion/qarion/kvstore"
)

// openCredentials opens the credential store with the key that the
// configuration names, or the data directory's own.
func (n *Node) openCredentials(ctx context.Context) error {
	nc, err := n.connect("credentials")
	if err != nil {
		return err
	}
	key := n.cfg.Key
	key.File = cmp.Or(key.File, filepath.Join(n.cfg.DataDir, "key"))
	n.secrets, err = kvstore.OpenCredentials(ctx, kvstore.CredentialsConfig{Conn: nc, Key: key, Log: n.log})
	if err != nil {
		return err
	}
	if err := n.secrets.KeyError(); err != nil {
		n.log.Warn("credentials cannot be opened", engine.LogErr, err)
	}
	return nil
}

// CredentialInput is the payload of credential.store.
type CredentialInput struct {
	ID   string     `json:"credential_id"`
	Type string     `json:"type,omitempty"`
	Data *value.Map `json:"data,omitempty"`
}

// CredentialStored is the answer of credential.store.
type CredentialStored struct {
	ID       string `json:"credential_id"`
	Type     string `json:"type"`
	Replaced bool   `json:"replaced"`
	KeyMade  string `json:"key_made,omitempty"` // the key file, where this has made it
}

// Rekeyed is the answer of credential.rekey.
type Rekeyed struct {
	Sealed int `json:"sealed"` // records sealed anew
	Failed int `json:"failed"` // records that could not be opened, left as they were
}

// credentialEndpoints are the service's endpoints for credentials, for callers
// with a login.
func (n *Node) credentialEndpoints() []bus.Endpoint {
	one := func(data []byte) (string, error) {
		var in CredentialInput
		if err := json.Unmarshal(data, &in); err != nil || in.ID == "" {
			return "", fmt.Errorf("%w: which credential? {\"credential_id\": \"shop\"}", engine.ErrInvalid)
		}
		return in.ID, nil
	}
	return []bus.Endpoint{
		{Name: "credential.store", Handle: n.storeCredential},
		{Name: "credential.list", Handle: func(ctx context.Context, _ []byte) (any, error) {
			return map[string]any{"credentials": n.secrets.List(ctx)}, nil
		}},
		{Name: "credential.show", Handle: func(ctx context.Context, data []byte) (any, error) {
			id, err := one(data)
			if err != nil {
				return nil, err
			}
			return n.secrets.Show(ctx, id)
		}},
		{Name: "credential.delete", Handle: func(ctx context.Context, data []byte) (any, error) {
			id, err := one(data)
			if err != nil {
				return nil, err
			}
			return CredentialInput{ID: id}, n.secrets.Delete(ctx, id)
		}},
		{Name: "credential.rekey", Handle: func(ctx context.Context, _ []byte) (any, error) {
			done, failed, err := n.secrets.Rekey(ctx)
			return Rekeyed{done, failed}, err
		}},
	}
}

func (n *Node) storeCredential(ctx context.Context, data []byte) (any, error) {
	var in CredentialInput
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, fmt.Errorf("%w: the request is not an object with credential_id, type and data", engine.ErrInvalid)
	}
	replaced, made, err := n.secrets.Store(ctx, engine.Credential{ID: in.ID, Type: in.Type, Data: in.Data})
	if err != nil {
		return nil, err
	}
	n.log.Info("credential stored", "credential", in.ID, "type", in.Type, "replaced", replaced)
	return CredentialStored{in.ID, in.Type, replaced, made}, nil
}
