package engine

import (
	"context"
	"fmt"
	"io"
)

// Sealer seals what sensitive tasks leave, so that it lies nowhere in the
// clear. What is sealed for one place does not open in another.
type Sealer interface {
	// Ready makes sure that values can be sealed, before anything is sent whose
	// answer would have to be.
	Ready(ctx context.Context) error
	// Seal returns a value such that IsSealed; Unseal gives it back.
	Seal(ctx context.Context, place string, plain []byte) ([]byte, error)
	Unseal(ctx context.Context, place string, sealed []byte) ([]byte, error)
	// SealStream and UnsealStream do the same to what is read, of any length.
	SealStream(ctx context.Context, place string, plain io.Reader) (io.Reader, error)
	UnsealStream(ctx context.Context, place string, sealed io.Reader) (io.Reader, error)
}

// SealedMark begins every value that is sealed. No JSON text does.
const SealedMark = 0x01

// IsSealed reports whether a value in a record is sealed. Views show of such a
// value no more than SealedValue.
func IsSealed(v []byte) bool { return len(v) > 0 && v[0] == SealedMark }

// SealedValue is what is shown in place of a value that is sealed, as JSON.
const SealedValue = `{"sensitive":true}`

// Parts of what a task leaves, for SealPlace.
const (
	PartValue    = "value"
	PartResponse = "response"
	PartCookies  = "cookies"
	PartJar      = "jar"
	PartCarry    = "carry"
	PartItems    = "items"
)

// SealPlace names the place of a part of what a task leaves.
func SealPlace(run RunID, task TaskID, item int, part string) string {
	return fmt.Sprintf("%s/%s/%d/%s", run, task, item, part)
}
