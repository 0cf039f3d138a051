package bus

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/fxamacker/cbor/v2"
	"github.com/klauspost/compress/zstd"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/engine"
)

// The ledger's messages are CBOR (RFC 8949) with small integers as keys:
// compact, quick, and readable with any CBOR tool. A reader skips keys that it
// does not know; what it must not skip raises engine.FormatVersion.

// bundle is the payload of every message that the engine writes.
type bundle struct {
	Format  int               `cbor:"1,keyasint"`
	Writer  string            `cbor:"2,keyasint,omitempty"` // program version
	Records []cbor.RawMessage `cbor:"3,keyasint"`
}

// flowMessage is a flow record as it is stored: the definition compressed, or,
// when it is still large, in the object store.
type flowMessage struct {
	engine.FlowRecord
	Compressed []byte `cbor:"16,keyasint,omitempty"`
	Object     string `cbor:"17,keyasint,omitempty"`
}

// maxFlowInline is the largest compressed definition inside a record, in bytes.
const maxFlowInline = 256 << 10

// maxDefinition bounds what a definition may expand to, in bytes.
const maxDefinition = 64 << 20

// Limits of the decoders: the library's own are for strangers' data and were
// met by ours. What is read here this program wrote, so they only bound what a
// damaged length could ask for.
const (
	// A message has at most maxPayload bytes, so no list in it has more elements.
	maxMessageElements = maxPayload
	// The longest lists in a checkpoint's part are the tasks of one run
	// (engine.MaxTasks), what fold copied into one part, and a task's attempts.
	maxPartElements = 1 << 17
	maxPairs        = 1 << 10 // keys of a record
	maxNesting      = 32
)

var (
	messageDec    = decMode(maxMessageElements)
	checkpointDec = decMode(maxPartElements)
)

func decMode(elements int) cbor.DecMode {
	mode, err := cbor.DecOptions{MaxNestedLevels: maxNesting, MaxArrayElements: elements, MaxMapPairs: maxPairs}.DecMode()
	if err != nil {
		panic(err) // the options are constants
	}
	return mode
}

// maxWindow bounds what the decompression of a checkpoint takes, in bytes.
const maxWindow = 8 << 20

// newZip is how everything is compressed here.
func newZip(w io.Writer) (*zstd.Encoder, error) {
	return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(1<<20))
}

// codec turns records into messages and back. It holds no state but its
// buffers' pools and is safe for concurrent use.
type codec struct {
	writer string
	zip    *zstd.Encoder
	unzip  *zstd.Decoder
}

func newCodec(writer string) (*codec, error) {
	zip, err := newZip(nil)
	if err != nil {
		return nil, err
	}
	unzip, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(maxDefinition))
	if err != nil {
		return nil, err
	}
	return &codec{writer: writer, zip: zip, unzip: unzip}, nil
}

func (c *codec) bundle(records []cbor.RawMessage) ([]byte, error) {
	return cbor.Marshal(bundle{Format: engine.FormatVersion, Writer: c.writer, Records: records})
}

// NewerFormatError is returned for a message of a newer format version: this
// program must not guess what it means.
type NewerFormatError struct {
	Subject, Writer string
	Format          int
}

func (e *NewerFormatError) Error() string {
	return fmt.Sprintf("%s has format %d, written by qarion %s; this program reads up to %d: start a newer one", e.Subject, e.Format, e.Writer, engine.FormatVersion)
}

// records reads a ledger message. What cannot be read becomes a BadRecord;
// only a newer format is an error.
func (c *codec) records(m jetstream.Msg) ([]engine.Record, error) {
	return c.read(m.Subject(), m.Headers(), m.Data())
}

func (c *codec) read(subject string, header nats.Header, data []byte) ([]engine.Record, error) {
	switch {
	case strings.HasPrefix(subject, subjectCheckpoint):
		return nil, nil
	case subject == subjectLost && string(data) == fillerUnsynced:
		return nil, nil
	case subject == subjectLost:
		return []engine.Record{&engine.LossRecord{}}, nil
	case strings.HasPrefix(subject, subjectTrigger):
		rec := readTrigger(subject, header, data) // from before triggers had a stream of their own
		return []engine.Record{&rec}, nil
	}
	var b bundle
	if err := messageDec.Unmarshal(data, &b); err != nil {
		return bad(subject, err), nil
	}
	if b.Format > engine.FormatVersion {
		return nil, &NewerFormatError{subject, b.Writer, b.Format}
	}
	out := make([]engine.Record, 0, len(b.Records))
	for _, raw := range b.Records {
		rec, err := c.record(subject, raw)
		if err != nil {
			out = append(out, bad(subject, err)...)
			continue
		}
		out = append(out, rec)
	}
	return out, nil
}

func bad(subject string, err error) []engine.Record {
	return []engine.Record{&engine.BadRecord{Subject: subject, Problem: err.Error()}}
}

// record decodes one record by the subject that it came on.
func (c *codec) record(subject string, raw []byte) (engine.Record, error) {
	switch {
	case strings.HasPrefix(subject, subjectAttempt):
		rec := new(engine.AttemptRecord)
		return rec, messageDec.Unmarshal(raw, rec)
	case strings.HasPrefix(subject, subjectSubmit):
		rec := new(engine.SubmitRecord)
		return rec, messageDec.Unmarshal(raw, rec)
	case strings.HasPrefix(subject, subjectControl):
		rec := new(engine.ControlRecord)
		return rec, messageDec.Unmarshal(raw, rec)
	case strings.HasPrefix(subject, subjectFlow):
		rec := new(flowMessage)
		if err := messageDec.Unmarshal(raw, rec); err != nil {
			return nil, err
		}
		return &rec.FlowRecord, c.expand(rec)
	case subject == subjectInstall:
		rec := new(engine.InstallRecord)
		return rec, messageDec.Unmarshal(raw, rec)
	}
	return nil, fmt.Errorf("unknown subject")
}

func (c *codec) expand(rec *flowMessage) (err error) {
	if len(rec.Compressed) > 0 {
		rec.Definition, err = c.unzip.DecodeAll(rec.Compressed, nil)
	}
	return err
}

// readTrigger takes a client's message as it is; what it is worth is decided
// later.
func readTrigger(subject string, header nats.Header, data []byte) engine.TriggerRecord {
	rec := engine.TriggerRecord{Flow: strings.TrimPrefix(subject, subjectTrigger), Size: len(data)}
	if len(data) <= engine.MaxTriggerPayload {
		rec.Payload = bytes.Clone(data)
	}
	for name := range header {
		if name == engine.HeaderMsgID || engine.IsTraceHeader(name) || strings.HasPrefix(strings.ToLower(name), "qarion-") {
			if rec.Headers == nil {
				rec.Headers = make(map[string]string, 2)
			}
			rec.Headers[name] = header.Get(name)
		}
	}
	return rec
}
