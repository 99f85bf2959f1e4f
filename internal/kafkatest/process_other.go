//go:build !linux

package kafkatest

import "os/exec"

// dieWithParent does nothing where the system has no such means: a broker is
// then left over by a test process that is killed.
func dieWithParent(*exec.Cmd) {}
