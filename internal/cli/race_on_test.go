//go:build race

package cli_test

// raceEnabled says that the tests run under the race detector, which makes them
// many times slower.
const raceEnabled = true
