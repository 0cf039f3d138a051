// Package kvstore is what lies in JetStream buckets: the XCom values and the
// run documents, both views of the ledger that any NATS KV client can read, the
// object store for values that are too large for a record, and the credentials,
// sealed.
//
// The views write through internal/feed: in order, in batches, each message
// with the ledger position that it was made from. They can be deleted and are
// rebuilt with the same content. The object store and the credentials are no
// views: what they hold is nowhere else.
//
// In the way of the data it is step 8.
package kvstore

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Names of the buckets.
const (
	BucketXCom        = "qarion_xcom"
	BucketRuns        = "qarion_runs"
	BucketBlobs       = "qarion_blobs"
	BucketCredentials = "qarion_credentials"
)

// DefaultMaxEntries is how many entries the bucket of runs, and that of values,
// hold at most. The server keeps an index of all keys in memory, about 95 bytes
// for each, so without a bound a node's memory would grow with all that it has
// ever done.
const DefaultMaxEntries = 500_000

// bucketStream is the configuration that makes a stream a KV bucket with
// history 1, of which the oldest entries leave: those of an age, and those over
// a number (0 means DefaultMaxEntries, less that all stay). It is written out
// because the client's own bucket configuration has no place for asynchronous
// persistence (see internal/feed).
func bucketStream(bucket, description string, retention time.Duration, most int) jetstream.StreamConfig {
	if most == 0 {
		most = DefaultMaxEntries
	}
	return jetstream.StreamConfig{
		Name:              "KV_" + bucket,
		Description:       description,
		Subjects:          []string{keyPrefix(bucket) + ">"},
		Storage:           jetstream.FileStorage,
		Retention:         jetstream.LimitsPolicy,
		Discard:           jetstream.DiscardOld,
		MaxMsgs:           int64(max(most, -1)),
		MaxMsgsPerSubject: 1,
		MaxAge:            retention,
		Duplicates:        100 * time.Millisecond,
		AllowRollup:       true,
		DenyDelete:        true,
		AllowDirect:       true,
		Replicas:          1,
	}
}

// keyPrefix is the subject of a bucket's keys.
func keyPrefix(bucket string) string { return "$KV." + bucket + "." }

// markSubject takes the position of a view where it has nothing to show. KV
// clients do not see it.
func markSubject(view string) string { return "qarion.position." + view }

// headerOperation marks a deleted key (KV clients write it).
const headerOperation = "KV-Operation"
