//go:build !race

package e2e

// raceFlags is empty: this test is built without the race detector.
var raceFlags []string
