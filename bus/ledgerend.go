package bus

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ledgerEnd remembers outside of the stream how far the ledger has come: what
// is cut off at its end, by whatever has damaged a file, would otherwise be
// missed by nobody, and its sequences given out again. It is written with each
// acknowledgement, without a sync: after a power loss it may be behind, never
// ahead of what was acknowledged.
type ledgerEnd struct {
	mu   sync.Mutex
	file *os.File
	seq  uint64
}

const ledgerEndFile = "ledger.end"

func openLedgerEnd(dir string) (*ledgerEnd, error) {
	path := filepath.Join(dir, ledgerEndFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	e := &ledgerEnd{file: f}
	text := make([]byte, 32)
	n, _ := f.ReadAt(text, 0)
	e.seq, _ = strconv.ParseUint(strings.TrimSpace(string(text[:n])), 10, 64) // unreadable: nothing is known
	return e, nil
}

// reached notes an acknowledged sequence. A write that fails costs a check,
// not a run.
func (e *ledgerEnd) reached(seq uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if seq <= e.seq {
		return
	}
	e.seq = seq
	_, _ = e.file.WriteAt(fmt.Appendf(nil, "%020d\n", seq), 0)
}

func (e *ledgerEnd) known() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.seq
}

// writtenAt is when the file was written last.
func (e *ledgerEnd) writtenAt() (time.Time, error) {
	info, err := e.file.Stat()
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

func (e *ledgerEnd) close() { e.file.Close() }
