// Package filestore reads what a JetStream server keeps in files, without a
// server, and changes nothing. A server that opens a damaged store mends it: it
// cuts files off where they cannot be read, goes on, and says little. Whoever
// wants to know what is damaged has to look before.
//
// It reads the format of nats-server 2.10 to 2.15, without encryption and
// compression: a folder for each stream, in it meta.inf (its configuration),
// msgs/N.blk (its messages, each with a checksum) and msgs/index.db (what the
// server knew of them when it stopped, or some time before).
package filestore

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/minio/highwayhash"
)

// Names of files.
const (
	metaFile  = "meta.inf"
	sumFile   = "meta.sum"
	msgsDir   = "msgs"
	indexFile = "index.db"
	blockExt  = ".blk"
)

// Config is what this package needs of a stream's configuration.
type Config struct {
	Name      string            `json:"name"`
	Subjects  []string          `json:"subjects"`
	Retention string            `json:"retention"`
	MaxAge    int64             `json:"max_age"`
	MaxPer    int64             `json:"max_msgs_per_subject"`
	Max       int64             `json:"max_msgs"` // less than 1: no bound
	Metadata  map[string]string `json:"metadata"`
}

// removes reports whether the server takes messages out of the stream by
// itself, without leaving a note of each.
func (c *Config) removes() bool {
	return c.MaxAge > 0 || c.MaxPer > 0 || c.Max > 0 || c.Retention == "workqueue" || c.Retention == "interest"
}

// Stream is a stream's folder.
type Stream struct {
	Name   string // of the folder, which is the stream's
	Dir    string
	Config Config // zero where it cannot be read
}

// Problem is something that is not as it was written.
type Problem struct {
	Kind   Kind
	File   string // its path
	From   uint64 // sequences that are concerned, 0 where that is not known
	To     uint64
	Reason string
}

// Kind says what a Problem is about.
type Kind int

// The kinds of problem.
const (
	Unreadable Kind = iota // bytes that are no message, or not the one that was written
	Lost                   // messages that must be there
	Unfinished             // a block ends within a message: a write that did not come to its end, or a file that was cut
	Index                  // the server makes it anew, but what else is missing cannot be told without it
	Meta                   // the server does not open the stream
	Access                 // the system does not let it be read
)

// Streams finds the streams of a server's store folder: DIR/jetstream/ACCOUNT/
// streams/NAME, in the order of their names.
func Streams(dir string) ([]*Stream, error) {
	accounts, err := os.ReadDir(filepath.Join(dir, "jetstream"))
	if err != nil {
		return nil, err
	}
	var out []*Stream
	for _, a := range accounts {
		if !a.IsDir() || strings.HasPrefix(a.Name(), "_") {
			continue
		}
		root := filepath.Join(dir, "jetstream", a.Name(), "streams")
		list, err := os.ReadDir(root)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range list {
			if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
				out = append(out, &Stream{Name: e.Name(), Dir: filepath.Join(root, e.Name())})
			}
		}
	}
	slices.SortFunc(out, func(a, b *Stream) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// hasher is the checksum that belongs to a name.
func hasher(name string) *highwayhash.Digest64 {
	key := sha256.Sum256([]byte(name))
	h, err := highwayhash.NewDigest64(key[:])
	if err != nil {
		panic(err) // the key has the right length
	}
	return h
}

// ReadMeta reads the stream's configuration and checks it.
func (s *Stream) ReadMeta() *Problem {
	file := filepath.Join(s.Dir, metaFile)
	data, err := os.ReadFile(file)
	if err != nil {
		return access(file, err)
	}
	sum, err := os.ReadFile(filepath.Join(s.Dir, sumFile))
	if err != nil {
		return access(filepath.Join(s.Dir, sumFile), err)
	}
	h := hasher(s.Name)
	_, _ = h.Write(data)
	if hex.EncodeToString(h.Sum(nil)) != string(sum) {
		return &Problem{Kind: Meta, File: file, Reason: "the stream's configuration does not match its checksum in " + sumFile}
	}
	if err := json.Unmarshal(data, &s.Config); err != nil {
		return &Problem{Kind: Meta, File: file, Reason: "the stream's configuration cannot be read: " + err.Error()}
	}
	return nil
}

func access(file string, err error) *Problem {
	if errors.Is(err, fs.ErrNotExist) {
		return &Problem{Kind: Meta, File: file, Reason: "the file is missing"}
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return &Problem{Kind: Access, File: file, Reason: "it cannot be read: " + err.Error()}
}

// block is a file of messages.
type block struct {
	number uint32
	path   string
}

// blocks are the stream's files of messages, in order.
func (s *Stream) blocks() ([]block, error) {
	list, err := os.ReadDir(filepath.Join(s.Dir, msgsDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []block
	for _, e := range list {
		name, ok := strings.CutSuffix(e.Name(), blockExt)
		n, err := strconv.ParseUint(name, 10, 32)
		if ok && err == nil {
			out = append(out, block{uint32(n), filepath.Join(s.Dir, msgsDir, e.Name())})
		}
	}
	slices.SortFunc(out, func(a, b block) int { return cmp.Compare(a.number, b.number) })
	return out, nil
}

func (s *Stream) file(name string) string { return filepath.Join(s.Dir, msgsDir, name) }

// Bytes is how much room the stream's files take.
func (s *Stream) Bytes() (n int64) {
	list, _ := s.blocks()
	for _, b := range list {
		if info, err := os.Stat(b.path); err == nil {
			n += info.Size()
		}
	}
	return n
}

func (p *Problem) String() string {
	if p.From == 0 || p.To == 0 {
		return fmt.Sprintf("%s: %s", p.File, p.Reason)
	}
	return fmt.Sprintf("%s: messages %d to %d: %s", p.File, p.From, p.To, p.Reason)
}
