//go:build race

package bus_test

// raceDetector: everything takes ten times as long.
const raceDetector = true
