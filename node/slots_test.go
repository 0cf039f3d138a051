package node

import "testing"

func TestSlotsFor_FitsWhatTheProcessMayOpen(t *testing.T) {
	for _, c := range []struct{ limit, slots, want int }{
		{0, 64, 64}, {1024, 64, 64}, {168, 64, 64}, {167, 64, 63}, {64, 64, 12}, {42, 64, 1}, {10, 64, 1}, {1024, 4096, 492},
	} {
		if got := slotsFor(c.limit, c.slots); got != c.want {
			t.Errorf("limit %d, %d slots: %d, want %d", c.limit, c.slots, got, c.want)
		}
	}
}
