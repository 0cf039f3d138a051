package apicall

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

// TestGather_WhateverIsSaidAboutTheSize: what is read is what was sent, up to a
// byte more than the limit, and a stream that breaks off is no end.
func TestGather_WhateverIsSaidAboutTheSize(t *testing.T) {
	broken := errors.New("broken")
	for _, size := range []int{0, 1, firstBuffer - 1, firstBuffer, firstBuffer + 1, firstBuffer + 2, 3 * firstBuffer, 9*firstBuffer + 7} {
		sent := make([]byte, size)
		for i := range sent {
			sent[i] = byte(i * 7 / 3)
		}
		for _, limit := range []int64{1, firstBuffer - 1, firstBuffer, firstBuffer + 1, 2 * firstBuffer, int64(max(size-1, 1)), int64(max(size, 1)), int64(size + 1), 64 * firstBuffer} {
			for _, expect := range []int64{-1, int64(size), 5, 2 * firstBuffer, 1 << 40} {
				want := sent[:min(int64(size), limit+1)]
				for name, r := range map[string]io.Reader{"whole": bytes.NewReader(sent), "half": iotest.HalfReader(bytes.NewReader(sent)), "end with data": iotest.DataErrReader(bytes.NewReader(sent))} {
					got, err := gather(r, expect, limit)
					if err != nil || !bytes.Equal(got, want) {
						t.Fatalf("%s: %d bytes, said to be %d, limit %d: got %d bytes, %v", name, size, expect, limit, len(got), err)
					}
				}
				for _, end := range []error{broken, io.ErrUnexpectedEOF} {
					got, err := gather(io.MultiReader(bytes.NewReader(sent), iotest.ErrReader(end)), expect, limit)
					if int64(size) <= limit && (!errors.Is(err, end) || !bytes.Equal(got, want)) {
						t.Fatalf("%d bytes, said to be %d, limit %d: got %d bytes, %v", size, expect, limit, len(got), err)
					}
				}
			}
		}
	}
}
