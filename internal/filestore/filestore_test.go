package filestore_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/qarion/qarion/internal/filestore"
)

// serve opens a server on a folder; stop closes it, so that its files are whole.
func serve(t *testing.T, dir string) (js jetstream.JetStream, stop func()) {
	t.Helper()
	s, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true, NoLog: true, JetStream: true, StoreDir: dir, SyncAlways: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	end := func() { s.Shutdown(); s.WaitForShutdown() }
	if !s.ReadyForConnections(20 * time.Second) {
		end()
		t.Fatal("the server is not ready")
	}
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err == nil {
		js, err = jetstream.New(nc)
	}
	if err != nil {
		end()
		t.Fatal(err)
	}
	return js, func() { nc.Close(); end() }
}

// stored is a store that a real server has written: 300 messages in blocks of
// a few, of which some were deleted, and the first ones purged.
func stored(t *testing.T) *filestore.Stream {
	t.Helper()
	dir := t.TempDir()
	js, stop := serve(t, dir)
	defer stop()
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"a.>"}, MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		m := &nats.Msg{Subject: fmt.Sprintf("a.%d", i%7), Data: []byte(strings.Repeat("x", i*2))}
		if i%2 == 0 {
			m.Header = nats.Header{"Number": {fmt.Sprint(i)}}
		}
		if _, err := js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	for _, seq := range []uint64{50, 51, 200} {
		if err := stream.SecureDeleteMsg(t.Context(), seq); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.DeleteMsg(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context(), jetstream.WithPurgeSequence(20)); err != nil {
		t.Fatal(err)
	}
	list, err := filestore.Streams(dir)
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	stop()
	if p := list[0].ReadMeta(); p != nil || list[0].Config.Name != "S" || list[0].Config.Subjects[0] != "a.>" {
		t.Fatalf("%v, %+v", p, list[0].Config)
	}
	return list[0]
}

// scan reads a stream and returns which messages live.
func scan(t *testing.T, s *filestore.Stream) (*filestore.Scan, map[uint64]string) {
	t.Helper()
	got := map[uint64]string{}
	found, err := s.Scan(false, func(m *filestore.Message) error {
		got[m.Seq] = fmt.Sprintf("%s %s %d", m.Subject, m.Get("Number"), len(m.Data))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for seq := range got {
		if found.Deleted(seq) {
			delete(got, seq)
		}
	}
	return found, got
}

func TestScan_ReadsWhatTheServerWrote(t *testing.T) {
	found, got := scan(t, stored(t))
	if len(found.Problems) > 0 || found.Last != 300 {
		t.Fatalf("last %d, %v", found.Last, found.Problems)
	}
	if len(got) != 281-4 {
		t.Errorf("%d messages", len(got))
	}
	for seq := uint64(20); seq <= 300; seq++ {
		number, i := "", int(seq)-1
		if i%2 == 0 {
			number = fmt.Sprint(i)
		}
		want := fmt.Sprintf("a.%d %s %d", i%7, number, i*2)
		switch seq {
		case 50, 51, 100, 200:
			want = ""
		}
		if got[seq] != want {
			t.Errorf("message %d: %q, want %q", seq, got[seq], want)
		}
	}
	if m := found.Missing(20, 300); len(m) != 0 {
		t.Errorf("missing: %v", m)
	}
}

// TestScan_EveryFlippedBitIsFound: there is no bit in a file of messages that
// may be another one, but for those of messages that were erased.
func TestScan_EveryFlippedBitIsFound(t *testing.T) {
	s := stored(t)
	_, before := scan(t, s)
	files, err := filepath.Glob(filepath.Join(s.Dir, "msgs", "*.blk"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	step := len(data)/1500 + 1
	for at := 0; at < len(data); at += step {
		bad := append([]byte(nil), data...)
		bad[at] ^= 1 << (at % 8)
		if err := os.WriteFile(files[0], bad, 0o600); err != nil {
			t.Fatal(err)
		}
		// What was deleted, and overwritten, may be anything.
		if found, after := scan(t, s); len(found.Problems) == 0 && !maps.Equal(before, after) {
			t.Fatalf("bit %d of byte %d: nothing found", at%8, at)
		}
	}
}

func TestScan_NamesWhatIsDamaged(t *testing.T) {
	for _, c := range []struct {
		name, want string
		spoil      func(data []byte) []byte
	}{
		{"a flipped byte costs one message", "checksum of a message does not match", func(d []byte) []byte { d[len(d)/2] ^= 1; return d }},
		{"zeros", "messages that the server knew of are not in it", func(d []byte) []byte { clear(d[len(d)/2 : len(d)/2+2000]); return d }},
		{"cut", "no whole message", func(d []byte) []byte { return d[:len(d)-3] }},
		{"nothing left", "the stream ends before what the server knew of it", func([]byte) []byte { return nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := stored(t)
			_, before := scan(t, s)
			files, _ := filepath.Glob(filepath.Join(s.Dir, "msgs", "*.blk"))
			data, err := os.ReadFile(files[len(files)-1])
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(files[len(files)-1], c.spoil(data), 0o600); err != nil {
				t.Fatal(err)
			}
			found, after := scan(t, s)
			var all []string
			for _, p := range found.Problems {
				all = append(all, p.String())
			}
			if text := strings.Join(all, "\n"); !strings.Contains(text, c.want) {
				t.Errorf("want %q in:\n%s", c.want, text)
			}
			if lost := len(before) - len(after); c.name == "a flipped byte costs one message" && lost != 1 {
				t.Errorf("%d messages cannot be read", lost)
			}
		})
	}
}

func FuzzScan(f *testing.F) {
	dir := f.TempDir()
	s := &filestore.Stream{Name: "S", Dir: dir}
	if err := os.MkdirAll(filepath.Join(dir, "msgs"), 0o700); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{}, []byte{})
	f.Add(make([]byte, 100), make([]byte, 40))
	f.Fuzz(func(t *testing.T, blk, index []byte) {
		for name, data := range map[string][]byte{"1.blk": blk, "index.db": index} {
			if err := os.WriteFile(filepath.Join(dir, "msgs", name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.Scan(false, func(*filestore.Message) error { return nil }); err != nil {
			t.Fatal(err)
		}
	})
}

// TestWriter_AServerOpensIt: what is read from one store and written into
// another is what a server finds there.
func TestWriter_AServerOpensIt(t *testing.T) {
	s := stored(t)
	meta, err := os.ReadFile(filepath.Join(s.Dir, "meta.inf"))
	if err != nil {
		t.Fatal(err)
	}
	found, before := scan(t, s)
	dir := t.TempDir()
	w, err := filestore.Create(filepath.Join(dir, "jetstream", "$G", "streams", "S"), meta)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Scan(false, func(m *filestore.Message) error {
		if found.Deleted(m.Seq) || m.Seq == 300 {
			return nil
		}
		return w.Add(m)
	}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(300); err != nil {
		t.Fatal(err)
	}
	js, stop := serve(t, dir)
	defer stop()
	stream, err := js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(t.Context())
	if err != nil || info.State.Msgs != uint64(len(before)-1) || info.State.FirstSeq != 20 || info.State.LastSeq != 300 {
		t.Fatalf("%+v, %v", info.State, err)
	}
	for seq := uint64(20); seq <= 300; seq++ {
		m, err := stream.GetMsg(t.Context(), seq)
		got := ""
		if err == nil {
			got = fmt.Sprintf("%s %s %d", m.Subject, m.Header.Get("Number"), len(m.Data))
		}
		if want := before[seq]; got != want && seq != 300 || seq == 300 && err == nil {
			t.Errorf("message %d: %q, want %q (%v)", seq, got, want, err)
		}
	}
	if ack, err := js.Publish(t.Context(), "a.1", nil); err != nil || ack.Sequence != 301 {
		t.Errorf("the next message: %+v, %v", ack, err)
	}
}
