package kvstore

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/engine"
	"github.com/qarion/qarion/internal/feed"
	"github.com/qarion/qarion/internal/filestore"
)

// ViewFiles is a view as its files have it, to be held against the ledger.
type ViewFiles struct {
	Scan     *filestore.Scan
	Position engine.Pos // how far the view is

	bucket string
	made   func(c *engine.Change) (subject string, data []byte, err error)
	have   map[string]viewEntry
	want   map[string]viewEntry
	keep   time.Duration
	max    int        // entries that the server keeps; less than 1: all
	oldest engine.Pos // of the first entries that are there
}

// unordered is among how many entries one may stand that was made before those
// around it: what is held back (runs_held.go) is written after younger ones.
const unordered = 16 << 10

type viewEntry struct {
	at  engine.Pos
	on  engine.Micros
	sum [16]byte
}

// sumOf tells contents apart.
func sumOf(data []byte) [16]byte {
	sum := sha256.Sum256(data)
	return [16]byte(sum[:16])
}

// OpenViewFiles reads a view's bucket, BucketRuns or BucketXCom, of whose
// stream ReadMeta has been called.
func OpenViewFiles(bucket string, s *filestore.Stream, growing bool) (*ViewFiles, error) {
	v := &ViewFiles{bucket: bucket, have: map[string]viewEntry{}, want: map[string]viewEntry{}, keep: time.Duration(s.Config.MaxAge), max: int(s.Config.Max)}
	var buf []byte
	v.made = func(c *engine.Change) (string, []byte, error) {
		if c.Doc == nil {
			return "", nil, nil
		}
		var err error
		buf, _, err = appendRun(buf[:0], c) // also with seeds that stand in it
		return keyPrefix(BucketRuns) + string(c.Run), buf, err
	}
	if bucket == BucketXCom {
		v.made = func(c *engine.Change) (string, []byte, error) {
			subject, data, _, err := xcomEntry(c)
			return subject, data, err
		}
	}
	var err error
	v.Scan, err = s.Scan(growing, func(m *filestore.Message) error {
		p, _ := feed.ParsePos(m.Get(feed.HeaderPos))
		if taken, ok := feed.Taken(m.Get); ok && v.Position.Before(engine.Pos(taken)) {
			v.Position = engine.Pos(taken)
		}
		if strings.HasPrefix(m.Subject, keyPrefix(bucket)) && m.Get(headerOperation) == "" {
			v.have[m.Subject] = viewEntry{at: engine.Pos(p), sum: sumOf(m.Data)}
			if len(v.have) <= unordered && v.oldest.Before(engine.Pos(p)) {
				v.oldest = engine.Pos(p)
			}
		}
		return nil
	})
	return v, err
}

// Expect takes a change of the ledger, in order.
func (v *ViewFiles) Expect(c *engine.Change) error {
	early := v.Position.Before(c.Pos)
	if early && (v.bucket != BucketRuns || c.Doc == nil) {
		return nil // it is not there yet
	}
	subject, data, err := v.made(c)
	if err != nil || len(data) == 0 {
		return err
	}
	if early && v.have[subject].at != c.Pos {
		return nil // nor is this; a run's end may be, before what is held back of others
	}
	v.want[subject] = viewEntry{c.Pos, c.At, sumOf(data)}
	return nil
}

// Expected is how many entries the ledger makes.
func (v *ViewFiles) Expected() int { return len(v.want) }

// HasRun reports whether there is a document of a run.
func (v *ViewFiles) HasRun(run engine.RunID) bool {
	_, ok := v.have[keyPrefix(v.bucket)+string(run)]
	return ok
}

// Mismatch is an entry of a view that is not what the ledger makes of it.
type Mismatch struct {
	Key    string // of the bucket
	Run    engine.RunID
	Reason string
}

// slack is how much earlier or later than planned the server lets go of what is
// too old.
const slack = 10 * time.Minute

// left reports whether the server has let go of an entry, or may have.
func (v *ViewFiles) left(e viewEntry, now time.Time) bool {
	if v.keep > 0 && now.Sub(e.on.Time()) > v.keep-slack {
		return true
	}
	full := v.max > 0 && len(v.have) >= v.max-1 // one may say how far the view is
	return full && e.at.Before(v.oldest)
}

// Compare holds what the ledger makes of the view against what is there. whole:
// the changes were all that there ever were.
func (v *ViewFiles) Compare(now time.Time, whole bool) (out []Mismatch) {
	add := func(subject, reason string) {
		key := strings.TrimPrefix(subject, keyPrefix(v.bucket))
		run, _, _ := strings.Cut(key, ".")
		out = append(out, Mismatch{key, engine.RunID(run), reason})
	}
	for subject, want := range v.want {
		have, ok := v.have[subject]
		switch {
		case !ok && v.left(want, now):
		case !ok:
			add(subject, "it is missing")
		case have.sum != want.sum:
			add(subject, "it is not what the ledger says")
		}
	}
	if whole {
		for subject := range v.have {
			if _, ok := v.want[subject]; !ok {
				add(subject, "the ledger knows nothing of it")
			}
		}
	}
	slices.SortFunc(out, func(a, b Mismatch) int { return strings.Compare(a.Key, b.Key) })
	return out
}

// Between are the runs whose entries were made from a range of the ledger.
func (v *ViewFiles) Between(from, to uint64) (runs []engine.RunID) {
	for subject, e := range v.have {
		if e.at.Seq >= from && e.at.Seq <= to {
			run, _, _ := strings.Cut(strings.TrimPrefix(subject, keyPrefix(v.bucket)), ".")
			runs = append(runs, engine.RunID(run))
		}
	}
	slices.Sort(runs)
	return slices.Compact(runs)
}

// ObjectFiles is an object store as its files have it.
type ObjectFiles struct {
	Scan    *filestore.Scan
	Objects int // that are whole
	Damaged map[string]string

	stream  *filestore.Stream
	growing bool
	ids     map[string]string // of the chunks, by name
}

// OpenObjectFiles reads an object store and holds every object against its
// digest.
func OpenObjectFiles(bucket string, s *filestore.Stream, growing bool) (*ObjectFiles, error) {
	o := &ObjectFiles{stream: s, growing: growing, Damaged: map[string]string{}, ids: map[string]string{}}
	type content struct {
		hash hash.Hash
		size uint64
	}
	chunks := map[string]*content{}
	infos := map[string]*jetstream.ObjectInfo{}
	at := map[string]uint64{}
	chunk, meta := "$O."+bucket+".C.", "$O."+bucket+".M."
	var err error
	o.Scan, err = s.Scan(growing, func(m *filestore.Message) error {
		if id, ok := strings.CutPrefix(m.Subject, chunk); ok {
			c := chunks[id]
			if c == nil {
				c = &content{hash: sha256.New()}
				chunks[id] = c
			}
			c.hash.Write(m.Data)
			c.size += uint64(len(m.Data))
			return nil
		}
		if !strings.HasPrefix(m.Subject, meta) {
			return nil
		}
		info := new(jetstream.ObjectInfo)
		if err := json.Unmarshal(m.Data, info); err != nil {
			o.Damaged[m.Subject] = "its description cannot be read"
			return nil
		}
		infos[m.Subject], at[m.Subject] = info, m.Seq
		return nil
	})
	if err != nil {
		return nil, err
	}
	for subject, info := range infos {
		if info.Deleted || o.Scan.Deleted(at[subject]) {
			continue
		}
		c := chunks[info.NUID]
		if c == nil {
			c = &content{hash: sha256.New()}
		}
		if c.size != info.Size || digestText(c.hash.Sum(nil)) != info.Digest {
			if !growing {
				o.Damaged[info.Name] = fmt.Sprintf("%d of its %d bytes are there, or they are not those that were stored", min(c.size, info.Size), info.Size)
			}
			continue
		}
		o.Objects++
		o.ids[info.Name] = chunk + info.NUID
	}
	return o, nil
}

// Has reports whether an object is there, whole or damaged.
func (o *ObjectFiles) Has(name string) bool { return o.ids[name] != "" || o.Damaged[name] != "" }

// Read is the content of an object that is whole. engine.ErrNotFound: it is not
// there.
func (o *ObjectFiles) Read(name string) (data []byte, err error) {
	subject, ok := o.ids[name]
	if !ok {
		return nil, fmt.Errorf("%w: object %s", engine.ErrNotFound, name)
	}
	_, err = o.stream.Scan(o.growing, func(m *filestore.Message) error {
		if m.Subject == subject {
			data = append(data, m.Data...)
		}
		return nil
	})
	return data, err
}

// CredentialFiles is the credentials as their files have them.
type CredentialFiles struct {
	Scan    *filestore.Scan
	Records int               // that are as they were written
	Damaged map[string]string // why records do not open, by name
	Key     error             // why no record opens
}

// OpenCredentialFiles reads the sealed records and opens each, if the key is
// there. It shows none.
func OpenCredentialFiles(s *filestore.Stream, cfg KeyConfig, growing bool) (*CredentialFiles, error) {
	c := &CredentialFiles{Damaged: map[string]string{}}
	records := map[string][]byte{}
	var err error
	c.Scan, err = s.Scan(growing, func(m *filestore.Message) error {
		name, ok := strings.CutPrefix(m.Subject, keyPrefix(BucketCredentials))
		switch {
		case !ok:
		case m.Get(headerOperation) != "":
			delete(records, name)
		default:
			records[name] = slices.Clone(m.Data)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	keys := keyring{cfg: cfg}
	if err := keys.load(); err != nil && len(records) > 0 {
		c.Key = err
	}
	for name, record := range records {
		sealed, err := parseSealed(record)
		if err == nil && c.Key == nil {
			_, err = sealed.open(&keys, name)
		}
		if err != nil {
			c.Damaged[name] = err.Error()
			continue
		}
		c.Records++
	}
	return c, nil
}
