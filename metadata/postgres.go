package metadata

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/qarion/qarion/engine"
)

// postgresWords is how PostgreSQL says what the schema needs. Ids sort by
// bytes, whatever language the database speaks.
var postgresWords = dialect{
	"$ID": `TEXT COLLATE "C"`, "$TIME": "TIMESTAMPTZ(3)", "$JSON": "JSONB", "$POSITION": "BIGINT", "$CLUSTERED": "",
}

// postgresDB is the tables in a PostgreSQL database. One connection writes; it
// is made anew after an error.
type postgresDB struct {
	config *pgx.ConnConfig
	conn   *pgx.Conn // that writes; nil until it is needed

	pooled sync.Mutex
	pool   *pgxpool.Pool // of the readers
	shared bool          // closed for good
}

func newPostgres(rawURL string) (*postgresDB, error) {
	config, err := pgx.ParseConfig(rawURL)
	if err != nil {
		return nil, fmt.Errorf("%w: the database's URL %s cannot be read", engine.ErrInvalid, redactURL(rawURL)) // pgx would print the password
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectWithin
	}
	config.RuntimeParams["application_name"] = "qarion"
	config.RuntimeParams["timezone"] = "UTC"
	config.RuntimeParams["datestyle"] = "ISO"
	return &postgresDB{config: config}, nil
}

// redactURL is a URL without its password, for people.
func redactURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "postgres://..."
	}
	if u.User != nil {
		u.User = url.User(u.User.Username())
	}
	q := u.Query()
	for name := range q {
		if strings.Contains(name, "password") {
			q.Del(name)
		}
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// migrationLock keeps two nodes from making the tables at the same time.
const migrationLock = 0x71617269_6f6e

// prepare implements database.
func (p *postgresDB) prepare(ctx context.Context, installation string, upgrade bool) (at engine.Pos, err error) {
	answers, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	if err := p.open(answers); err != nil {
		return at, err
	}
	err = p.transaction(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(answers, "SELECT pg_advisory_xact_lock($1)", int64(migrationLock)); err != nil {
			return err
		}
		if _, err := tx.Exec(answers, metaTable); err != nil {
			return err
		}
		var version int64
		var owner string
		err := tx.QueryRow(answers, "SELECT schema, installation, seq, n FROM qarion_metadata WHERE id = 1").Scan(&version, &owner, &at.Seq, &at.N)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if owner != "" && owner != installation {
			return errForeign(owner, installation)
		}
		steps, err := pending(version, upgrade)
		if err != nil || len(steps) == 0 && owner != "" {
			return err
		}
		for _, step := range steps {
			if _, err := tx.Exec(ctx, postgresWords.sql(step)); err != nil {
				return fmt.Errorf("make the tables: %w", err)
			}
		}
		_, err = tx.Exec(ctx, `INSERT INTO qarion_metadata (id, schema, installation, seq, n) VALUES (1, $1, $2, 0, 0)
			ON CONFLICT (id) DO UPDATE SET schema = excluded.schema, installation = excluded.installation`, int64(len(migrations)), installation)
		return err
	})
	return at, err
}

func (p *postgresDB) open(ctx context.Context) (err error) {
	if p.conn != nil && !p.conn.IsClosed() {
		return nil
	}
	p.conn, err = pgx.ConnectConfig(ctx, p.config)
	return err
}

func (p *postgresDB) shut() error {
	if p.conn == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := p.conn.Close(ctx)
	p.conn = nil
	return err
}

// transaction runs fn in one. After an error the connection is closed, since
// nobody knows whether a commit arrived; the position in the database does.
func (p *postgresDB) transaction(ctx context.Context, fn func(pgx.Tx) error) error {
	if p.conn == nil {
		return errors.New("the connection is closed")
	}
	err := pgx.BeginFunc(ctx, p.conn, fn)
	if err != nil {
		_ = p.shut()
	}
	return err
}

// expire implements database.
func (p *postgresDB) expire(ctx context.Context, before engine.Micros, limit int) (count int, err error) {
	err = p.transaction(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT execution_id FROM xt_flow_executions WHERE execution_id < $1 AND end_time < $2 ORDER BY execution_id LIMIT $3`,
			string(engine.FirstRunID(before.Time())), before.Time(), limit)
		if err != nil {
			return err
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil || len(ids) == 0 {
			return err
		}
		count = len(ids)
		for _, table := range []string{tableOps, tableTasks, tableFlows} {
			if _, err := tx.Exec(ctx, "DELETE FROM "+table+" WHERE execution_id = ANY($1)", ids); err != nil {
				return err
			}
		}
		return nil
	})
	return count, err
}

// clear implements database. The tables stay, with who may read them.
func (p *postgresDB) clear(ctx context.Context) error {
	if err := p.open(ctx); err != nil {
		return err
	}
	return p.transaction(ctx, func(tx pgx.Tx) error {
		var there bool
		if err := tx.QueryRow(ctx, "SELECT to_regclass('qarion_metadata') IS NOT NULL").Scan(&there); err != nil || !there {
			return err
		}
		_, err := tx.Exec(ctx, "TRUNCATE xt_flow_executions, xt_task_executions, xt_operation_logs; UPDATE qarion_metadata SET installation = '', seq = 0, n = 0")
		return err
	})
}

func (p *postgresDB) close() error {
	p.pooled.Lock()
	p.shared = true
	if p.pool != nil {
		p.pool.Close()
	}
	p.pooled.Unlock()
	return p.shut()
}

// problem implements database. An error of connecting is said in the server's
// words alone: pgx adds the user and the whole address.
func (p *postgresDB) problem(err error) error {
	var server *pgconn.PgError
	if errors.As(err, &server) {
		return fmt.Errorf("%s (SQLSTATE %s)", server.Message, server.Code)
	}
	var network *net.OpError
	if errors.As(err, &network) {
		return network
	}
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) && connect.Unwrap() != nil {
		return fmt.Errorf("no connection: %s", strings.ReplaceAll(connect.Unwrap().Error(), "\n", "; "))
	}
	return err
}
