package bus

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/engine"
)

// Defaults of Config.
const (
	DefaultListen       = "127.0.0.1:4222"
	DefaultSyncInterval = 2 * time.Minute // where sync is not "always"
	diskReserve         = 256 << 20       // bytes of the disk that the store leaves free
	maxPayload          = 1 << 20
	startTimeout        = 20 * time.Second
)

// userEngine may do everything and is known only to this process and to the
// commands that can read serve.json; userPublic is everybody else on loopback.
const (
	userEngine = "qarion"
	userPublic = "public"
)

// Config is how a bus is opened. A zero field means its default.
type Config struct {
	Dir          string        // of the JetStream store
	Listen       string        // host:port for clients; "" opens no port, ":0" of a host picks one
	SyncInterval time.Duration // 0: every write reaches the disk before it is acknowledged
	Node         string        // this node's name, a subject token; default "local"
	Log          *slog.Logger
}

// Access is how a command reaches the server with full rights.
type Access struct {
	URL      string `json:"url"`
	User     string `json:"user"`
	Password string `json:"password"`
}

// Bus is an embedded NATS server with the engine's own connections to it.
type Bus struct {
	cfg      Config
	log      *slog.Logger
	server   atomic.Pointer[server.Server] // replaced when a write error broke its store
	password string

	mu          sync.Mutex
	health      Health
	writeFailed chan struct{}
	lost        chan struct{}
	watching    sync.WaitGroup
	unwatch     context.CancelFunc

	control *nats.Conn // the ledger's reader, the scheduler's publishes
	data    *nats.Conn // the worker's records
	js      jetstream.JetStream
	dataJS  jetstream.JetStream
	extra   []*nats.Conn // of views and services, closed with the bus
}

// Open starts the embedded server and connects to it. The caller holds the
// data directory's lock.
func Open(ctx context.Context, cfg Config) (*Bus, error) {
	if cfg.Node == "" {
		cfg.Node = "local"
	}
	b := &Bus{cfg: cfg, log: engine.Logger(cfg.Log), password: rand.Text(), writeFailed: make(chan struct{}, 1), lost: make(chan struct{})}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the store directory: %w", err)
	}
	dir, err := os.Stat(cfg.Dir)
	if err != nil {
		return nil, err
	}
	if err := b.startServer(); err != nil {
		return nil, err
	}
	if err := errors.Join(b.openStore(), b.connect()); err != nil {
		b.Close()
		return nil, err
	}
	if err := b.serveGuard(); err != nil {
		b.Close()
		return nil, err
	}
	b.limitStore()
	watch, stop := context.WithCancel(context.WithoutCancel(ctx))
	b.unwatch = stop
	b.watching.Go(func() { b.watchDisk(watch, dir) })
	return b, nil
}

// startServer starts a server on the store. One that is started again keeps
// the address of the first.
func (b *Bus) startServer() error {
	opts, err := b.options()
	if err != nil {
		return err
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("set up the NATS server: %w", err)
	}
	s.SetLoggerV2(&serverLog{b.log, b.writeError}, false, false, false)
	s.Start()
	if !s.ReadyForConnections(startTimeout) {
		s.Shutdown()
		return fmt.Errorf("%w: the NATS server was not ready within %s", engine.ErrUnavailable, startTimeout)
	}
	if b.cfg.Listen != "" {
		b.cfg.Listen = s.Addr().String()
	}
	b.server.Store(s)
	return nil
}

func (b *Bus) options() (*server.Options, error) {
	own, public, err := newAccounts()
	if err != nil {
		return nil, err
	}
	opts := &server.Options{
		ServerName: "qarion-" + b.cfg.Node,
		DontListen: b.cfg.Listen == "",
		NoSigs:     true, NoLog: true,
		JetStream: true, StoreDir: b.cfg.Dir, JetStreamMaxStore: serverLimit, JetStreamMaxMemory: 1 << 30,
		SyncAlways: b.cfg.SyncInterval == 0, SyncInterval: b.cfg.SyncInterval,
		MaxPayload: maxPayload,
		NoAuthUser: userPublic,
		Accounts:   []*server.Account{own, public},
		Users: []*server.User{
			{Username: userEngine, Password: b.password, Account: own},
			{Username: userPublic, Password: rand.Text(), Permissions: publicPermissions(), Account: public},
		},
	}
	if opts.SyncAlways {
		opts.SyncInterval = DefaultSyncInterval
	}
	if b.cfg.Listen == "" {
		return opts, nil
	}
	host, port, err := net.SplitHostPort(b.cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("%w: listen address %q: want host:port such as %s", engine.ErrInvalid, b.cfg.Listen, DefaultListen)
	}
	if opts.Port, err = strconv.Atoi(port); err != nil {
		return nil, fmt.Errorf("%w: listen address %q: the port is not a number", engine.ErrInvalid, b.cfg.Listen)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("%w: %s is not a loopback address, and clients would need no login: set [nats] listen to %s", engine.ErrDenied, b.cfg.Listen, DefaultListen)
	}
	opts.Host = host
	if opts.Port == 0 {
		opts.Port = server.RANDOM_PORT
	}
	// A taken port would end the whole process inside the server: ask first.
	l, err := net.Listen("tcp", b.cfg.Listen)
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			return nil, fmt.Errorf("%w: address %s is in use by another program", engine.ErrConflict, b.cfg.Listen)
		}
		return nil, fmt.Errorf("listen on %s: %w", b.cfg.Listen, err)
	}
	l.Close()
	return opts, nil
}

func dirSize(dir string) (size int64) {
	_ = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				size += info.Size()
			}
		}
		return nil
	})
	return size
}

func (b *Bus) connect() (err error) {
	if b.control, err = b.Connect("engine"); err != nil {
		return err
	}
	if b.data, err = b.Connect("worker"); err != nil {
		return err
	}
	if b.js, err = jetstream.New(b.control, jetstream.WithPublishAsyncTimeout(publishTimeout)); err != nil {
		return err
	}
	b.dataJS, err = jetstream.New(b.data, jetstream.WithPublishAsyncTimeout(publishTimeout))
	return err
}

// Connect opens one more in-process connection with full rights.
func (b *Bus) Connect(name string) (*nats.Conn, error) {
	nc, err := nats.Connect("", nats.InProcessServer(inProcess{b}), nats.Name("qarion "+name),
		nats.UserInfo(userEngine, b.password), nats.CustomInboxPrefix(inboxEngine), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		return nil, fmt.Errorf("connect to the embedded NATS server: %w", err)
	}
	return nc, nil
}

// JetStream is the engine's own JetStream context.
func (b *Bus) JetStream() jetstream.JetStream { return b.js }

// Dir is the directory of the JetStream store.
func (b *Bus) Dir() string { return b.cfg.Dir }

// Size is what the store takes on disk, in bytes.
func (b *Bus) Size() int64 { return dirSize(b.cfg.Dir) }

// Conn is the engine's own connection.
func (b *Bus) Conn() *nats.Conn { return b.control }

// Access is how commands reach this server; the URL is "" when it listens
// nowhere.
func (b *Bus) Access() Access {
	a := Access{User: userEngine, Password: b.password}
	if b.cfg.Listen != "" {
		a.URL = "nats://" + b.server.Load().Addr().String()
	}
	return a
}

// Close ends the connections and the server; what was acknowledged is on disk.
func (b *Bus) Close() {
	if b.unwatch != nil {
		b.unwatch()
		b.watching.Wait()
	}
	for _, nc := range append(b.extra, b.control, b.data) {
		if nc != nil {
			nc.Close()
		}
	}
	b.server.Load().Shutdown()
	b.server.Load().WaitForShutdown()
}

// inProcess connects to the server that there is now.
type inProcess struct{ b *Bus }

// InProcessConn implements nats.InProcessConnProvider.
func (p inProcess) InProcessConn() (net.Conn, error) { return p.b.server.Load().InProcessConn() }

// serverLog passes what the server has to say to the operator's log; its
// notices are detail here.
type serverLog struct {
	log   *slog.Logger
	heard func(text string) // what the server says went wrong
}

func (l *serverLog) Noticef(f string, v ...any) { l.log.Debug("nats: " + fmt.Sprintf(f, v...)) }
func (l *serverLog) Warnf(f string, v ...any) {
	text := fmt.Sprintf(f, v...)
	// Passwords are random and new with every start; an outdated TTL state is
	// what any kill leaves behind, and is mended.
	if strings.HasPrefix(text, "Plaintext passwords") || strings.Contains(text, "TTL state is outdated") {
		l.log.Debug("nats: " + text)
		return
	}
	l.log.Warn("nats: " + text)
}
func (l *serverLog) Fatalf(f string, v ...any) { l.log.Error("nats: " + fmt.Sprintf(f, v...)) }
func (l *serverLog) Errorf(f string, v ...any) {
	text := "nats: " + fmt.Sprintf(f, v...)
	l.heard(text)
	if strings.Contains(text, "Violation") { // what a stranger was refused is no fault of the node
		l.log.Debug(text)
		return
	}
	l.log.Error(text)
}
func (l *serverLog) Debugf(f string, v ...any) {}
func (l *serverLog) Tracef(f string, v ...any) {}
