package main

import "testing"

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"512MiB": 512 << 20, "2GiB": 2 << 30, "1.5GiB": 3 << 29, "500MB": 500_000_000, "64 KiB": 64 << 10, "1073741824": 1 << 30, "7B": 7,
		"": -1, "much": -1, "MiB": -1, "5M": -1, "-1MiB": -1, "NaN": -1, "1e30GiB": -1, "inf": -1,
	} {
		got, err := parseSize(text)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("%q is %d, want %d", text, got, want)
		}
	}
}
