//go:build race

package worker

// raceEnabled tells that workers are ten times slower and larger than usual.
const raceEnabled = true
