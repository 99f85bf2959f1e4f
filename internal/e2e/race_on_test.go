//go:build race

package e2e

// raceFlags builds the program under test with the race detector, as this test is.
var raceFlags = []string{"-race"}
