//go:build !linux

package kafkatest

import "os/exec"

// dieWithParent does nothing where the system has no such means: a broker is
// then left over by a test process that is killed.
func dieWithParent(*exec.Cmd) {}

// awaitStop does nothing: a process that was just sent SIGSTOP may go on for a moment.
func awaitStop(int) error { return nil }
