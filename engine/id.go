package engine

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"time"
)

// The ids. Each becomes a subject token and a KV key, so each is checked once
// where it enters (ParseFlowID, ParseTaskID, ParseRunID) and trusted after.
type (
	// FlowID names a flow: a letter or underscore, then at most 63 letters,
	// digits, underscores and hyphens.
	FlowID string
	// TaskID names a task within its flow; the same pattern.
	TaskID string
	// RunID names one run: a ULID, 26 characters that sort by time.
	RunID string
)

// MaxID is the longest flow or task id, in bytes.
const MaxID = 64

// ParseFlowID checks a flow id.
func ParseFlowID(s string) (FlowID, error) { return FlowID(s), checkName("flow id", s) }

// ParseTaskID checks a task id.
func ParseTaskID(s string) (TaskID, error) { return TaskID(s), checkName("task id", s) }

func checkName(what, s string) error {
	if s == "" {
		return fmt.Errorf("%w: %s is empty", ErrInvalid, what)
	}
	if len(s) > MaxID {
		return fmt.Errorf("%w: %s %.20q... is longer than %d characters", ErrInvalid, what, s, MaxID)
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c != '-' && (c < '0' || c > '9')) {
			return fmt.Errorf("%w: %s %q may have only letters, digits, _ and -, and starts with a letter or _", ErrInvalid, what, s)
		}
	}
	return nil
}

// crockford is the alphabet of ULIDs (https://github.com/ulid/spec).
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// ParseRunID checks a run id: 26 characters of Crockford's base 32.
func ParseRunID(s string) (RunID, error) {
	if len(s) == 26 && strings.Trim(s, crockford) == "" && s[0] <= '7' {
		return RunID(s), nil
	}
	return "", fmt.Errorf("%w: %.40q is not a run id (26 characters such as 01M84BFBV1N8Q6D2T4XW9B7C5E)", ErrInvalid, s)
}

// RunIDs returns a source of run ids that grow, also within one millisecond
// and when the clock steps back: then the last id is counted up, as the ULID
// specification has it. So the order of ids is the order of starts on a node.
func RunIDs() func(now time.Time) RunID {
	var mu sync.Mutex
	var last time.Time
	var entropy [10]byte
	return func(now time.Time) RunID {
		mu.Lock()
		defer mu.Unlock()
		now = now.Truncate(time.Millisecond)
		if now.After(last) {
			last = now
			rand.Read(entropy[:]) // never fails since Go 1.24
			entropy[0] &= 0x7f    // room to count up
			return runID(last, entropy)
		}
		for i := len(entropy) - 1; i >= 0; i-- {
			if entropy[i]++; entropy[i] != 0 {
				break
			}
		}
		return runID(last, entropy)
	}
}

// DeriveRunID makes the id of a run whose trigger was published straight into
// the ledger: the same on every replay, since it depends only on where and when
// the trigger stands there.
func DeriveRunID(at time.Time, installation string, seq uint64) RunID {
	h := sha256.New()
	h.Write([]byte(installation))
	h.Write(binary.BigEndian.AppendUint64(nil, seq))
	return runID(at, [10]byte(h.Sum(nil)[:10]))
}

// FirstRunID is the least id that a run of a time or later can have: ids sort
// by the time in which they were made.
func FirstRunID(at time.Time) RunID { return runID(at, [10]byte{}) }

func runID(at time.Time, entropy [10]byte) RunID {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:8], uint64(at.UnixMilli())<<16)
	copy(id[6:], entropy[:])
	return RunID(base32(id[:], 26))
}

// Pack is the id as the 128 bits that it stands for; false when it is no ULID.
func (id RunID) Pack() (bits [16]byte, ok bool) {
	if len(id) != 26 || id[0] > '7' {
		return bits, false
	}
	acc, have, next := uint(0), 0, len(bits)-1
	for i := len(id) - 1; i >= 0; i-- {
		digit := strings.IndexByte(crockford, id[i])
		if digit < 0 {
			return bits, false
		}
		acc |= uint(digit) << have
		if have += 5; have >= 8 && next >= 0 {
			bits[next] = byte(acc)
			acc, have, next = acc>>8, have-8, next-1
		}
	}
	return bits, true
}

// UnpackRunID is the id that Pack made the bits of.
func UnpackRunID(bits [16]byte) RunID { return RunID(base32(bits[:], 26)) }

// base32 writes the big-endian number b as n digits of Crockford's base 32.
func base32(b []byte, n int) string {
	out := make([]byte, n)
	acc, bits, next := uint(0), 0, len(b)-1
	for i := n - 1; i >= 0; i-- {
		if bits < 5 && next >= 0 {
			acc |= uint(b[next]) << bits
			bits += 8
			next--
		}
		out[i] = crockford[acc&31]
		acc >>= 5
		bits -= 5
	}
	return string(out)
}

// IdempotencyKey is the key that every attempt of a task in a run carries: 26
// characters derived from installation, run, task and item, so that it is the
// same over retries and restarts.
func IdempotencyKey(installation string, k AttemptKey) string {
	text := fmt.Appendf(nil, "%s\x00%s\x00%s\x00%d", installation, k.Run, k.Task, k.Item)
	if k.Turn > 0 {
		text = fmt.Appendf(text, "\x00%d", k.Turn)
	}
	sum := sha256.Sum256(text)
	return base32(sum[:16], 26)
}
