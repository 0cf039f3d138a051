package kvstore

import (
	"runtime"
	"runtime/metrics"
)

// Streaming turns memory over many times: for each byte that passes, client and
// server make about four of garbage, and the server loads whole blocks of 4 MiB
// around each chunk. On a small node the collector would let all of that grow
// to twice the heap before it looks, and to more when a block lives through it.
// So what streams asks for a collection from time to time, where one is cheap.
// On a node whose heap is large anyway this would cost much and show nothing.
const (
	collectFrom  = 8 << 20  // bytes of an object that is worth it
	collectEvery = 3 << 20  // bytes that have passed
	collectBelow = 64 << 20 // bytes of live heap: a few milliseconds of work
)

// passed counts bytes of large objects that were streamed, over all streams of
// the store; size is the object's, as far as it is known.
func (b *Blobs) passed(size uint64, n int) {
	if size < collectFrom {
		return
	}
	now := b.streamed.Add(int64(n))
	if now/collectEvery == (now-int64(n))/collectEvery {
		return
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	if live[0].Value.Uint64() < collectBelow {
		runtime.GC()
	}
}
