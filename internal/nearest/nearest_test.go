package nearest

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func TestName(t *testing.T) {
	known := []string{"timeout", "retry_count", "fetch_cart", "ab", "ba"}
	for name, want := range map[string]string{
		"time_out": "timeout", "timeout": "", "retyr_count": "retry_count", "fetchcart": "fetch_cart", "zzz": "", "bb": "ab", "": "", "fetch": "",
	} {
		if got := Name(name, known); got != want {
			t.Errorf("Name(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestMeant(t *testing.T) {
	known := []string{"timeout", "retry_count", "operation", "api_call"}
	words := map[string]string{"retries": "retry_count", "method": "operation", "data": "body", "http": "api_call"}
	for name, want := range map[string]string{
		"retries": "retry_count", "Retries": "retry_count", "method": "operation", "retryCount": "retry_count", "retry-count": "retry_count",
		"RetryCount": "retry_count", "timeOut": "timeout", "http": "api_call", "data": "", "opertion": "operation", "zzz": "", "": "",
	} {
		if got := Meant(name, known, words); got != want {
			t.Errorf("Meant(%q) = %q, want %q", name, got, want)
		}
	}
}

// TestDistance_StoppingEarlyChangesNothing holds the early stop against the
// whole computation.
func TestDistance_StoppingEarlyChangesNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	word := func() string {
		b := make([]byte, r.IntN(9))
		for i := range b {
			b[i] = "abc"[r.IntN(3)]
		}
		return string(b)
	}
	for range 20_000 {
		a, b := word(), word()
		whole := distance(a, b, 100)
		for limit := range 5 {
			got := distance(a, b, limit)
			if whole <= limit && got != whole || whole > limit && got <= limit {
				t.Fatalf("distance(%q, %q) = %d with limit %d, %d without", a, b, got, limit, whole)
			}
		}
	}
}

func BenchmarkName(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		known := make([]string, n)
		for i := range known {
			known[i] = fmt.Sprintf("fetch_customer_%d", i)
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				Name("fetchcustomer_x17", known)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/name")
		})
	}
}
